"""Who signs for whom, which gate is excepted, and which policy was put in force by whose signature."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.contrib.auth.models import Group
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from audit.actions import Receipt
from audit.events import Obj
from reviews.models.cases import PolicyVersion, Round, Slot
from reviews.models.signing import Signed


class Delegation(models.Model):
    """That one person may sign for another in one capacity, from one day to another; it cannot be passed on."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    delegator = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="delegations_given")
    delegate = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="delegations_held")
    group = models.ForeignKey(Group, on_delete=models.PROTECT, related_name="+", help_text="the capacity")
    reason = models.TextField()
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    ended_at = models.DateTimeField(null=True, blank=True, help_text="when it was taken back early")

    class Meta:
        ordering = ["-starts_at", "-pk"]
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="delegation_ends_after_start"),
            models.CheckConstraint(condition=~Q(delegator=F("delegate")), name="delegation_to_somebody_else"),
        ]

    def ledger_ref(self) -> Obj:
        """How the ledger names this delegation."""
        return Obj(kind="delegation", id=str(self.uuid), name=self.group.name)


class GateException(Signed):
    """The signed decision that one failed gate of one round does not block, for a while and for a reason."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    round = models.ForeignKey(Round, on_delete=models.PROTECT, related_name="exceptions")
    gate_key = models.SlugField(max_length=63)
    slot = models.ForeignKey(Slot, on_delete=models.PROTECT, related_name="exceptions")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    reason = models.TextField()
    compensating_control = models.TextField()
    ends_at = models.DateTimeField()
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    withdrawn_why = models.TextField(blank=True)

    receipt: Receipt | None = None
    """Where the ledger will have it; set by the action that granted it, not stored."""

    class Meta:
        ordering = ["signed_at", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["round", "gate_key"], condition=Q(withdrawn_at=None), name="one_exception_per_gate"
            )
        ]

    @property
    def gate_title(self) -> str:
        """The gate as the policies of its round call it; its key where none of them has it."""
        gates = (gate for policy in self.round.policies.all() for gate in policy.content.get("gates", ()))
        return next((str(gate["title"]) for gate in gates if gate["key"] == self.gate_key), self.gate_key)

    def ledger_ref(self) -> Obj:
        """How the ledger names this exception."""
        version = self.round.review.version
        return Obj(kind="exception", id=str(self.uuid), name=version.model.name, version=str(version.number))


class PolicySignature(Signed):
    """One person's signed decision on a proposed policy version: to put it in force, or to send it back."""

    class Decision(models.TextChoices):
        """What the signature means."""

        APPROVE = "approve", "Approve"
        RETURN = "return", "Send back"

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    policy_version = models.ForeignKey(PolicyVersion, on_delete=models.PROTECT, related_name="signatures")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    decision = models.CharField(max_length=8, choices=Decision.choices)
    reason = models.TextField()

    receipt: Receipt | None = None
    """Where the ledger will have it; set by the action that signed, not stored."""

    class Meta:
        ordering = ["signed_at", "pk"]

    def ledger_ref(self) -> Obj:
        """How the ledger names this signature."""
        policy = self.policy_version
        return Obj(kind="policy_signature", id=str(self.uuid), name=policy.policy.name, version=str(policy.number))
