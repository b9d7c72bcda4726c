"""Decides how much of the pull gateway one client can take up: connections, heads of requests, requests sent ahead, and time.

uvicorn's protocol reads heads of any length, waits for ever for a first request, and takes any number of requests sent ahead (pipelining,
RFC 9112, section 9.3.2). This one bounds them. What it overrides is not uvicorn's public interface: the tests hold it over real sockets.
"""

from __future__ import annotations

import asyncio
import resource
from http import HTTPStatus
from typing import Final

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from foundation.refusals import Refusal, TooLarge, Unavailable
from serving.gateway_http import problem
from serving.gateway_watching import MAX_WATCHERS

MAX_CONNECTIONS: Final = MAX_WATCHERS + 3_000
MAX_HEAD_BYTES: Final = 16 * 1024
MAX_SENT_AHEAD: Final = 16
HEAD_SECONDS: Final = 10.0
"""Until a connection has sent the whole head of its first, or its begun, request."""
KEEP_ALIVE_SECONDS: Final = 30
STALLED_SECONDS: Final = 60.0
"""Until a client that takes nothing of its answer any more is let go."""
_SPARE_FILES: Final = 200
_FULL: Final = Unavailable(
    "As many are connected as this gateway serves. Try again in a while.", code="too-many-connections"
)
_HEAD: Final = TooLarge(
    f"The address and the headers of a request are at most {MAX_HEAD_BYTES // 1024} KiB.", code="head"
)


class BoundedProtocol(HttpToolsProtocol):
    """One connection, within bounds. `limit`: how many of them a process has, set at its start (`places`)."""

    limit: int = MAX_CONNECTIONS
    head_seconds: float = HEAD_SECONDS
    stalled_seconds: float = STALLED_SECONDS

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Begin to wait for a request; refuse at once where there are too many connections."""
        super().connection_made(transport)
        self._head_bytes, self._in_head = 0, False
        self._head_timer: asyncio.TimerHandle | None = self.loop.call_later(self.head_seconds, self._too_slow)
        self._stall_timer: asyncio.TimerHandle | None = None
        if len(self.connections) > self.limit:
            transport.write(raw(_FULL))
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget its clocks."""
        self._stop_head_timer()
        self._stop_stall_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, while the head that was begun stays small."""
        if self.transport.is_closing():
            return
        if self._in_head:
            self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES:
            if not self._answering:
                self.transport.write(raw(_HEAD))
            self.transport.close()
            return
        super().data_received(data)

    def on_message_begin(self) -> None:
        """The head of a request begins."""
        self._in_head, self._head_bytes = True, 0
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_seconds, self._too_slow)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is whole: answer, unless it is too large or too many wait before it."""
        self._in_head, self._head_bytes = False, 0
        self._stop_head_timer()
        if len(self.pipeline) >= MAX_SENT_AHEAD:
            raise RuntimeError("Too many requests were sent ahead.")
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        self.app = head_too_large if size > MAX_HEAD_BYTES else self.config.loaded_app
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """What cannot be read is told, unless an answer is under way, into which it must not be written."""
        if self._answering:
            self.transport.close()
        else:
            super().send_400_response(msg)

    def pause_writing(self) -> None:
        """The client does not take what is sent."""
        super().pause_writing()
        self._stop_stall_timer()
        self._stall_timer = self.loop.call_later(self.stalled_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """It does again."""
        self._stop_stall_timer()
        super().resume_writing()

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _too_slow(self) -> None:
        self._head_timer = None
        if self._answering:  # the next request was begun ahead; it has until some time after the answer
            self._head_timer = self.loop.call_later(self.head_seconds, self._too_slow)
        elif not self.transport.is_closing():
            self.transport.close()

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None


def raw(refusal: Refusal) -> bytes:
    """A whole answer, before there is a request to answer."""
    answer = problem(refusal, "")
    status = HTTPStatus(answer.status)
    headers = answer.headers | {"Content-Length": str(len(answer.body)), "Connection": "close"}
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\n" + "".join(
        f"{name}: {value}\r\n" for name, value in headers.items()
    )
    return head.encode("latin-1") + b"\r\n" + answer.body


async def head_too_large(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuses a request whose head arrived whole and too large."""
    await problem(_HEAD, scope["path"][:200]).send(receive, send)


def places() -> int:
    """How many connections this process can hold: the bound, or what the files that it may open leave, which it raises as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + _SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else max(1, min(MAX_CONNECTIONS, soft - _SPARE_FILES))
