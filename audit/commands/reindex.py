"""`audit reindex`: rebuilds the search index from the entries."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any, Final

from django.core.management.base import OutputWrapper

from audit.reindex import reindex

HELP: Final = "rebuild the search index from the entries"


def add(parser: ArgumentParser) -> None:
    """Takes no options."""


def run(options: dict[str, Any], stdout: OutputWrapper) -> None:
    """Rebuild it."""
    stdout.write(f"The search index shows {reindex():,} entries.")
