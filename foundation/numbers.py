"""Reads the numbers and moments that people and programs write into addresses and forms, where anything may stand."""

from __future__ import annotations

from datetime import datetime
from typing import Final

MAX_DIGITS: Final = 9


def whole_number(text: str) -> int | None:
    """The number that `text` writes in 1 to 9 digits of ASCII, or None: other scripts' digits and endless ones are no numbers here."""
    return int(text) if len(text) <= MAX_DIGITS and text.isascii() and text.isdigit() else None


def moment(text: str) -> datetime | None:
    """The moment that `text` writes as ISO 8601 with an offset, or None."""
    try:
        found = datetime.fromisoformat(text[:40])
    except ValueError:
        return None
    return found if found.tzinfo else None
