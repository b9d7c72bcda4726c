"""A C2SP witness as a sink: it cosigns a checkpoint only when a consistency proof leads there from the last one that it cosigned.

Protocol: C2SP tlog-witness, `add-checkpoint`. What it cosigned is kept in the anchor folder; the witness itself remembers the size,
and a ledger that went back meets its refusal.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import httpx

from audit import store
from audit.anchors.protocol import (
    TIMEOUT_SECONDS,
    Options,
    SinkDamaged,
    SinkFailed,
    SinkMisconfigured,
    beside,
    lines_of,
    required,
    seconds,
)
from audit.cosignature import Witness
from audit.journal import Line
from audit.merkle import consistency_proof
from audit.tiles import TileNodes
from countersign.proof.note import NoteRefused

_KNOWS_ANOTHER_SIZE: Final = 409
_MEANT: Final = {
    400: "it found the request malformed",
    403: "it trusts none of the checkpoint's signatures",
    404: "it does not know this log: give its operator the ledger's public key",
    422: "it found that this checkpoint does not continue the one that it cosigned before",
}


@dataclass(frozen=True, slots=True)
class WitnessSink:
    """Asks the witness at `url` (its submission prefix) for cosignatures under its key."""

    name: str
    url: str
    witness: Witness
    every_seconds: float

    @classmethod
    def of(cls, name: str, options: Options) -> WitnessSink:
        """From `url` and `key`, the witness's verifier key."""
        url, key = required(options, "url", "key")
        try:
            witness = Witness.parse(key)
        except NoteRefused as error:
            raise SinkMisconfigured(f"key of the sink {name}: {error}") from error
        return cls(name, url.rstrip("/"), witness, seconds(options, 60))

    def publish(self, line: Line) -> str:
        """Have the checkpoint cosigned and keep it with its cosignature; the time and the signature line."""
        cosigned = self._last_cosigned(line)
        answer = self._add_checkpoint(cosigned, line)
        if answer.status_code == _KNOWS_ANOTHER_SIZE:
            answer = self._add_checkpoint(self._size_it_knows(answer, line), line)
        if answer.status_code != httpx.codes.OK:
            said = _MEANT.get(answer.status_code, f"it answered {answer.status_code}")
            raise SinkFailed(f"{self.witness.name} did not cosign: {said}")
        note = line.note + answer.text
        try:
            time = self.witness.cosigned_at(note)
        except NoteRefused as error:
            raise SinkFailed(f"{self.url}: {error}") from error
        if time is None:
            raise SinkFailed(f"{self.url} answered without a cosignature of {self.witness.name}")
        beside(self.name).append(Line(line.t, line.size, note, answer.text))
        return f"{datetime.fromtimestamp(time, UTC).isoformat()} {answer.text.strip()}"

    def held(self) -> list[Line]:
        """The checkpoints that were cosigned, each cosignature verified."""
        lines = lines_of(beside(self.name))
        for line in lines:
            try:
                if self.witness.cosigned_at(line.note) is None:
                    raise NoteRefused(f"{self.witness.name} has not cosigned it")
            except NoteRefused as error:
                raise SinkDamaged(f"the checkpoint over {line.size} entries is not cosigned: {error}") from error
        return lines

    def _last_cosigned(self, line: Line) -> int:
        last = beside(self.name).largest(line.note.partition("\n")[0])
        return min(last.size, line.size) if last else 0

    def _add_checkpoint(self, old: int, line: Line) -> httpx.Response:
        proof = consistency_proof(TileNodes(store.read_tile), old, line.size) if 0 < old < line.size else []
        hashes = "".join(f"{b64encode(one).decode()}\n" for one in proof)
        try:
            return httpx.post(
                f"{self.url}/add-checkpoint",
                content=f"old {old}\n{hashes}\n{line.note}".encode(),
                timeout=TIMEOUT_SECONDS,
            )
        except httpx.HTTPError as error:
            raise SinkFailed(f"{self.url}: {error}") from error

    def _size_it_knows(self, answer: httpx.Response, line: Line) -> int:
        size = answer.text.strip()
        if not size.isascii() or not size.isdecimal():
            raise SinkFailed(f"{self.url} knows another size and does not say which")
        if int(size) > line.size:
            raise SinkFailed(
                f"{self.witness.name} has cosigned {int(size):,} entries, this ledger has {line.size:,}: it was cut short, or restored "
                "from an old backup"
            )
        return int(size)
