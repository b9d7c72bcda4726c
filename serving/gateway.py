"""The pull gateway: one small process that answers pulls and watches for thousands, by the rules and on the record of everything else.

It speaks ASGI without Django's request stack. A request whose answer still counts (`serving.live`) is answered from memory, once its entry
is committed together with those of others (`serving.gateway_desk`); any other asks the rules first. `manage.py pull_gateway` starts it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from typing import Final

import structlog
from django.conf import settings
from django.db import DatabaseError, connection
from starlette.types import Receive, Scope, Send

from access.principal import Principal
from audit.actions import Receipt
from countersign.proof.manifest import ManifestFile
from foundation.numbers import whole_number
from foundation.refusals import Forbidden, NotFound, Refusal, Unavailable
from serving.byte_ranges import Chosen, choose, is_held
from serving.gateway_desk import Desk
from serving.gateway_http import Answer, Asked, problem
from serving.gateway_watching import Watching
from serving.ledger_headers import ledger_headers
from serving.live import Live, Snapshot, Told, Verdict, Wanted
from serving.pulls import (
    CHUNK_BYTES,
    Pull,
    PulledFile,
    check_stored,
    download_headers,
    find_blob,
    find_file,
    record_proof,
    record_refusal,
)
from serving.queries import Resolved

ATTEMPTS: Final = 5
MOST_LEARNING: Final = 256
"""How many questions may wait for the rules; more are told to come again. What is known already is answered meanwhile."""
LEARNERS: Final = 2
"""Threads that ask the rules, each with a connection of its own."""
_MODELS: Final = re.compile(
    r"/api/v1/models/(?P<model>[^/]+)/"
    r"(?:aliases/(?P<alias>[^/]+)|versions/(?P<number>[0-9]{1,9})(?:/(?P<kind>blobs|files)/(?P<path>.+))?)"
)
_JSON: Final = {"Content-Type": "application/json", "Cache-Control": "private, no-cache"}

log = structlog.get_logger(__name__)


class Gateway:
    """The ASGI application."""

    def __init__(self) -> None:
        self.desk: Desk | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.watching = Watching(self)
        self._learners = ThreadPoolExecutor(LEARNERS, "learner")
        self._learning: dict[tuple[str, str, Wanted], asyncio.Future[bool]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; everything but HTTP is closed."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    def let_watchers_go(self) -> None:
        """End every stream soon; from any thread, and from a signal's handler."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.watching.close)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self._loop = asyncio.get_running_loop()
        self.desk = Desk()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.watching.close()
        await self.desk.close()
        self._learners.shutdown()
        await send({"type": "lifespan.shutdown.complete"})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = Asked.of(scope)
        try:
            answer = await self._answer(asked)
        except Refusal as refusal:
            answer = problem(refusal, asked.path)
        except Exception:
            # Whatever it was, the other requests go on; who asked is told that it was not answered.
            log.exception("gateway.request_failed", path=asked.path)
            answer = problem(Unavailable("The gateway failed at this request.", code="gateway-failed"), asked.path)
        await answer.send(receive, send, head=asked.method == "HEAD")

    async def _answer(self, asked: Asked) -> Answer:
        if asked.path == "/healthz":
            return Answer(HTTPStatus.OK, {"Content-Type": "text/plain"}, b"ok\n")
        asked.check()
        match = _MODELS.fullmatch(asked.path)
        if asked.method not in {"GET", "HEAD"} or (match is None and asked.path != "/api/v1/watch"):
            raise NotFound(
                f"{asked.method} {asked.path} is not answered here, but by {settings.PORTAL_URL}",
                code="no-such-address",
            )
        if match is None:
            return await self.watching.follow(asked)
        stage = asked.query.get("stage", [""])[0] if not match["path"] else ""
        wanted = Wanted(match["model"], match["alias"] or "", whole_number(match["number"] or ""), stage)
        if match["path"]:
            return await self._file(asked, wanted, match["kind"], match["path"])
        return await self.told(asked, wanted, partial(_document, asked, wanted))

    async def told(self, asked: Asked, wanted: Wanted, write: Callable[[Snapshot, Verdict], Answer]) -> Answer:
        """The answer that `write` puts on record and gives for what still counts, or for what the rules say now."""
        fresh = False

        def said(pair: tuple[Snapshot, Verdict]) -> Answer:
            snapshot, verdict = pair
            by, refusal = asked.by(verdict.caller.principal), verdict.live.refusal
            if refusal is not None:
                return refused(asked, wanted, by, refusal)
            try:
                verdict.permit(by)
            except Forbidden as kept_out:
                return refused(asked, wanted, by, kept_out)
            return write(snapshot, verdict)

        for _ in range(ATTEMPTS):
            answer = await self.desk_here.ask(partial(_pulled, asked.credential, wanted, fresh), said)
            if answer is not None:
                return answer
            await self.learn(asked, wanted, told=partial(_record, wanted))
            fresh = True
        raise Unavailable("What is live changes faster than it can be checked. Try again in a second.", code="changing")

    @property
    def desk_here(self) -> Desk:
        """The desk, which stands from the start to the end of the process."""
        if self.desk is None:
            raise Unavailable("The gateway is starting.", code="starting")
        return self.desk

    async def learn(self, asked: Asked, wanted: Wanted, *, told: Told) -> None:
        """Ask the rules, once for all who want the same with the same credential; raises a refusal of the caller, which `told` heard."""
        key = (asked.credential, asked.terms, wanted)
        while key in self._learning:
            if await asyncio.shield(self._learning[key]):
                return
        if len(self._learning) >= MOST_LEARNING:
            raise Unavailable("More is asked for here than can be checked. Try again in a second.", code="too-busy")
        future = self._learning[key] = asyncio.get_running_loop().create_future()
        learnt = False
        try:
            work = partial(self._learn, asked, wanted, told)
            await asyncio.get_running_loop().run_in_executor(self._learners, work)
            learnt = True
        finally:
            del self._learning[key]
            future.set_result(learnt)

    def _learn(self, asked: Asked, wanted: Wanted, told: Told) -> None:
        try:
            self.desk_here.snapshot.learn(asked.credential, asked.meta, wanted, told)
        except DatabaseError as error:
            log.exception("gateway.not_learnt")
            raise Unavailable("The database did not answer. Try again in a few seconds.") from error
        finally:
            connection.close()  # these threads end with the process, where nobody would close it

    async def _file(self, asked: Asked, wanted: Wanted, kind: str, path: str) -> Answer:
        find = find_blob if kind == "blobs" else find_file
        begun: list[tuple[Pull, ManifestFile, Chosen, Receipt]] = []

        def write(snapshot: Snapshot, verdict: Verdict) -> Answer:
            resolved = _resolved(verdict.live)
            by = asked.by(verdict.caller.principal)
            try:
                file = find(resolved.version, path)
            except NotFound as refusal:
                return refused(asked, wanted, by, refusal)
            headers = download_headers(file.path.rsplit("/", 1)[-1], file.sha256)
            chosen = choose(file.size, headers["ETag"], asked.headers, asked.method)
            pull = Pull(resolved.version, file.path, by, by.purpose, chosen.range)
            check_stored(file)
            headers |= chosen.headers
            if asked.method == "HEAD" or not chosen.sends:
                receipt = pull.record_read(asked.method, chosen.status)
                if chosen.status == HTTPStatus.NOT_MODIFIED:
                    del headers["Content-Length"]  # the server counts the bytes of the body against it
                return Answer(chosen.status, headers | ledger_headers(receipt, snapshot.note))
            receipt = pull.record("begun")
            begun.append((pull, file, chosen, receipt))
            return Answer(chosen.status, headers | ledger_headers(receipt, snapshot.note))

        answer = await self.told(asked, wanted, write)
        if begun:
            answer.parts = partial(self._parts, *begun[-1])
        return answer

    async def _parts(
        self, pull: Pull, file: ManifestFile, chosen: Chosen, receipt: Receipt, gone: asyncio.Task[None]
    ) -> AsyncGenerator[bytes]:
        """The file in parts; however that ends, the end is recorded."""
        try:
            pulled = await asyncio.to_thread(PulledFile, pull, file, chosen, begun=receipt)
        except BaseException:
            await self._ended(pull, "broken_off", 0)
            raise
        try:
            while chunk := await asyncio.to_thread(pulled.read, CHUNK_BYTES):
                yield chunk
        finally:
            await self._ended(pull, *pulled.let_go())

    async def _ended(self, pull: Pull, step: str, sent: int) -> None:
        # Shielded: the end is on record also where the client's going away cancels this task.
        await asyncio.shield(self.desk_here.ask(lambda _: True, lambda _: pull.record(step, sent), always=True))


def refused(asked: Asked, wanted: Wanted, by: Principal, refusal: Refusal) -> Answer:
    """The answer to a pull that is refused, once that is on record."""
    _record(wanted, by, refusal)
    return problem(refusal, asked.path)


def _record(wanted: Wanted, by: Principal, refusal: Refusal) -> None:
    record_refusal(wanted.model, f"@{wanted.alias}" if wanted.alias else f"v{wanted.number}", refusal, by=by)


def _pulled(credential: str, wanted: Wanted, fresh: bool, snapshot: Snapshot) -> tuple[Snapshot, Verdict] | None:
    """What still counts. That nothing is live, or approved, counts where it was just asked: what is missing changes with each signature."""
    verdict = snapshot.verdict(credential, wanted)
    return (snapshot, verdict) if verdict is not None and (fresh or verdict.live.refusal is None) else None


def _document(asked: Asked, wanted: Wanted, snapshot: Snapshot, verdict: Verdict) -> Answer:
    live = verdict.live
    held = is_held(live.etag, asked.headers.get("If-None-Match", ""))
    receipt = record_proof(_resolved(live), by=asked.by(verdict.caller.principal), held=held)
    headers = _JSON | {"ETag": live.etag} | ledger_headers(receipt, snapshot.note)
    if held:
        del headers["Content-Type"]
        return Answer(HTTPStatus.NOT_MODIFIED, headers)
    return Answer(HTTPStatus.OK, headers, live.body)


def _resolved(live: Live) -> Resolved:
    if live.resolved is None:
        raise Unavailable("Nothing is live.", code="changing")
    return live.resolved
