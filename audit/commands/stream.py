"""`audit stream`: sends logged entries on to the configured destinations, until it is told to stop."""

from __future__ import annotations

import signal
import threading
from argparse import ArgumentParser
from types import FrameType
from typing import Any, Final

from django.core.management.base import CommandError, OutputWrapper

from audit.streaming import standing
from audit.streaming.configured import configured
from audit.streaming.streamer import Streamer, resume

HELP: Final = "send logged entries on to a SIEM until SIGTERM (COUNTERSIGN_AUDIT_STREAMS says where to)"


def add(parser: ArgumentParser) -> None:
    """Send until stopped, until nothing waits, or let a parked stream go on."""
    parser.add_argument("--once", action="store_true", help="send what waits now and end")
    parser.add_argument("--resume", metavar="NAME", help="let a parked stream go on, and end")


def run(options: dict[str, Any], stdout: OutputWrapper) -> None:
    """Send in order; with `--once`, fails where something was not taken."""
    if options["resume"]:
        if not resume(options["resume"]):
            raise CommandError(f"No stream {options['resume']} is parked.")
        stdout.write(f"{options['resume']} goes on from where it stands.")
        return
    destinations = configured()
    if not destinations:
        raise CommandError("No stream is configured; see COUNTERSIGN_AUDIT_STREAMS in the guide to the ledger.")
    streamer = Streamer(destinations)
    if options["once"]:
        while streamer.send_due():
            continue
        for sentence in standing.sentences():
            stdout.write(sentence)
        return
    stop = threading.Event()

    def stop_soon(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, stop_soon)
    streamer.run(stop)
