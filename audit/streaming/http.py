"""A destination over HTTP: one POST for each batch, as JSON lines or as a CloudEvents batch (CloudEvents 1.0.2, HTTP binding, 3.3).

The address is the settings' own, so it may lead into the installation's own network. It is https with the certificate checked (http to
the loopback alone), holds no credentials, is asked without a proxy, and redirects are not followed (`foundation.outgoing`): whoever
answers cannot send the entries elsewhere.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from audit import keys
from audit.anchors.protocol import Options, SinkMisconfigured, required
from audit.formats import cloud_event, json_line
from audit.formats.cloudevents import event_id
from audit.queries import LoggedEntry
from audit.streaming.protocol import Parked, TryAgain
from foundation.outgoing import BadAddress, NoAnswer, checked_url, post

_LATER: Final = frozenset({408, 429})
_ELSEWHERE: Final = range(300, 400)


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
            answer = post(self.url, body, self._headers(content_type, body, batch), reach=None, ca=self.ca)
        except (NoAnswer, BadAddress) as error:
            raise TryAgain(f"it does not answer: {error}") from error
        if answer.accepted:
            return
        if answer.status in _LATER or answer.status >= 500:
            raise TryAgain(f"it answered {answer.status}", answer.retry_after)
        if answer.status in _ELSEWHERE:
            raise Parked(
                f"it answered {answer.status} and would send the entries elsewhere: name the address that takes them"
            )
        raise Parked(f"it refuses the batch with {answer.status}")

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
        checked_url(url)
    except BadAddress as error:
        raise SinkMisconfigured(f"url of the stream {name} {error}") from error
