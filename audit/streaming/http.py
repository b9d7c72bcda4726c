"""A destination over HTTP: one POST for each batch, as JSON lines or as a CloudEvents batch (CloudEvents 1.0.2, HTTP binding, 3.3).

The address is the settings' own. It is https with the certificate checked (http to the loopback alone), holds no credentials, is asked
without a proxy, and redirects are not followed: whoever answers cannot send the entries elsewhere.
"""

from __future__ import annotations

import hmac
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import ip_address
from typing import Final

import httpx

from audit import keys
from audit.anchors.protocol import Options, SinkMisconfigured, required
from audit.formats import cloud_event, json_line
from audit.formats.cloudevents import event_id
from audit.queries import LoggedEntry
from audit.streaming.protocol import Parked, TryAgain

TIMEOUT_SECONDS: Final = 15.0
LONGEST_WAIT_SECONDS: Final = 3_600.0
_LATER: Final = frozenset({408, 429})


def _lines(batch: Sequence[LoggedEntry]) -> bytes:
    return b"".join(json_line(one) + b"\n" for one in batch)


def _cloud_events(batch: Sequence[LoggedEntry]) -> bytes:
    return b"[" + b",".join(cloud_event(one) for one in batch) + b"]"


_FORMATS: Final[dict[str, tuple[str, Callable[[Sequence[LoggedEntry]], bytes]]]] = {
    "jsonl": ("application/x-ndjson", _lines),
    "cloudevents": ("application/cloudevents-batch+json; charset=utf-8", _cloud_events),
}


@dataclass(frozen=True, slots=True)
class HttpDestination:
    """Posts to `url`; with `token` as bearer, with `hmac_key` signed. `ca` is a file of certificates to trust instead of the system's."""

    name: str
    url: str
    format: str = "cloudevents"
    token: str = ""
    hmac_key: str = ""
    ca: str = ""

    @classmethod
    def of(cls, name: str, options: Options) -> HttpDestination:
        """From `url`, and if wanted `format` (cloudevents, jsonl), `token`, `hmac_key` and `ca`."""
        (url,) = required(options, "url")
        form = options.get("format", "cloudevents")
        if form not in _FORMATS:
            raise SinkMisconfigured(f"format of the stream {name} is one of {', '.join(_FORMATS)}, not {form!r}")
        _check(name, url)
        return cls(name, url, form, options.get("token", ""), options.get("hmac_key", ""), options.get("ca", ""))

    def deliver(self, batch: Sequence[LoggedEntry]) -> None:
        """Post the batch; taken is what was answered with 2xx."""
        content_type, encode = _FORMATS[self.format]
        body = encode(batch)
        try:
            answer = self._post(body, self._headers(content_type, body, batch))
        except (httpx.HTTPError, ssl.SSLError, OSError) as error:
            raise TryAgain(f"it does not answer: {type(error).__name__} {error}".strip()) from error
        if answer.is_success:
            return
        if answer.status_code in _LATER or answer.is_server_error:
            raise TryAgain(f"it answered {answer.status_code}", _retry_after(answer))
        if answer.is_redirect:
            raise Parked(
                f"it answered {answer.status_code} and would send the entries elsewhere: name the address that takes them"
            )
        raise Parked(f"it refuses the batch with {answer.status_code}")

    def _post(self, body: bytes, headers: dict[str, str]) -> httpx.Response:
        trusted = ssl.create_default_context(cafile=self.ca or None)
        with (
            httpx.Client(verify=trusted, trust_env=False, follow_redirects=False, timeout=TIMEOUT_SECONDS) as client,
            client.stream("POST", self.url, content=body, headers=headers) as answer,
        ):
            return answer  # its body is not read: nothing in it is believed

    def _headers(self, content_type: str, body: bytes, batch: Sequence[LoggedEntry]) -> dict[str, str]:
        origin = keys.origin()
        first, last = (event_id(origin, one.seq or 0) for one in (batch[0], batch[-1]))
        headers = {"Content-Type": content_type, "X-Countersign-First": first, "X-Countersign-Last": last}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if self.hmac_key:
            at = str(int(time.time()))
            signature = hmac.new(self.hmac_key.encode(), f"{at}.".encode() + body, sha256).hexdigest()
            headers |= {"X-Countersign-Timestamp": at, "X-Countersign-Signature": f"v1={signature}"}
        return headers


def _check(name: str, url: str) -> None:
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise SinkMisconfigured(f"url of the stream {name}: {error}") from error
    if not address.host or address.userinfo:
        raise SinkMisconfigured(f"url of the stream {name} names a host and no user or password: use token or hmac_key")
    if address.scheme != "https" and not (address.scheme == "http" and is_loopback(address.host)):
        raise SinkMisconfigured(f"url of the stream {name} begins with https:// (http:// only on this machine)")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _retry_after(answer: httpx.Response) -> float:
    """The seconds that the receiver asks for; 0 for none or a date."""
    text = answer.headers.get("Retry-After", "")
    return min(float(text), LONGEST_WAIT_SECONDS) if text.isdecimal() and text.isascii() else 0.0
