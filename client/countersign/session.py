"""Speaks to a registry: sends the token to its origin only, tries again what may be tried again, and turns answers into sentences."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar
from urllib.parse import urljoin, urlsplit

import httpx

from countersign.credentials import Access
from countersign.errors import CountersignError, NotReached, Refused
from countersign.version import VERSION

T = TypeVar("T")
TRIES: Final = 4
AGAIN: Final = frozenset({429, 502, 503, 504})
LONGEST_WAIT: Final = 30.0
MOST_BYTES: Final = 64 * 1024**2
TIMEOUT: Final = httpx.Timeout(30.0, connect=10.0)


class Session:
    """Connections to one registry, in the name of one token. Safe to use from several threads."""

    def __init__(self, access: Access, *, connections: int = 8, sleep: Callable[[float], None] = time.sleep) -> None:
        self.origin = access.url
        self.sleep = sleep
        self._client = httpx.Client(
            base_url=access.url,
            headers={
                "Authorization": f"Bearer {access.token}",
                "User-Agent": f"countersign-client/{VERSION}",
                "Accept": "application/json, application/problem+json",
            },
            timeout=TIMEOUT,
            limits=httpx.Limits(max_connections=connections + 2, max_keepalive_connections=connections),
            follow_redirects=True,
        )

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def declare(self, purpose: str) -> None:
        """Say with every request from now on what it is for: the registry's access policies may ask for it. Empty: say nothing."""
        self._client.headers.pop("X-Countersign-Purpose", None)
        if purpose:
            self._client.headers["X-Countersign-Purpose"] = purpose[:200].encode("ascii", "replace").decode()

    def get(self, address: str, params: Mapping[str, str] | None = None) -> bytes:
        """The answer's body; tried again where the registry is busy. Raises `Refused` or `NotReached`."""

        def once() -> bytes:
            with self._client.stream("GET", self._inside(address), params=params) as answer:
                self._check(answer)
                return _read(answer)

        return self.patiently(once)

    def get_json(self, address: str, params: Mapping[str, str] | None = None) -> Any:
        """The answer as JSON."""
        return _parsed(self.get(address, params))

    def post(self, address: str, *, data: Any = None, files: Any = None, body: Any = None) -> Any:
        """Send once (what writes is never repeated by itself); the answer as JSON."""
        timeout = httpx.Timeout(60.0, read=600.0)  # the registry hashes and stores large uploads before it answers
        with self._told():
            answer = self._client.post(self._inside(address), data=data, files=files, json=body, timeout=timeout)
            self._check(answer)
        return _parsed(answer.content)

    @contextmanager
    def stream(
        self,
        address: str,
        *,
        headers: Mapping[str, str],
        params: Sequence[tuple[str, str]] = (),
        timeout: httpx.Timeout = TIMEOUT,
    ) -> Iterator[httpx.Response]:
        """An answer whose body is read by the caller; raises `Refused` or `NotReached`, also out of the reading."""
        with (
            self._told(),
            self._client.stream(
                "GET",
                self._inside(address),
                headers=dict(headers),
                params=httpx.QueryParams(tuple(params)) if params else None,
                timeout=timeout,
            ) as answer,
        ):
            if answer.status_code != httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                self._check(answer)
            yield answer

    def patiently(self, once: Callable[[], T]) -> T:
        """Do it, a few times where the registry is not reached or asks to come back later; each wait twice the last."""
        attempt = 1
        while True:
            try:
                with self._told():
                    return once()
            except NotReached as error:
                if attempt == TRIES:
                    raise
                self.sleep(_pause(attempt, error))
            attempt += 1

    def _inside(self, address: str) -> str:
        """`address` below the registry's origin; an address elsewhere is refused, since the token goes with the request."""
        whole = urljoin(f"{self.origin}/", address)
        if urlsplit(whole)[:2] != urlsplit(self.origin)[:2]:
            raise Refused(
                f"The registry sent an address outside of {self.origin}; the token is not taken there.",
                reason="other-origin",
            )
        return whole

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except httpx.TimeoutException as error:
            raise NotReached(f"{self.origin} did not answer in time. Try again.", reason="timeout") from error
        except httpx.TransportError as error:
            raise NotReached(
                f"{self.origin} cannot be reached ({str(error) or type(error).__name__}). Check the address, the network and whether the "
                "registry runs.",
                reason="unreachable",
            ) from error
        except httpx.HTTPError as error:
            raise NotReached(f"{self.origin} answered something that is not HTTP: {error}.", reason="http") from error

    def _check(self, answer: httpx.Response) -> None:
        if answer.is_success:
            return
        if answer.is_redirect or answer.status_code == httpx.codes.NOT_MODIFIED:
            raise NotReached(f"{self.origin} leads elsewhere without saying where.", reason="redirect")
        answer.read()
        problem = _problem(answer)
        detail = str(problem.get("detail") or "")
        if answer.status_code in AGAIN:
            raise _Busy(
                detail or f"{self.origin} cannot answer at the moment ({answer.status_code}).",
                reason="busy",
                after=answer.headers.get("Retry-After", ""),
            )
        if answer.status_code >= 500:
            raise NotReached(
                f"{self.origin} failed ({answer.status_code}). {detail} Tell its administrators.", reason="server-error"
            )
        raise Refused(
            detail or f"{self.origin} refused ({answer.status_code}).",
            reason=str(problem.get("type", "")).rpartition(":")[2] or f"http-{answer.status_code}",
            status=answer.status_code,
            requirements=problem.get("requirements") or (),
            link=str(problem.get("link") or ""),
        )


class _Busy(NotReached):
    """The registry asks to come back later, after that many seconds where it says so."""

    def __init__(self, sentence: str, *, reason: str, after: str) -> None:
        super().__init__(sentence, reason=reason)
        self.after = float(after) if after.isdecimal() and after.isascii() else None


def _pause(attempt: int, error: CountersignError) -> float:
    """Seconds until the next attempt: what the registry asked for, else half a second doubled each time, spread at random."""
    asked = error.after if isinstance(error, _Busy) else None
    if asked is not None:
        return min(asked, LONGEST_WAIT)
    return float(0.5 * 2 ** (attempt - 1)) * (0.5 + random.random())  # noqa: S311 - spreads load, decides nothing


def _read(answer: httpx.Response) -> bytes:
    parts, size = [], 0
    for part in answer.iter_bytes():
        parts.append(part)
        size += len(part)
        if size > MOST_BYTES:
            raise Refused(
                f"The answer has more than {MOST_BYTES:,} bytes, which no such answer has.", reason="too-large"
            )
    return b"".join(parts)


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise NotReached(
            "The answer is not JSON: is this the address of a Countersign registry?", reason="not-json"
        ) from error


def _problem(answer: httpx.Response) -> dict[str, Any]:
    """The problem object (RFC 9457) of a refusal, or nothing where somebody else than the registry answered."""
    try:
        value = answer.json()
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
