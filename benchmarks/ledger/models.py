"""The same narrow row, watched by each peer in its own way."""

from __future__ import annotations

from typing import ClassVar

from auditlog.registry import auditlog
from django.conf import settings
from django.db import models
from simple_history.models import HistoricalRecords


class Row(models.Model):
    """What is written."""

    name = models.CharField(max_length=80)
    state = models.CharField(max_length=40)
    round = models.IntegerField(default=0)

    objects: ClassVar[models.Manager[Row]] = models.Manager()

    class Meta:
        abstract = True


class Plain(Row):
    """Watched by nobody; the ledger's entry is appended by hand, as an action does."""


class Audited(Row):
    """Watched by django-auditlog."""


class EasyAudited(Row):
    """Watched by django-easy-audit."""


class Historical(Row):
    """Watched by django-simple-history."""

    history = HistoricalRecords()


class Narrow(models.Model):
    """The ledger's pending row without the ledger: what one durable INSERT of these bytes costs."""

    mac = models.TextField()
    payload = models.BinaryField()
    private = models.BinaryField()
    prompt = models.BooleanField()


class Chained(models.Model):
    """A hash chain: each row holds the hash of the one before it."""

    payload = models.BinaryField()
    hash = models.BinaryField()


class ChainHead(models.Model):
    """The chain's end, which every writer has to lock."""

    hash = models.BinaryField()
    objects: ClassVar[models.Manager[ChainHead]] = models.Manager()


class Wide(models.Model):
    """An entry as a plain row with a column for each field and an index on each that is searched for."""

    t = models.DateTimeField(db_index=True)
    action = models.CharField(max_length=80, db_index=True)
    actor = models.CharField(max_length=80, db_index=True)
    obj = models.CharField(max_length=80, db_index=True)
    outcome = models.CharField(max_length=20)
    payload = models.JSONField()
    objects: ClassVar[models.Manager[Wide]] = models.Manager()


auditlog.register(Audited)

if "pghistory" in settings.INSTALLED_APPS:
    import pghistory

    @pghistory.track(pghistory.InsertEvent(), pghistory.UpdateEvent())
    class Tracked(Row):
        """Watched by triggers of django-pghistory."""
