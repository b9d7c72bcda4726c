"""Decides how findings of a verification are kept: in order, and bounded, since one fault can show a million times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MOST: Final = 100


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that does not agree: a stable code and a sentence."""

    code: str
    sentence: str


class Problems:
    """Collects findings; after the first hundred it only counts."""

    def __init__(self) -> None:
        self._found: list[Problem] = []
        self._more = 0

    def add(self, code: str, sentence: str) -> None:
        """Take one more finding."""
        if len(self._found) < MOST:
            self._found.append(Problem(code, sentence))
        else:
            self._more += 1

    @property
    def found(self) -> tuple[Problem, ...]:
        """All findings, the last one saying how many more there are."""
        more = [Problem("more", f"And {self._more:,} more problems of these kinds.")] if self._more else []
        return (*self._found, *more)
