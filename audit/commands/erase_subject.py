"""`audit erase-subject`: destroy the personal data of one person that lies beside the ledger's entries."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any, Final

from django.core.management.base import CommandError, OutputWrapper

from audit.commands import OPERATOR
from audit.erasure import NobodyKnown, erase_subject, find_subject, look

HELP: Final = "destroy a person's disclosures; counts them only, unless told --yes"


def add(parser: ArgumentParser) -> None:
    """Whose, and whether in earnest."""
    parser.add_argument("person", metavar="PERSON", help="user name, or the identifier that entries name the person by")
    parser.add_argument("--yes", action="store_true", help="do it; there is no way back")


def run(options: dict[str, Any], stdout: OutputWrapper) -> None:
    """Erase, or say what would be erased."""
    try:
        subject = find_subject(options["person"])
    except NobodyKnown as error:
        raise CommandError(str(error)) from error
    found = erase_subject(subject, by=OPERATOR) if options["yes"] else look(subject)
    if not found.openings:
        stdout.write("Nothing beside the ledger's entries is this person's or names them.")
    else:
        did = "Destroyed" if options["yes"] else "To destroy, with --yes"
        stdout.write(
            f"{did}: {found.openings:,} pieces of personal data beside {len(found.entries):,} entries; {found.own:,} of the person's "
            f"own actions, {found.naming:,} of others that name them. The entries stay, and the ledger verifies as before."
        )
    if found.waiting:
        stdout.write(f"{found.waiting:,} entries wait to be logged and hold more: run this again in a moment.")
    if found.refused:
        stdout.write(f"{found.refused:,} refused rows in quarantine hold more; they are evidence and stay.")
    stdout.write(
        "Backups, bundles with disclosures and mail that were handed out are beyond this command: see docs/ledger.md."
    )
