"""Decides which destinations an installation has: those that `AUDIT_STREAMS` lists, each `{"stream": kind, "name": …, …}`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from django.conf import settings

from audit.anchors.protocol import Options, build_all, tell_apart
from audit.streaming.http import HttpDestination
from audit.streaming.protocol import Destination
from audit.streaming.syslog import SyslogDestination

_KINDS: Final[dict[str, Callable[[str, Options], Destination]]] = {
    "http": HttpDestination.of,
    "syslog": SyslogDestination.of,
}


def configured() -> list[Destination]:
    """The destinations; raises `SinkMisconfigured`. The name is the kind where none is given."""
    found = build_all(settings.AUDIT_STREAMS, "COUNTERSIGN_AUDIT_STREAMS", "stream", _KINDS)
    tell_apart([one.name for one in found], "stream")
    return found
