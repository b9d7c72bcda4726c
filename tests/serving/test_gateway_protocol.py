"""What one client can take up of the gateway, over real sockets: it is bounded, and nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from serving.gateway_http import Answer
from serving.gateway_protocol import MAX_HEAD_BYTES, MAX_SENT_AHEAD, BoundedProtocol

Address = tuple[str, int]
ASKS = b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n"


class Tight(BoundedProtocol):
    """With bounds that a test reaches."""

    limit = 5
    head_seconds = 0.4
    stalled_seconds = 0.4


class Echo:
    """Answers with the path, or on /long with more than a connection holds; says how many it answered, and waits for `free`."""

    def __init__(self) -> None:
        self.answered = 0
        self.gone = asyncio.Event()
        self.free = asyncio.Event()
        self.free.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.free.wait()
        self.answered += 1
        path = scope["path"]
        await Answer(200, {}, b"x" * 50_000_000 if path == "/long" else path.encode()).send(receive, send)
        if path == "/long":
            self.gone.set()


def served(scenario: Callable[[Address, Echo], Coroutine[Any, Any, None]]) -> None:
    """Play a scenario with a server on a free port."""

    async def play() -> None:
        app, listening = Echo(), socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(
            app, http=Tight, lifespan="off", log_config=None, access_log=False, timeout_keep_alive=1
        )
        server = uvicorn.Server(config)
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]  # the signals are the test's own
        running = asyncio.create_task(server.serve([listening]))
        while not server.started:
            await asyncio.sleep(0.01)
        try:
            await asyncio.wait_for(scenario(listening.getsockname(), app), 20)
        finally:
            server.should_exit = True
            await running

    asyncio.run(play())


@contextlib.asynccontextmanager
async def connected(to: Address) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(*to)
    try:
        yield reader, writer
    finally:
        writer.close()


async def said(to: Address, *sent: bytes) -> bytes:
    """Everything that comes until the server ends the connection."""
    async with connected(to) as (reader, writer):
        for part in sent:
            writer.write(part)
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            await asyncio.sleep(0.02)
        try:
            return await reader.read()
        except ConnectionError:
            return b"reset"


def test_one_connection_too_many_is_told_to_come_again() -> None:
    async def scenario(to: Address, app: Echo) -> None:
        async with contextlib.AsyncExitStack() as held:
            for _ in range(Tight.limit):
                reader, writer = await held.enter_async_context(connected(to))
                writer.write(ASKS)
                assert (await reader.readline()).endswith(b"200 OK\r\n")

            answer = await said(to, ASKS)

            assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
            assert b"\r\nRetry-After: 1\r\n" in answer
            assert b"too-many-connections" in answer
        await asyncio.sleep(0.1)
        async with connected(to) as (reader, writer):
            writer.write(ASKS)
            assert (await reader.readline()).endswith(b"200 OK\r\n")

    served(scenario)


@pytest.mark.parametrize("sent", [b"", b"GET /x HT", ASKS + b"GET /y HTTP/1.1\r\nHo"])
def test_who_does_not_finish_a_request_is_let_go(sent: bytes) -> None:
    async def scenario(to: Address, app: Echo) -> None:
        begun = asyncio.get_running_loop().time()
        answer = await said(to, sent)

        assert answer.startswith(b"HTTP/1.1 200 OK") == sent.startswith(ASKS)
        assert asyncio.get_running_loop().time() - begun < 10

    served(scenario)


def test_who_drips_a_head_is_let_go() -> None:
    async def scenario(to: Address, app: Echo) -> None:
        await said(to, b"GET /x HTTP/1.1\r\n", *[b"X-A: b\r\n"] * 60, b"\r\n")

        assert app.answered == 0

    served(scenario)


@pytest.mark.parametrize("parts", [1, 20])
def test_a_head_that_is_too_large_is_refused(parts: int) -> None:
    async def scenario(to: Address, app: Echo) -> None:
        head = b"GET /x HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * (2 * MAX_HEAD_BYTES) + b"\r\n\r\n"
        step = len(head) // parts + 1

        answer = await said(to, *(head[start : start + step] for start in range(0, len(head), step)))

        assert answer.startswith((b"HTTP/1.1 413 ", b"reset"))
        assert app.answered == 0
        assert b"200 OK" in await said(to, b"GET /x HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 8_000 + b"\r\n\r\n")

    served(scenario)


def test_requests_sent_ahead_are_answered_in_order_up_to_a_bound() -> None:
    async def scenario(to: Address, app: Echo) -> None:
        paths = [f"/n{n:02}" for n in range(MAX_SENT_AHEAD)]
        answer = await said(to, b"".join(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for path in paths))
        assert [answer.index(f"\r\n\r\n{path}".encode()) for path in paths] == sorted(
            answer.index(f"\r\n\r\n{path}".encode()) for path in paths
        )
        assert app.answered == MAX_SENT_AHEAD

        app.free.clear()
        await said(to, ASKS * 1_000)
        app.free.set()
        await asyncio.sleep(0.1)
        assert app.answered < 2 * MAX_SENT_AHEAD + 2

    served(scenario)


def test_who_takes_nothing_of_the_answer_is_let_go() -> None:
    async def scenario(to: Address, app: Echo) -> None:
        async with connected(to) as (_, writer):
            writer.write(ASKS.replace(b"/x", b"/long"))
            await asyncio.wait_for(app.gone.wait(), 10)

    served(scenario)
