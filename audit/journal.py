"""Decides how checkpoints are kept outside the database: one line each in a file that only grows.

A database that is restored, cut short or rewritten cannot take these lines with it. A crash may leave a torn last line,
which is cut off by the next append; a line that is not the last and cannot be read is reported as damage.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

_TAIL_BYTES: Final = 65_536


class JournalDamaged(RuntimeError):
    """A line that is not the last cannot be read: somebody or something has changed the file."""


@dataclass(frozen=True, slots=True)
class Line:
    """A signed checkpoint with the size that it covers and the time at which it was written (µs since 1970).

    `receipt` is what an outside party gave for it, where what it gave proves something: a time stamp, for example.
    """

    t: int
    size: int
    note: str
    receipt: str = ""


@dataclass(frozen=True, slots=True)
class Journal:
    """A file of checkpoints."""

    path: Path

    def append(self, line: Line) -> None:
        """Add a line and return when it is on the disk."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        receipt = {"receipt": line.receipt} if line.receipt else {}
        record = orjson.dumps({"t": line.t, "size": line.size, "note": line.note, **receipt}) + b"\n"
        created = not self.path.exists()
        with self.path.open("ab+") as file:
            _cut_torn_end(file.fileno())
            file.write(record)
            file.flush()
            os.fsync(file.fileno())
        if created:
            _sync_folder(self.path.parent)

    def lines(self) -> list[Line]:
        """Every line, oldest first; none where there is no file."""
        if not self.path.exists():
            return []
        *whole, _torn = self.path.read_bytes().split(b"\n")
        return [_parse(record, number, self.path.name) for number, record in enumerate(whole, 1)]

    def largest(self, origin: str = "") -> Line | None:
        """The line that covers most, among the last ones, of any log or of that name's.

        Among the last ones, since two sequencers that hand over may write them out of order; of a name, since what a recovered
        log continues may have been larger.
        """
        if not self.path.exists():
            return None
        with self.path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            *whole, _torn = file.read().split(b"\n")
            # The first record read may have lost its beginning, except at the beginning of the file.
            records = whole[1:] if file.tell() > _TAIL_BYTES else whole
        lines = [_parse(record, number - len(records), self.path.name) for number, record in enumerate(records)]
        ours = (line for line in lines if not origin or line.note.startswith(f"{origin}\n"))
        return max(ours, key=lambda line: line.size, default=None)


def _parse(record: bytes, number: int, name: str) -> Line:
    try:
        fields = orjson.loads(record)
        return Line(int(fields["t"]), int(fields["size"]), str(fields["note"]), str(fields.get("receipt", "")))
    except (ValueError, KeyError, TypeError) as error:
        raise JournalDamaged(
            f"line {number} of {name} cannot be read (a negative number counts from the end)"
        ) from error


def _cut_torn_end(descriptor: int) -> None:
    end = os.lseek(descriptor, 0, os.SEEK_END)
    position = end
    while position and os.pread(descriptor, 1, position - 1) != b"\n":
        position -= 1
    if position != end:
        os.ftruncate(descriptor, position)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
