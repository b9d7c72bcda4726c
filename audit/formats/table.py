"""Entries as a table: one row each, for a spreadsheet."""

from __future__ import annotations

from typing import Final

from audit.queries import LoggedEntry
from foundation.spreadsheets import Cell

COLUMNS: Final = (
    "number",
    "time",
    "action",
    "outcome",
    "why",
    "actor kind",
    "actor",
    "via",
    "object kind",
    "object",
    "name",
    "version",
    "request",
)


def cells(one: LoggedEntry) -> list[Cell]:
    """The row of an entry."""
    entry = one.entry
    return [
        "pending" if one.seq is None else one.seq,
        one.at,
        entry.action,
        entry.outcome,
        entry.why,
        entry.actor_kind,
        entry.actor_id,
        entry.via,
        entry.obj_kind,
        entry.obj_id,
        entry.obj_name,
        entry.obj_version,
        entry.request_id,
    ]
