"""Decides which destinations an installation has: those that `AUDIT_STREAMS` lists, each `{"stream": kind, "name": …, …}`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from django.conf import settings

from audit.anchors.protocol import Options, SinkMisconfigured
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
    found = [_destination(options) for options in entries]
    if twice := [name for name, count in Counter(one.name for one in found).items() if count > 1]:
        raise SinkMisconfigured(f"two streams are called {twice[0]}: give each a name of its own")
    return found


def _destination(options: Options) -> Destination:
    kind = options.get("stream", "")
    name = options.get("name") or kind
    if kind not in _KINDS:
        raise SinkMisconfigured(f"there is no stream {kind!r}; there are {', '.join(_KINDS)}")
    if not name.replace("-", "").isalnum() or len(name) > 40:
        raise SinkMisconfigured(f"a stream's name has letters, digits and hyphens, at most 40, not {name!r}")
    return _KINDS[kind](name, options)
