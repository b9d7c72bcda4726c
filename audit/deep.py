"""Decides what a ledger whose hashes are right can still hide: removed, repeated, back-dated entries, a false index, false private data."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import Final

from audit.entries import INDEX_COLUMNS, Entry, Malformed, opened_by
from audit.models import IndexRow, Private
from audit.payload import decode_disclosures
from audit.problems import Problems
from audit.writer import NONE_YET

CLOCK_TOLERANCE_US: Final = int(timedelta(minutes=5).total_seconds()) * 1_000_000


class DeepCheck:
    """Reads the entries in order and compares them with one another, with the index and with the private data."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._numbers: defaultdict[str, set[int]] = defaultdict(set)
        self._latest = 0

    def entries(self, start: int, payloads: list[bytes]) -> None:
        """Check the entries from position `start` on."""
        parsed = {seq: entry for seq, payload in enumerate(payloads, start) if (entry := self._parse(seq, payload))}
        self._compare_index(start, len(payloads), parsed)
        self._compare_private(start, len(payloads), parsed)
        for seq, entry in parsed.items():
            self._check_links(seq, entry)
            self._check_clock(seq, entry)

    def _parse(self, seq: int, payload: bytes) -> Entry | None:
        try:
            return Entry.parse(payload)
        except Malformed as error:
            self._problems.add("malformed", f"Entry {seq} cannot be read: {error}.")
            return None

    def _compare_index(self, start: int, count: int, parsed: dict[int, Entry]) -> None:
        rows = IndexRow.objects.filter(seq__gte=start, seq__lt=start + count).values_list(*INDEX_COLUMNS)
        found = {row[0]: row for row in rows}
        for seq, entry in parsed.items():
            if found.get(seq) != entry.index_row(seq):
                what = "does not show" if seq not in found else "shows something else than"
                self._problems.add(
                    "index", f"The search index {what} entry {seq}. Run `manage.py audit reindex` once you know why."
                )

    def _compare_private(self, start: int, count: int, parsed: dict[int, Entry]) -> None:
        rows = Private.objects.filter(seq__gte=start, seq__lt=start + count).values_list("seq", "disclosures")
        for seq, stored in rows:
            try:
                fits = seq in parsed and opened_by(decode_disclosures(bytes(stored)), parsed[seq])
            except (ValueError, TypeError):
                fits = False
            if not fits:
                self._problems.add("private", f"The private data beside entry {seq} is not what the entry commits to.")

    def _check_links(self, seq: int, entry: Entry) -> None:
        numbers = self._numbers[entry.writer]
        if entry.n in numbers:
            self._problems.add("repeated", f"Entry {seq} repeats number {entry.n} of writer {entry.writer}.")
        if entry.previous != NONE_YET and entry.previous not in numbers:
            self._problems.add(
                "removed",
                f"Before entry {seq}, writer {entry.writer} had committed its number {entry.previous}, which is not in the ledger: "
                "it was removed before it could be logged, or refused.",
            )
        numbers.add(entry.n)

    def _check_clock(self, seq: int, entry: Entry) -> None:
        if entry.t < self._latest - CLOCK_TOLERANCE_US:
            minutes = (self._latest - entry.t) // 60_000_000
            self._problems.add(
                "clock", f"Entry {seq} is dated {minutes} minutes before an entry that was logged earlier."
            )
        self._latest = max(self._latest, entry.t)
