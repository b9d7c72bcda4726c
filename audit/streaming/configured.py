"""Decides which destinations an installation has: those that `AUDIT_STREAMS` lists, each `{"stream": kind, "name": …, …}`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from django.conf import settings

from audit.anchors.protocol import Options, build, tell_apart
from audit.streaming.http import HttpDestination
from audit.streaming.protocol import Destination
from audit.streaming.syslog import SyslogDestination

_KINDS: Final[dict[str, Callable[[str, Options], Destination]]] = {
    "http": HttpDestination.of,
    "syslog": SyslogDestination.of,
}


def configured() -> list[Destination]:
    """The destinations; raises `SinkMisconfigured`. The name is the kind where none is given."""
    entries: Sequence[Options] = settings.AUDIT_STREAMS
    found = [build(options, "stream", _KINDS) for options in entries]
    tell_apart([one.name for one in found], "stream")
    return found
