"""`manage.py audit …`: everything that an operator does with the ledger. Exit code 0: all is well; 1: it is not; the sentence says why.

Each subcommand is a module of `audit.commands`; its file name with hyphens is its name.
"""

from __future__ import annotations

from argparse import ArgumentParser
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError

from audit import commands
from audit.anchors.protocol import SinkMisconfigured
from audit.journal import JournalDamaged
from audit.keys import KeyRefused
from audit.sequencer import RefusesToSign
from audit.tiles import BrokenBundle

COMMANDS: Final[dict[str, ModuleType]] = {
    module.name.replace("_", "-"): import_module(f"{commands.__name__}.{module.name}")
    for module in iter_modules(commands.__path__)
}


class Command(BaseCommand):
    """Finds the subcommand and turns what the ledger refuses into a sentence and exit code 1."""

    help = f"The ledger: {', '.join(COMMANDS)}."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the subcommands."""
        subparsers = parser.add_subparsers(dest="subcommand", required=True)
        for name, module in COMMANDS.items():
            module.add(subparsers.add_parser(name, help=module.HELP))

    def handle(self, *_args: Any, subcommand: str, **options: Any) -> None:
        """Run one subcommand."""
        try:
            COMMANDS[subcommand].run(options, self.stdout)
        except (RefusesToSign, KeyRefused, JournalDamaged, SinkMisconfigured) as error:
            raise CommandError(str(error)) from error
        except BrokenBundle as error:
            raise CommandError(f"The entries cannot be read: {error}. Run `manage.py audit verify`.") from error
