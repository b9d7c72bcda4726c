"""What the gateway reads of a request and how its answers leave: the HTTP of `serving.gateway`, without any rule."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from urllib.parse import parse_qs

import orjson
from starlette.types import Receive, Scope, Send

from access.authentication import CHALLENGE, SIGN_IN_FIRST
from access.clients import client_of
from access.principal import Principal
from foundation.nul import refuse_nul
from foundation.refusals import Refusal, TooLarge, Unauthenticated, Unavailable


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: its method and path, its headers by their usual names, and the CGI-style facts that say from where it comes."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    meta: Mapping[str, str]

    @classmethod
    def of(cls, scope: Scope) -> Asked:
        """What an ASGI scope says."""
        headers = {name.decode("latin-1").title(): value.decode("latin-1") for name, value in scope["headers"]}
        meta = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
        meta["REMOTE_ADDR"] = (scope.get("client") or ("",))[0]
        meta["QUERY_STRING"] = scope["query_string"].decode("latin-1")
        query = parse_qs(meta["QUERY_STRING"]) if meta["QUERY_STRING"] else {}
        return cls(scope["method"], scope["path"], query, headers, meta)

    def check(self) -> None:
        """That it is a request such as are answered here; raises `Invalid` and `TooLarge`."""
        refuse_nul(self.path, *(value for values in self.query.values() for value in values))
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            raise TooLarge("What is asked for here is in the address: send no body.", code="body")

    @property
    def credential(self) -> str:
        """The Authorization header; raises `Unauthenticated` where there is none."""
        header = self.headers.get("Authorization", "")
        if not header:
            raise Unauthenticated(SIGN_IN_FIRST)
        return header

    @property
    def terms(self) -> str:
        """What of this request an access policy may ask about, beside who sends it: requests that share it are answered alike."""
        client = client_of(self.meta)
        return f"{client.ip} {client.purpose}"

    def by(self, known: Principal) -> Principal:
        """Who is known to ask, as of this request."""
        client = client_of(self.meta)
        return replace(
            known,
            request_id=client.request_id,
            ip=client.ip,
            user_agent=client.user_agent,
            purpose=client.purpose,
        )


@dataclass(slots=True)
class Answer:
    """What leaves: a status, headers and a body, which may come in parts."""

    status: int
    headers: dict[str, str]
    body: bytes = b""
    parts: Callable[[asyncio.Task[None]], AsyncGenerator[bytes]] | None = None
    """The body piece by piece; given a task that is done when the client has gone away."""

    async def send(self, receive: Receive, send: Send, *, head: bool = False) -> None:
        """Send it; a HEAD has the headers only. Ends early where the client goes away."""
        if self.parts is None and self.status != HTTPStatus.NOT_MODIFIED:
            self.headers.setdefault("Content-Length", str(len(self.body)))
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self.headers.items()]
        await send({"type": "http.response.start", "status": int(self.status), "headers": raw})
        if self.parts is not None and not head:
            gone = asyncio.create_task(_gone(receive))
            try:
                async with contextlib.aclosing(self.parts(gone)) as parts:
                    async for part in parts:
                        await send({"type": "http.response.body", "body": part, "more_body": True})
                        if gone.done():
                            return
            finally:
                gone.cancel()
        await send({"type": "http.response.body", "body": b"" if head else self.body})


async def _gone(receive: Receive) -> None:
    """Return when the client has gone away."""
    while (await receive())["type"] != "http.disconnect":
        pass


def problem(refusal: Refusal, path: str) -> Answer:
    """A refusal as problem JSON (RFC 9457)."""
    headers = {"Content-Type": "application/problem+json", "Cache-Control": "private, no-store"}
    if isinstance(refusal, Unauthenticated):
        headers["WWW-Authenticate"] = CHALLENGE
    if isinstance(refusal, Unavailable):
        headers["Retry-After"] = "1"
    if isinstance(refusal, TooLarge):
        headers["Connection"] = "close"  # nobody reads what else comes
    return Answer(refusal.status, headers, orjson.dumps(refusal.as_problem(instance=path)))
