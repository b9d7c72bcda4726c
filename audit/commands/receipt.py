"""`audit receipt`: write the receipt of an entry: its exact bytes, the proof that it is in the ledger, and a signed checkpoint."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any, Final

from django.core.management.base import CommandError, OutputWrapper

from audit.models import Checkpoint
from audit.receipts import NotProvable, find_entry, issue_receipt

HELP: Final = "write the receipt of an entry: its exact bytes, the proof that it is in the ledger, a signed checkpoint"


def add(parser: ArgumentParser) -> None:
    """Which entry, under which checkpoint, and where to."""
    parser.add_argument(
        "entry", metavar="SEQ|WRITER:N", help="the entry's number, or its writer and the writer's number"
    )
    parser.add_argument(
        "--size", type=int, metavar="N", help="under the checkpoint over N entries instead of the newest"
    )
    parser.add_argument("--to", metavar="FILE", help="write it to a file instead of the screen")


def run(options: dict[str, Any], stdout: OutputWrapper) -> None:
    """Issue the receipt."""
    try:
        receipt = issue_receipt(find_entry(options["entry"]), _checkpoint(options["size"])).encode()
    except NotProvable as error:
        raise CommandError(str(error)) from error
    if options["to"]:
        Path(options["to"]).write_bytes(receipt)
        stdout.write(
            f"The receipt is in {options['to']}. Check it with `audit verify-receipt`, or without us with verify.py."
        )
    else:
        stdout.write(receipt.decode(), ending="")


def _checkpoint(size: int | None) -> str | None:
    if size is None:
        return None
    note = Checkpoint.objects.filter(size=size).values_list("note", flat=True).first()
    if note is None:
        raise CommandError(f"No checkpoint signs exactly the first {size} entries.")
    return note
