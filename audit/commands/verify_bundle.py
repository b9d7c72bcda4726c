"""`audit verify-bundle`: what the stand-alone `verify.py bundle` says of a file, without leaving the installation."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any, Final

from django.core.management.base import CommandError, OutputWrapper

from audit import keys
from audit.standalone.verify import Broken, check_bundle, parse_key, read_held

HELP: Final = "check a bundle that was exported from this ledger or from another one"


def add(parser: ArgumentParser) -> None:
    """Which file, whose keys count, and what the reader holds."""
    parser.add_argument("file", metavar="FILE.tar")
    parser.add_argument(
        "--key", action="append", metavar="KEY", help="a verifier key (name+id+base64); default: this installation's"
    )
    parser.add_argument("--held", action="append", default=[], metavar="FILE", help="checkpoints that you kept")


def run(options: dict[str, Any], stdout: OutputWrapper) -> None:
    """Check and say what was found."""
    given = options["key"] or [str(line) for line in keys.public_lines()]
    try:
        with open(options["file"], "rb") as file:
            report, _ = check_bundle(file, [parse_key(key) for key in given], read_held(options["held"]))
    except (Broken, OSError) as error:
        raise CommandError(f"Nothing was checked: {error}.") from error
    if report.problems:
        problems = "\n- ".join(["The bundle does not hold.", *report.problems])
        raise CommandError("\n".join([problems, *report.remarks]))
    stdout.write("\n".join(["The bundle holds.", *report.facts, *report.remarks]))
