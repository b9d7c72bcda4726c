"""Decides in which forms entries leave: CSV for people, JSON lines with the exact bytes, CloudEvents and OCSF for other systems.

None carries personal data: an entry holds salted digests of it only, and the openings stay here. What waits to be logged has no
number yet, which is what makes an event's id stable, so only CSV shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from audit import keys
from audit.formats import cloudevents, ocsf, table
from audit.queries import LoggedEntry
from foundation.spreadsheets import csv_lines

Lines = Iterator[str] | Iterator[bytes]


@dataclass(frozen=True, slots=True)
class Format:
    """One form: how `?format=` and a file's ending name it, its media type, and how entries become lines of it."""

    name: str
    suffix: str
    content_type: str
    lines: Callable[[Iterable[LoggedEntry]], Lines]
    shows_pending: bool = False


def json_line(one: LoggedEntry) -> bytes:
    """An entry's number beside its exact bytes, which hash to the leaf."""
    return b'{"seq":%d,"entry":%b}' % (one.seq or 0, one.payload)


def _csv(entries: Iterable[LoggedEntry]) -> Iterator[str]:
    return csv_lines(table.COLUMNS, map(table.cells, entries))


def _lines(line: Callable[[LoggedEntry], bytes]) -> Callable[[Iterable[LoggedEntry]], Iterator[bytes]]:
    def lines(entries: Iterable[LoggedEntry]) -> Iterator[bytes]:
        return (line(one) + b"\n" for one in entries if one.seq is not None)

    return lines


def cloud_event(one: LoggedEntry) -> bytes:
    """An entry as a CloudEvent of this ledger."""
    return cloudevents.event(one, keys.origin())


def ocsf_event(one: LoggedEntry) -> bytes:
    """An entry as an OCSF event of this ledger."""
    return ocsf.event(one, keys.origin())


CSV: Final = Format("csv", "csv", "text/csv; charset=utf-8", _csv, shows_pending=True)
JSON_LINES: Final = Format("jsonl", "jsonl", "application/x-ndjson", _lines(json_line))
CLOUD_EVENTS: Final = Format("cloudevents", "cloudevents.jsonl", "application/x-ndjson", _lines(cloud_event))
OCSF: Final = Format("ocsf", "ocsf.jsonl", "application/x-ndjson", _lines(ocsf_event))
FORMATS: Final = (CSV, JSON_LINES, CLOUD_EVENTS, OCSF)


def by_suffix(suffix: str) -> Format | None:
    """The format of a file's ending."""
    return next((one for one in FORMATS if one.suffix == suffix), None)


def by_name(name: str) -> Format | None:
    """The format that `?format=` names."""
    return next((one for one in FORMATS if one.name == name), None)
