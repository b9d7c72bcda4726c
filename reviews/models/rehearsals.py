"""What a policy would have done: the result of evaluating a draft on open reviews and past promotions, kept with its digest."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone

from audit.events import Obj
from reviews.models.cases import PolicyVersion


class PolicyRehearsal(models.Model):
    """One rehearsal of one text. `digest` is that of the canonical result, which the signatures under the policy cite."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    policy_version = models.ForeignKey(PolicyVersion, on_delete=models.PROTECT, related_name="rehearsals")
    policy_digest = models.CharField(max_length=64, help_text="the text that was rehearsed")
    result = models.JSONField(help_text="see reviews.rehearsal.Rehearsed")
    digest = models.CharField(max_length=64)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-at", "-pk"]

    def ledger_ref(self) -> Obj:
        """How the ledger names this rehearsal."""
        policy = self.policy_version
        return Obj(kind="policy_rehearsal", id=str(self.uuid), name=policy.policy.name, version=str(policy.number))
