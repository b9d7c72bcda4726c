"""`audit rotate-key`: a new log key, with the old one signing beside it for seven days."""

from __future__ import annotations

from argparse import ArgumentParser
from getpass import getuser
from typing import Any, Final

from django.core.management.base import OutputWrapper

from audit.commands import OPERATOR
from audit.rotation import BOTH_SIGN_FOR, rotate_log_key

HELP: Final = "make a new signing key; the old one signs beside it for seven days and is then destroyed"


def add(parser: ArgumentParser) -> None:
    """Who does it, and whether the old private key is lost."""
    parser.add_argument("--by", metavar="NAME", help="who rotates the key; else the name of this account")
    parser.add_argument("--lost", action="store_true", help="the old private key is gone and cannot sign beside")


def run(options: dict[str, Any], stdout: OutputWrapper) -> None:
    """Rotate, and say what outsiders need to know."""
    new = rotate_log_key(by=OPERATOR, operator=options["by"] or getuser(), lost=options["lost"])
    stdout.write(f"The new public key is {new}")
    stdout.write(f"It signs from {new.first:,} entries on; a sequencer that runs goes on with it by itself.")
    if not options["lost"]:
        days = BOTH_SIGN_FOR.days
        stdout.write(f"The old key signs beside it for {days} days. Give the new one to everybody who verifies.")
