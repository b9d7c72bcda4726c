"""`audit anchor`: puts the newest checkpoint into every sink now, or shows what is held outside."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any, Final

from django.core.management.base import CommandError, OutputWrapper

from audit import keys
from audit.anchors.configured import configured, local_sinks, state_journal
from audit.anchors.protocol import Sink, SinkDamaged, SinkFailed
from audit.anchors.publishing import publish
from audit.models import SinkState

HELP: Final = "publish the newest checkpoint to every sink now, or show what is held outside"


def add(parser: ArgumentParser) -> None:
    """Publish, or look only."""
    parser.add_argument("--held", action="store_true", help="only show what each sink holds")


def run(options: dict[str, Any], stdout: OutputWrapper) -> None:
    """Publish unless asked to look only, then say what each sink holds; fails where one did not take it or cannot be read."""
    failed = [] if options["held"] else _publish(stdout)
    for sink in [*local_sinks(), *configured()]:
        try:
            stdout.write(_holding(sink))
        except (SinkFailed, SinkDamaged) as error:
            failed.append(f"{sink.name}: {error}.")
    if failed:
        raise CommandError("\n".join(failed))


def _publish(stdout: OutputWrapper) -> list[str]:
    line, sinks = state_journal().largest(keys.origin()), configured()
    if line is None:
        raise CommandError("This ledger has not been initialised. Run `manage.py audit init`.")
    if not sinks:
        stdout.write("No sink is configured besides the local files; see COUNTERSIGN_ANCHORS in the operations guide.")
    for sink in sinks:
        publish(sink, line)
    states = SinkState.objects.filter(name__in=[sink.name for sink in sinks], failing_since__gt=0)
    return [f"{state.name} did not take the checkpoint over {line.size:,} entries: {state.error}." for state in states]


def _holding(sink: Sink) -> str:
    lines = sink.held()
    if not lines:
        return f"{sink.name} holds nothing yet."
    newest = max(lines, key=lambda line: line.t)
    count = f"{len(lines):,} checkpoint{'' if len(lines) == 1 else 's'}"
    return f"{sink.name} holds {count}, the newest over {newest.size:,} entries. {newest.receipt[:120]}".rstrip()
