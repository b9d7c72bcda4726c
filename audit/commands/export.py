"""`audit export`: write the ledger as one tar that an auditor can check without us."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any, Final

from django.core.management.base import CommandError, OutputWrapper

from audit import keys
from audit.bundle import NotExportable, export_bundle, write_bundle
from audit.commands import OPERATOR

HELP: Final = "write the ledger, its anchors, its keys and verify.py as one tar for an auditor"


def add(parser: ArgumentParser) -> None:
    """Where to, from where on, and whether with personal data."""
    parser.add_argument("--to", required=True, metavar="FILE.tar")
    parser.add_argument(
        "--since", type=int, default=0, metavar="SIZE", help="leave out the entries before a signed size"
    )
    parser.add_argument(
        "--with-disclosures", action="store_true", help="add the names, addresses and texts that the entries commit to"
    )


def run(options: dict[str, Any], stdout: OutputWrapper) -> None:
    """Export and say how the file is checked."""
    try:
        bundle = export_bundle(by=OPERATOR, since=options["since"], with_disclosures=options["with_disclosures"])
        write_bundle(bundle, Path(options["to"]))
    except (NotExportable, OSError) as error:
        raise CommandError(f"There is no bundle: {error}") from error
    stdout.write(f"{options['to']} holds the ledger up to entry {bundle.head.size:,}, root {bundle.head.root.hex()}.")
    trusted = " ".join(f'--key "{line}"' for line in keys.public_lines())
    stdout.write(f"Check it: python3 -I verify.py bundle {options['to']} {trusted}")
