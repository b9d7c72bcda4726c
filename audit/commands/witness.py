"""`audit witness`: asks the configured witnesses for their cosignatures and shows them."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any, Final

from django.core.management.base import CommandError, OutputWrapper

from audit import keys
from audit.anchors.configured import configured, state_journal
from audit.anchors.protocol import SinkDamaged
from audit.anchors.publishing import publish
from audit.anchors.witness import WitnessSink
from audit.models import SinkState

HELP: Final = "ask the witnesses to cosign the newest checkpoint and print it with their cosignatures"


def add(parser: ArgumentParser) -> None:
    """Ask, or look only."""
    parser.add_argument("--held", action="store_true", help="only print the newest cosigned checkpoints")


def run(options: dict[str, Any], stdout: OutputWrapper) -> None:
    """Print the newest checkpoint that each witness cosigned; fails where one refuses."""
    witnesses = [sink for sink in configured() if isinstance(sink, WitnessSink)]
    line = state_journal().largest(keys.origin())
    if not witnesses or line is None:
        raise CommandError("No witness is configured; see COUNTERSIGN_ANCHORS in the operations guide.")
    refused = []
    for sink in witnesses:
        if not options["held"]:
            publish(sink, line)
        state = SinkState.objects.filter(name=sink.name, failing_since__gt=0).first()
        refused += [f"{sink.name}: {state.error}."] if state else []
        refused += _print(sink, stdout)
    if refused:
        raise CommandError("\n".join(refused))


def _print(sink: WitnessSink, stdout: OutputWrapper) -> list[str]:
    try:
        cosigned = sink.held()
    except SinkDamaged as error:
        return [f"{sink.name}: {error}."]
    if cosigned:
        stdout.write(cosigned[-1].note)
    return []
