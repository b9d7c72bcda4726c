"""Reads the scoring worker's append-only log: one JSON object a line. Pure apart from reading files.

A worker that is killed can leave half a line at the end, and one that is writing right now has not finished its last line yet:
whatever follows the last line break is left for the next reading.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

SUFFIX: Final = ".log"
CHUNK_BYTES: Final = 4 * 1024**2
LONGEST_LINE_BYTES: Final = 4 * 1024**2


class Prediction(msgspec.Struct, frozen=True):
    """One answer of the worker. `t`: microseconds since the epoch, by the worker's clock, when it answered."""

    id: str
    t: int
    version: int
    digest: str
    row: dict[str, Any]
    score: float
    decision: Any = None
    caller: str = ""


@dataclass(frozen=True)
class Chunk:
    """Whole lines of one segment from byte `start` to byte `end`; `unreadable` of them are not predictions."""

    segment: str
    start: int
    end: int
    predictions: tuple[Prediction, ...]
    unreadable: int


def segments(folder: Path) -> list[Path]:
    """The deployment's segments, oldest first; none when the worker has not written yet."""
    return sorted(path for path in folder.glob(f"*{SUFFIX}") if path.is_file()) if folder.is_dir() else []


def read(path: Path, start: int, *, limit: int = CHUNK_BYTES) -> Chunk | None:
    """The next whole lines of the segment at `path` from byte `start` on, about `limit` bytes; None when there is none.

    A line longer than 4 MiB is counted as unreadable and stepped over, so that it cannot hold up what follows.
    """
    with path.open("rb") as file:
        file.seek(start)
        data = file.read(limit)
        while data and b"\n" not in data and len(data) < LONGEST_LINE_BYTES:
            more = file.read(limit)
            if not more:
                return None
            data += more
    if not data:
        return None
    end = data.rfind(b"\n") + 1
    if not end:
        return Chunk(path.name, start, start + len(data), (), 1) if len(data) >= LONGEST_LINE_BYTES else None
    found = [_prediction(line) for line in data[:end].split(b"\n") if line.strip()]
    predictions = tuple(line for line in found if line is not None)
    return Chunk(path.name, start, start + end, predictions, len(found) - len(predictions))


_DECODER: Final = msgspec.json.Decoder(Prediction)


def _prediction(line: bytes) -> Prediction | None:
    try:
        found = _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return found if _sensible(found) else None


def _sensible(found: Prediction) -> bool:
    """Whether the numbers can be kept: a finite score, a time on this side of 1970 and before the year 10000, a short id."""
    return (
        math.isfinite(found.score)
        and 0 <= found.t < 253_402_300_800_000_000
        and 0 < len(found.id) <= 100
        and found.version > 0
    )


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row's values as a table can hold them: what is not a number, text or truth value counts as missing."""
    return {name: value if isinstance(value, str | int | float | bool) else None for name, value in row.items()}
