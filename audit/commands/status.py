"""`audit status`: how the ledger stands, in sentences, and exit code 1 where a person has to look."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any, Final

from django.core.management.base import CommandError, OutputWrapper
from django.db import connection

from audit import archive, keys, store, triggers
from audit.alerts import failing_sinks, failing_streams, when
from audit.anchors.configured import state_journal
from audit.models import Pending, Quarantined, SinkState
from audit.streaming import standing

HELP: Final = "size, newest checkpoint, what is pending, what was refused"


def add(parser: ArgumentParser) -> None:
    """Takes no options."""


def run(options: dict[str, Any], stdout: OutputWrapper) -> None:
    """Say how the ledger stands; fails where rows were refused, guards are missing or an archived file is not there."""
    latest, outside = store.latest_checkpoint(), state_journal().largest()
    if latest is None:
        raise CommandError("This ledger has not been initialised. Run `manage.py audit init`.")
    refused, missing = Quarantined.objects.count(), triggers.missing(connection)
    signed = when(latest.t)
    stdout.write(f"{latest.size:,} entries are signed, the newest checkpoint at {signed}.")
    stdout.write(f"Outside the database {outside.size if outside else 0:,} are held.")
    stdout.write(f"{Pending.objects.count():,} entries wait to be logged.")
    end, absent = archive.archived_end(), archive.absent()
    if end:
        stdout.write(f"Entries up to {end:,} were archived in {archive.folder()}.")
    for state in SinkState.objects.order_by("name"):
        stdout.write(_sink(state))
    for sentence in standing.sentences():
        stdout.write(f"Stream {sentence}")
    for sentence in _old_mac_keys():
        stdout.write(sentence)
    for row in Quarantined.objects.order_by("-id")[:10]:
        stdout.write(f"Refused, pending row {row.pending_id}: {row.why}.")
    late = [alert.body for alert in (*failing_sinks(), *failing_streams())]
    if refused or missing:
        late.append(f"{refused:,} rows lie in quarantine; guards missing: {', '.join(sorted(missing)) or 'none'}.")
    if absent:
        more = f" and {len(absent) - 1:,} more" if len(absent) > 1 else ""
        late.append(f"Missing from the archive {archive.folder()}: {absent[0]}{more}. Put back what a backup holds.")
    if late:
        raise CommandError("\n".join(late))


def _sink(state: SinkState) -> str:
    if state.failing_since:
        tried = f"{state.attempts:,} time{'' if state.attempts == 1 else 's'}"
        return f"{state.name}: fails since {when(state.failing_since)}, tried {tried}: {state.error}."
    return f"{state.name}: holds the checkpoint over {state.size:,} entries since {when(state.published)}."


def _old_mac_keys() -> list[str]:
    """Which old MAC keys can go: those under which nothing waits any more."""
    waiting = Pending.objects.all()
    counts = {key_id: waiting.filter(mac__startswith=f"{key_id}:").count() for key_id in keys.old_mac_keys()}
    return [
        f"MAC key {key_id} is still accepted: "
        + (
            f"{count:,} rows wait under it."
            if count
            else "nothing waits under it, remove it once every process is restarted."
        )
        for key_id, count in counts.items()
    ]
