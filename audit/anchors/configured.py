"""Decides which sinks an installation has: the two local files always, the others as `AUDIT_ANCHORS` lists them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from django.conf import settings

from audit.anchors.file import FileSink
from audit.anchors.git import GitSink
from audit.anchors.protocol import Options, Sink, build_all, tell_apart
from audit.anchors.rfc3161 import TimestampSink
from audit.anchors.s3 import S3Sink
from audit.anchors.witness import WitnessSink
from audit.journal import Journal

FILE_SINK: Final = "file"
_KINDS: Final[dict[str, Callable[[str, Options], Sink]]] = {
    "git": GitSink.of,
    "s3": S3Sink.of,
    "rfc3161": TimestampSink.of,
    "witness": WitnessSink.of,
}


def state_journal() -> Journal:
    """The sequencer's own record of what it has signed, outside the database."""
    return Journal(Path(settings.AUDIT_STATE_FILE))


def anchor_journal() -> Journal:
    """The file sink for checkpoints: meant for another disk or machine than the database's."""
    return Journal(Path(settings.AUDIT_ANCHOR_DIR) / "checkpoints")


def local_sinks() -> list[Sink]:
    """The state file and the anchor file; the sequencer writes them itself, at every checkpoint."""
    return [FileSink("state", state_journal()), FileSink(FILE_SINK, anchor_journal())]


def configured() -> list[Sink]:
    """The other sinks; raises `SinkMisconfigured`. Each is `{"sink": kind, "name": …, …}`; the name is the kind where none is given."""
    sinks = build_all(settings.AUDIT_ANCHORS, "COUNTERSIGN_ANCHORS", "sink", _KINDS)
    tell_apart([sink.name for sink in (*sinks, *local_sinks())] + ["checkpoints"], "sink")
    return sinks
