"""`audit archive`: move old entries out of the database into files, where they stay part of the ledger."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import UTC, datetime
from getpass import getuser
from pathlib import Path
from typing import Any, Final

from django.core.management.base import CommandError, OutputWrapper

from audit import archive
from audit.archiving import NotArchivable, archive_entries, due, size_at
from audit.commands import OPERATOR

HELP: Final = "move old entries out of the database into files, proven first and read from there"


def add(parser: ArgumentParser) -> None:
    """What, where to, and whether the personal data beside it goes for good."""
    parser.add_argument(
        "--before", required=True, metavar="SIZE|DATE", help="the entries before this number, or before this day (UTC)"
    )
    parser.add_argument("--to", metavar="DIR", help="the archive folder, as COUNTERSIGN_LEDGER_ARCHIVE has it")
    parser.add_argument(
        "--drop-disclosures",
        action="store_true",
        help="destroy the names, addresses and texts beside all entries before it, for good",
    )
    parser.add_argument("--by", metavar="NAME", help="who archives; else the name of this account")
    parser.add_argument("--yes", action="store_true", help="do it; without, only say what would be moved")


def run(options: dict[str, Any], stdout: OutputWrapper) -> None:
    """Look, or move."""
    to, drop = options["to"], options["drop_disclosures"]
    if to is not None and Path(to).resolve() != archive.folder().resolve():
        raise CommandError(
            f"Archived entries are read from {archive.folder()}. Set COUNTERSIGN_LEDGER_ARCHIVE={to} for every process first, then "
            "run this again."
        )
    before = _position(options["before"])
    try:
        found = (
            archive_entries(before, operator=options["by"] or getuser(), by=OPERATOR, drop_disclosures=drop)
            if options["yes"]
            else due(before)
        )
    except NotArchivable as error:
        raise CommandError(str(error)) from error
    if not found.bundles and not (drop and found.openings):
        stdout.write(
            f"Nothing to archive before entry {before}: only full bundles leave the database, and not the newest."
        )
        return
    openings = f"{found.openings:,} rows of personal data {'destroyed' if drop else 'kept'} beside the index"
    stdout.write(
        f"{'Moved' if options['yes'] else 'To move, with --yes'}: {found.entries:,} entries in {len(found.bundles):,} files, "
        f"{found.bytes / 1024:,.0f} KiB, to {archive.folder()}; {openings}."
    )


def _position(text: str) -> int:
    if text.isdecimal() and text.isascii():
        return int(text)
    try:
        return size_at(datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC))
    except ValueError as error:
        raise CommandError("--before takes a number of entries, or a day as 2026-01-31.") from error
