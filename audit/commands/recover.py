"""`audit recover`: shows what a ledger has lost and, when told to in exact words, continues it with the loss on record."""

from __future__ import annotations

from argparse import ArgumentParser
from getpass import getuser
from typing import Any, Final

from django.core.management.base import CommandError, OutputWrapper

from audit import keys
from audit.commands import OPERATOR
from audit.recovery import NotRecoverable, assess, recover

HELP: Final = "after a loss that no backup undoes: show it, then continue the ledger with the loss as its first entry"


def add(parser: ArgumentParser) -> None:
    """Nothing shows; both `--accept-loss` and `--reason` recover."""
    parser.add_argument("--accept-loss", type=int, metavar="SIZE", help="exactly the number of entries that are kept")
    parser.add_argument("--reason", default="", help="what happened; it stays in the ledger, so name nobody")
    parser.add_argument("--by", metavar="NAME", help="who recovers it; else the name of this account")


def run(options: dict[str, Any], stdout: OutputWrapper) -> None:
    """First step: say what is lost and how to accept it. Second step: recover."""
    accepted: int | None = options["accept_loss"]
    try:
        if accepted is None:
            found = assess()
        else:
            operator = options["by"] or getuser()
            found = recover(accept_loss=accepted, reason=options["reason"], operator=operator, by=OPERATOR)
    except NotRecoverable as error:
        raise CommandError(str(error)) from error
    for sentence in found.sentences:
        stdout.write(sentence)
    size = found.kept.head.size
    if accepted is None:
        stdout.write("")
        stdout.write("Nothing was changed. Look for a newer backup first: what is given up now is given up for good.")
        stdout.write(
            "Stop the application, so that nothing is written meanwhile. Then, to continue without what is lost:"
        )
        stdout.write(f"    manage.py audit recover --accept-loss {size} --reason '…'")
    else:
        stdout.write("")
        stdout.write(f"The ledger continues as {keys.origin()}; its entry {size} states what was lost.")
        stdout.write(f"Give everybody who verifies the new public key: {keys.trusted_verifiers()[-1]}")
