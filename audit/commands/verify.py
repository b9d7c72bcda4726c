"""`audit verify`: recomputes the ledger and compares it with every checkpoint."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any, Final

from django.core.management.base import CommandError, OutputWrapper

from audit.checks import verify_ledger
from audit.commands import OPERATOR

HELP: Final = "recompute the ledger and compare it with every checkpoint"


def add(parser: ArgumentParser) -> None:
    """From where, and how deep."""
    parser.add_argument("--since", type=int, default=0, metavar="N", help="the size of a checkpoint verified before")
    parser.add_argument(
        "--processes", type=int, default=1, metavar="P", help="count the entries in P processes side by side"
    )
    parser.add_argument("--deep", action="store_true", help="also writers' links, index, private data and clock")


def run(options: dict[str, Any], stdout: OutputWrapper) -> None:
    """Verify and record that; fails with every problem in words."""
    since, deep = options["since"], options["deep"]
    if deep and since:
        raise CommandError("--deep reads from the first entry on; leave --since out.")
    if options["processes"] < 1:
        raise CommandError("--processes is at least 1.")
    result = verify_ledger(by=OPERATOR, since=since, deep=deep, processes=options["processes"])
    if not result.ok:
        problems = "\n".join(f"- {problem.sentence}" for problem in result.problems)
        raise CommandError("\n".join([result.sentence, problems, *result.remarks]))
    for remark in result.remarks:
        stdout.write(remark)
    stdout.write(f"{result.sentence} Root {result.root} ({result.seconds:.2f} s).")
