"""Decides how the ledger tells the time, and how long it waits before it asks somebody again who did not answer."""

from __future__ import annotations

import time
from typing import Final

FIRST_PAUSE_SECONDS: Final = 2.0
LONGEST_PAUSE_SECONDS: Final = 300.0


def now_us() -> int:
    """The time, in µs since 1970."""
    return time.time_ns() // 1_000


def pause_after(attempts: int) -> float:
    """How many seconds to wait after so many failed attempts in a row: twice as long each time, at most five minutes."""
    return float(min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(attempts - 1, 16)))
