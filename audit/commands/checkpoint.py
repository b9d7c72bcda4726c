"""`audit checkpoint`: the newest signed checkpoint, as it is."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any, Final

from django.core.management.base import CommandError, OutputWrapper

from audit import store

HELP: Final = "print the newest signed checkpoint"


def add(parser: ArgumentParser) -> None:
    """Takes no options."""


def run(options: dict[str, Any], stdout: OutputWrapper) -> None:
    """Print it."""
    latest = store.latest_checkpoint()
    if latest is None:
        raise CommandError("This ledger has not been initialised. Run `manage.py audit init`.")
    stdout.write(latest.note, ending="")
