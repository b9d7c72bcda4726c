"""The record of every answer a scoring worker gave: append-only files, one JSON line per row, written before the answer leaves.

A line that does not end in a newline was cut by a crash and never answered. Monitoring reads the files; the worker only appends.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson

SEGMENT_BYTES: Final = 64 * 1024**2


class PredictionLog:
    """Segments named by the UTC moment in which they were begun, in one folder per deployment. One writer per instance."""

    def __init__(self, folder: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        folder.mkdir(parents=True, exist_ok=True)
        self._open_segment()

    def append(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Write all of `records` with one system call; raises `OSError` where they could not be kept, and then no answer may leave."""
        batch = b"".join(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE) for record in records)
        if self._written and self._written + len(batch) > self._segment_bytes:
            self.close()
            self._open_segment()
        written = os.write(self._descriptor, batch)
        while written < len(batch):
            written += os.write(self._descriptor, batch[written:])
        self._written += written

    def close(self) -> None:
        """Make sure that what was written is on the disk, and let go of the file."""
        os.fsync(self._descriptor)
        os.close(self._descriptor)

    def _open_segment(self) -> None:
        path = self._folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}.log"
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_EXCL, 0o640)
        self._written = 0
