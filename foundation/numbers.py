"""Reads the numbers that people and programs write into addresses and forms, where anything may stand."""

from __future__ import annotations

from typing import Final

MAX_DIGITS: Final = 9


def whole_number(text: str) -> int | None:
    """The number that `text` writes in 1 to 9 digits of ASCII, or None: other scripts' digits and endless ones are no numbers here."""
    return int(text) if len(text) <= MAX_DIGITS and text.isascii() and text.isdigit() else None
