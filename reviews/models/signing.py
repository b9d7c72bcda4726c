"""What every signed decision keeps: the statement, its digest, and how the person proved that it was them."""

from __future__ import annotations

from django.db import models

from access.models import Reauthentication


class Signed(models.Model):
    """A decision that was signed: the row is an index, the statement is what counts."""

    statement = models.JSONField(help_text="DSSE envelope of the in-toto statement, countersigned by the registry")
    statement_digest = models.CharField(max_length=64, unique=True)
    reauthentication = models.OneToOneField(Reauthentication, on_delete=models.PROTECT, related_name="%(class)s")
    signed_at = models.DateTimeField()

    class Meta:
        abstract = True
