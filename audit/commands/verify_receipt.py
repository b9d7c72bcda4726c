"""`audit verify-receipt`: check a receipt: that a trusted key has signed a ledger which holds its entry."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any, Final

from django.core.management.base import CommandError, OutputWrapper

from audit import keys
from countersign.proof.note import NoteRefused, Verifier
from countersign.proof.receipts import ReceiptRefused, verify_receipt

HELP: Final = "check a receipt: that a trusted key has signed a ledger which holds its entry"


def add(parser: ArgumentParser) -> None:
    """Which file, and whose keys count."""
    parser.add_argument("file", metavar="FILE")
    parser.add_argument(
        "--key", action="append", metavar="KEY", help="a verifier key (name+id+base64); default: this installation's"
    )


def run(options: dict[str, Any], stdout: OutputWrapper) -> None:
    """Verify and say what is proven."""
    try:
        found = verify_receipt(Path(options["file"]).read_bytes(), verifiers(options["key"]))
    except OSError as error:
        raise CommandError(f"{options['file']} cannot be read: {error.strerror}.") from error
    except ReceiptRefused as error:
        raise CommandError(f"The receipt does not hold: {error}.") from error
    head = found.head
    stdout.write(
        f"The receipt holds: this is entry {found.seq} of the {head.size:,} that {head.origin} signed with root {head.root.hex()}."
    )
    stdout.write(found.payload.decode())


def verifiers(given: list[str] | None) -> list[Verifier]:
    """The keys named on the command line, else the installation's own."""
    try:
        return [Verifier.parse(key) for key in given] if given else keys.trusted_verifiers()
    except NoteRefused as error:
        raise CommandError(f"That is no verifier key: {error}.") from error
