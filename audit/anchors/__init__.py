"""Where the ledger's checkpoints are held outside the database: a file always; git, S3, RFC 3161 and C2SP witnesses where configured."""

from audit.anchors.configured import configured, local_sinks
from audit.anchors.held import Held, held_outside
from audit.anchors.protocol import Sink, SinkDamaged, SinkFailed, SinkMisconfigured

__all__ = [
    "Held",
    "Sink",
    "SinkDamaged",
    "SinkFailed",
    "SinkMisconfigured",
    "configured",
    "held_outside",
    "local_sinks",
]
