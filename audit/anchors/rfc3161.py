"""A time-stamping authority as a sink: its signed token shows that a checkpoint existed at that time.

The authority keeps nothing, so the token is kept beside the checkpoint in the anchor folder and verified again, against
the configured roots, whenever the ledger is. Needs rfc3161-client (the extra `anchors`).
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from cryptography.x509 import Certificate, load_pem_x509_certificates

from audit.anchors.protocol import (
    TIMEOUT_SECONDS,
    Options,
    SinkDamaged,
    SinkFailed,
    beside,
    lines_of,
    required,
    seconds,
)
from audit.journal import Line


@dataclass(frozen=True, slots=True)
class TimestampSink:
    """Asks `url` for a token over each checkpoint; `roots` is a PEM file with the certificates that are trusted."""

    name: str
    url: str
    roots: Path
    every_seconds: float

    @classmethod
    def of(cls, name: str, options: Options) -> TimestampSink:
        """From `url` and `roots`."""
        url, roots = required(options, "url", "roots")
        return cls(name, url, Path(roots), seconds(options, 3_600))

    def publish(self, line: Line) -> str:
        """Ask for a token, verify it and keep it; the time that it states."""
        library, note = _library(), line.note.encode()
        request = library.TimestampRequestBuilder().data(note).build()
        try:
            answer = httpx.post(
                self.url,
                content=request.as_bytes(),
                headers={"Content-Type": "application/timestamp-query"},
                timeout=TIMEOUT_SECONDS,
            )
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise SinkFailed(f"{self.url}: {error}") from error
        try:
            time = self._verify(answer.content, note, request.nonce)
        except ValueError as error:
            raise SinkFailed(f"{self.url} gave a token that does not hold: {error}") from error
        token = b64encode(answer.content).decode()
        beside(self.name).append(Line(line.t, line.size, line.note, token))
        return f"{time} {token}"

    def held(self) -> list[Line]:
        """The checkpoints that have a token, each token verified."""
        lines = lines_of(beside(self.name))
        for line in lines:
            try:
                self._verify(b64decode(line.receipt), line.note.encode(), None)
            except ValueError as error:
                raise SinkDamaged(f"the time stamp over {line.size} entries does not hold: {error}") from error
        return lines

    def _verify(self, response: bytes, note: bytes, nonce: int | None) -> str:
        """The time of a token that a trusted authority gave for this note; else `ValueError`."""
        library = _library()
        verifier = library.VerifierBuilder(roots=self._trusted(), nonce=nonce).build()
        try:
            token = library.decode_timestamp_response(response)
            verifier.verify_message(token, note)
        except library.VerificationError as error:
            raise ValueError(str(error)) from error
        return str(token.tst_info.gen_time.isoformat(timespec="seconds"))

    def _trusted(self) -> list[Certificate]:
        try:
            return load_pem_x509_certificates(self.roots.read_bytes())
        except (OSError, ValueError) as error:
            raise SinkFailed(f"the roots in {self.roots.name} cannot be read: {error}") from error


def _library() -> Any:
    try:
        import rfc3161_client
    except ImportError as error:
        raise SinkFailed("rfc3161-client is not installed; install Countersign with its extra `anchors`") from error
    return rfc3161_client
