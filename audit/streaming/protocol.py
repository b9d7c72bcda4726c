"""Decides what a destination is: a place that takes a batch of entries or says why not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from audit.queries import LoggedEntry


class TryAgain(RuntimeError):
    """The batch was not taken and may be later. `after_seconds` is what the receiver asked for; 0: nothing."""

    def __init__(self, sentence: str, after_seconds: float = 0.0) -> None:
        super().__init__(sentence)
        self.after_seconds = after_seconds


class Parked(RuntimeError):
    """The receiver refuses what it is sent: nothing is skipped, a person has to look."""


class Destination(Protocol):
    """Where entries are sent. `name` is unique in an installation."""

    @property
    def name(self) -> str:
        """What it is called in settings, status and the table of positions; at most 40 characters."""

    def deliver(self, batch: Sequence[LoggedEntry]) -> None:
        """Send the entries in their order; raises `TryAgain` or `Parked` where they were not all taken."""
