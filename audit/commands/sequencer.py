"""`audit sequencer`: logs and signs what is pending, until it is told to stop."""

from __future__ import annotations

import signal
import threading
from argparse import ArgumentParser
from types import FrameType
from typing import Any, Final

from django.core.management.base import OutputWrapper

from audit import keys
from audit.anchors.protocol import TIMEOUT_SECONDS
from audit.anchors.publishing import in_background
from audit.sequencer import Sequencer

HELP: Final = "log and sign what is pending until SIGTERM"


def add(parser: ArgumentParser) -> None:
    """Takes no options."""


def run(options: dict[str, Any], stdout: OutputWrapper) -> None:
    """Sequence until SIGTERM or SIGINT; what is pending then is logged first."""
    stop = threading.Event()

    def stop_soon(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, stop_soon)
    publisher = in_background(stop)
    Sequencer(keys.load_log_key()).run(stop)
    if publisher is not None:
        publisher.join(TIMEOUT_SECONDS)
