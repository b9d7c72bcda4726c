"""`audit status`: how the ledger stands, in sentences, and exit code 1 where a person has to look."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any, Final

from django.core.management.base import CommandError, OutputWrapper
from django.db import connection

from audit import store, triggers
from audit.models import Pending, Quarantined
from audit.sequencer import state_journal

HELP: Final = "size, newest checkpoint, what is pending, what was refused"


def add(parser: ArgumentParser) -> None:
    """Takes no options."""


def run(options: dict[str, Any], stdout: OutputWrapper) -> None:
    """Say how the ledger stands; fails where rows were refused or guards are missing."""
    latest, outside = store.latest_checkpoint(), state_journal().largest()
    if latest is None:
        raise CommandError("This ledger has not been initialised. Run `manage.py audit init`.")
    refused, missing = Quarantined.objects.count(), triggers.missing(connection)
    signed = datetime.fromtimestamp(latest.t / 1_000_000, UTC).isoformat(timespec="seconds")
    stdout.write(f"{latest.size:,} entries are signed, the newest checkpoint at {signed}.")
    stdout.write(f"Outside the database {outside.size if outside else 0:,} are held.")
    stdout.write(f"{Pending.objects.count():,} entries wait to be logged.")
    for row in Quarantined.objects.order_by("-id")[:10]:
        stdout.write(f"Refused, pending row {row.pending_id}: {row.why}.")
    if refused or missing:
        raise CommandError(
            f"{refused:,} rows lie in quarantine; guards missing: {', '.join(sorted(missing)) or 'none'}."
        )
