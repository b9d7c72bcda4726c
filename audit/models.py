"""The ledger's tables. Nothing here is written through the ORM by the app: `actions` and `sequencer` say how.

None has a foreign key: the ledger outlives what it describes. Triggers (see `triggers`) refuse what must not happen; whoever
owns the database can switch them off, which is why the evidence does not rest on them.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class Pending(models.Model):
    """An entry that is committed and waits for the sequencer, who takes it away. Never updated."""

    id = models.BigAutoField(primary_key=True)
    mac = models.TextField()
    payload = models.BinaryField()
    private = models.BinaryField()
    prompt = models.BooleanField(help_text="somebody waits for the receipt")

    class Meta:
        indexes = [models.Index(fields=["id"], condition=Q(prompt=True), name="audit_pending_prompt")]


class Bundle(models.Model):
    """Up to 256 entries, compressed; a partial bundle goes when a wider one stands."""

    pk = models.CompositePrimaryKey("n", "w")
    n = models.BigIntegerField()
    w = models.IntegerField()
    entries = models.BinaryField(help_text="zstd of a tlog-tiles entry bundle")

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(w__gte=1, w__lte=256, n__gte=0), name="audit_bundle_width")]


class Archived(models.Model):
    """A full bundle that has left the database for a file (see `archive`); without this row the database keeps the bundle."""

    n = models.BigIntegerField(primary_key=True)
    root = models.BinaryField(help_text="the root of its 256 leaf hashes")
    sha256 = models.BinaryField(help_text="of its file")

    class Meta:
        db_table = "audit_archived"


class Tile(models.Model):
    """256 hashes of one level (8,192 bytes). Partial tiles are not stored: they follow from what is below them."""

    pk = models.CompositePrimaryKey("level", "n")
    level = models.IntegerField()
    n = models.BigIntegerField()
    hashes = models.BinaryField()
    root = models.BinaryField(
        null=True, help_text="the root of the hashes, so that a partial tile above is read in one go"
    )

    class Meta:
        # Read off the index alone: in the table, SQLite would have to leaf through the 8,192 bytes before each root.
        indexes = [models.Index(fields=["level", "n", "root"], name="audit_tile_roots")]


class Checkpoint(models.Model):
    """The signed root of the first `size` entries."""

    size = models.BigIntegerField(primary_key=True)
    t = models.BigIntegerField(help_text="when it was signed, µs since 1970")
    note = models.TextField()


class Anchor(models.Model):
    """Where and when a checkpoint was put outside the database."""

    pk = models.CompositePrimaryKey("size", "sink")
    size = models.BigIntegerField()
    sink = models.CharField(max_length=40)
    receipt = models.TextField()
    t = models.BigIntegerField(help_text="µs since 1970")


class SinkState(models.Model):
    """How publishing to one sink stands. For operators to read and nothing else: no evidence rests on it."""

    name = models.CharField(max_length=40, primary_key=True)
    note = models.TextField(blank=True, help_text="the checkpoint that was published last")
    size = models.BigIntegerField(default=0)
    published = models.BigIntegerField(default=0, help_text="when that was, µs since 1970; 0: never")
    failing_since = models.BigIntegerField(default=0, help_text="µs since 1970; 0: it does not fail")
    attempts = models.IntegerField(default=0, help_text="failed ones in a row")
    error = models.TextField(blank=True)

    class Meta:
        db_table = "audit_sink"


class StreamState(models.Model):
    """How far one stream to another system has come. For operators and for going on: no evidence rests on it."""

    name = models.CharField(max_length=40, primary_key=True)
    position = models.BigIntegerField(default=0, help_text="the entry that is sent next")
    delivered = models.BigIntegerField(default=0, help_text="when a batch was last taken, µs since 1970; 0: never")
    failing_since = models.BigIntegerField(default=0, help_text="µs since 1970; 0: it does not fail")
    attempts = models.IntegerField(default=0, help_text="failed ones in a row")
    error = models.TextField(blank=True)
    parked = models.BooleanField(
        default=False, help_text="the receiver refuses; nothing is sent until a person says so"
    )

    class Meta:
        db_table = "audit_stream"


class IndexRow(models.Model):
    """What an entry says, for searching. Derived from the bundles and rebuildable from them."""

    seq = models.BigIntegerField(primary_key=True)
    t = models.BigIntegerField(help_text="µs since 1970")
    action = models.CharField(max_length=200)
    actor_kind = models.CharField(max_length=200)
    actor_id = models.CharField(max_length=200)
    obj_kind = models.CharField(max_length=200)
    obj_id = models.CharField(max_length=200)
    obj_name = models.CharField(max_length=200)
    outcome = models.CharField(max_length=200)
    writer = models.CharField(max_length=200)
    n = models.BigIntegerField()
    req = models.CharField(max_length=200, db_default="", help_text="the id of the request, where there was one")

    class Meta:
        db_table = "audit_index"
        constraints = [models.UniqueConstraint(fields=["writer", "n"], name="audit_index_writer_n")]
        indexes = [
            models.Index(fields=["obj_kind", "obj_id", "seq"], name="audit_index_obj"),
            models.Index(fields=["obj_name", "seq"], name="audit_index_obj_name"),
            models.Index(fields=["actor_id", "seq"], name="audit_index_actor"),
            models.Index(fields=["action", "seq"], name="audit_index_action"),
            models.Index(fields=["outcome", "seq"], condition=~Q(outcome="ok"), name="audit_index_outcome"),
            models.Index(fields=["req", "seq"], condition=~Q(req=""), name="audit_index_req"),
            models.Index(fields=["t"], name="audit_index_t"),
        ]


class Private(models.Model):
    """The openings of an entry's disclosures: personal data, deletable without touching the tree."""

    seq = models.BigIntegerField(primary_key=True)
    disclosures = models.BinaryField()


class Quarantined(models.Model):
    """A pending row that the sequencer refused to log, as it was found, and why."""

    id = models.BigAutoField(primary_key=True)
    t = models.BigIntegerField(help_text="when it was refused, µs since 1970")
    why = models.TextField()
    pending_id = models.BigIntegerField()
    mac = models.TextField()
    payload = models.BinaryField()
    private = models.BinaryField()

    class Meta:
        db_table = "audit_quarantine"


class Integrity(models.Model):
    """One row: what the last verification found, and who answered for it. A convenience, like the index: the ledger has the history."""

    at = models.DateTimeField(null=True)
    full_at = models.DateTimeField(null=True, help_text="when every entry was last read")
    size = models.BigIntegerField(
        default=0, help_text="up to which size the ledger was last found to be as it was signed"
    )
    since = models.BigIntegerField(default=0, help_text="from which entry on the problems were found")
    problems = models.JSONField(default=list, help_text="code and sentence of each problem")
    acknowledged_by = models.CharField(max_length=200, blank=True)
    acknowledged_at = models.DateTimeField(null=True)
    reason = models.TextField(blank=True)
    covers = models.JSONField(default=list, help_text="the kinds of problems that were acknowledged")

    class Meta:
        db_table = "audit_integrity"
