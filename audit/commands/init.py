"""`audit init`: makes the keys and signs the empty ledger."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any, Final

from django.core.management.base import OutputWrapper

from audit import keys
from audit.commands import OPERATOR
from audit.rotation import record_first_key
from audit.sequencer import initialise

HELP: Final = "make the keys and sign the empty ledger; harmless when done already"


def add(parser: ArgumentParser) -> None:
    """Takes no options."""


def run(options: dict[str, Any], stdout: OutputWrapper) -> None:
    """Initialise, and say the ledger's name and public key."""
    head = initialise()
    record_first_key(by=OPERATOR)
    stdout.write(f"The ledger {head.origin} is ready; it holds {head.size:,} entries.")
    stdout.write(f"Its public key is {keys.trusted_verifiers()[-1]}")
