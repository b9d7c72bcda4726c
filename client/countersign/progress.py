"""Shows on a terminal how far a transfer is; elsewhere it stays silent."""

from __future__ import annotations

import sys
import threading
import time
from typing import Final, TextIO

WIDTH: Final = 28
EVERY: Final = 0.1


class Bar:
    """A line that is drawn again: bytes here, bytes in all, bytes a second. Call it with each advance, and close it."""

    def __init__(self, what: str, total: int, *, quiet: bool = False, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._shown = not quiet and self._stream.isatty()
        self._what, self._total, self._here = what, total, 0
        self._began = self._drawn = time.monotonic()
        self._lock = threading.Lock()

    def __call__(self, advance: int) -> None:
        """So many more bytes are here."""
        with self._lock:
            self._here += advance
            now = time.monotonic()
            if self._shown and now - self._drawn >= EVERY:
                self._drawn = now
                self._stream.write(f"\r{self.line(now - self._began)}\x1b[K")
                self._stream.flush()

    def line(self, seconds: float) -> str:
        """The line after so many seconds."""
        share = min(1.0, self._here / self._total) if self._total else 1.0
        full = int(share * WIDTH)
        rate = f", {size_text(int(self._here / seconds))}/s" if seconds > 0 else ""
        bar = "█" * full + "░" * (WIDTH - full)
        return f"{self._what} {bar} {share:4.0%} of {size_text(self._total)}{rate}"

    def close(self) -> None:
        """Wipe the line."""
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def size_text(size: int) -> str:
    """Bytes for a person: `12.3 MB`."""
    amount, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
