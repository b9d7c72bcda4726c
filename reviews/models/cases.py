"""What is decided: policies and their published versions, reviews and rounds, slots, sign-offs, gate results, approvals, revocations."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.contrib.auth.models import Group
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from access.models import Reauthentication
from audit.actions import Receipt
from audit.events import Obj
from registry.models import ModelVersion, Promotion, Stage


class Policy(models.Model):
    """A named admission policy; what it says lives in its numbered versions."""

    name = models.SlugField(max_length=63, unique=True)
    title = models.CharField(max_length=160)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "policies"

    def __str__(self) -> str:
        return self.title


class PolicyVersion(models.Model):
    """One numbered text of a policy. A draft may be edited, a proposed one waits for its signatures; once published it never changes."""

    class Status(models.TextChoices):
        """Whether reviews may be opened under it."""

        DRAFT = "draft", "Draft"
        PROPOSED = "proposed", "Proposed"
        PUBLISHED = "published", "Published"
        RETIRED = "retired", "Retired"

    policy = models.ForeignKey(Policy, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.DRAFT)
    content = models.JSONField(help_text="see reviews.policies.PolicyDocument")
    digest = models.CharField(max_length=64)
    note = models.CharField(max_length=300, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="none: ships with the product",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    authors = models.ManyToManyField(
        settings.AUTH_USER_MODEL,
        related_name="+",
        help_text="everybody who saved or proposed it; none of them signs it",
    )
    proposed_at = models.DateTimeField(null=True, blank=True, help_text="when it was last put before its signers")
    published_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="whose signature was the last one needed",
    )
    published_at = models.DateTimeField(null=True, blank=True)

    receipt: Receipt | None = None
    """Where the ledger will have it; set by the action that published it, not stored."""

    class Meta:
        ordering = ["policy", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["policy", "number"], name="policy_number_once"),
            models.UniqueConstraint(fields=["policy"], condition=Q(status="published"), name="one_version_in_force"),
            models.UniqueConstraint(
                fields=["policy"], condition=Q(status__in=["draft", "proposed"]), name="one_version_under_way"
            ),
            models.CheckConstraint(
                condition=Q(status__in=["draft", "proposed"], published_at=None)
                | Q(status__in=["published", "retired"], published_at__isnull=False),
                name="policy_published_paired",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.policy.title}, version {self.number}"

    def ledger_ref(self) -> Obj:
        """How the ledger names this policy version."""
        return Obj(kind="policy_version", id=str(self.pk), name=self.policy.name, version=str(self.number))


class ReviewQuerySet(models.QuerySet["Review"]):
    """Questions about reviews."""

    def open(self) -> ReviewQuerySet:
        """Cases that have not been closed."""
        return self.filter(closed_at=None)

    def locked(self, pk: int) -> Review:
        """The row, locked until the transaction ends; lock model and version first."""
        return self.select_for_update(of=("self",)).get(pk=pk)

    def of(self, version: ModelVersion, stage: Stage) -> ReviewQuerySet:
        """The cases for moving one version to one stage, newest first."""
        return self.filter(version=version, stage=stage)


class Review(models.Model):
    """The case for moving one version to one stage; it has rounds."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="reviews")
    stage = models.ForeignKey(Stage, on_delete=models.PROTECT, related_name="reviews")
    why = models.TextField(help_text="why this version: the requester's text")
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="requested_reviews"
    )
    requested_at = models.DateTimeField(default=timezone.now, editable=False)
    due_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)
    renews = models.ForeignKey(
        "Approval",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="recertifications",
        help_text="the approval that runs out and is looked at again",
    )

    objects = ReviewQuerySet.as_manager()

    class Meta:
        ordering = ["-requested_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["version", "stage"], condition=Q(closed_at=None), name="one_open_review_per_stage"
            )
        ]

    def __str__(self) -> str:
        return f"{self.version} to {self.stage}"

    @property
    def current_round(self) -> Round:
        """The newest round."""
        return self.rounds.latest("number")

    def ledger_ref(self) -> Obj:
        """How the ledger names this review."""
        return Obj(kind="review", id=str(self.uuid), name=self.version.model.name, version=str(self.version.number))


class Round(models.Model):
    """One try at a review: freezes a subject, collects decisions on it, and never opens again once closed."""

    class State(models.TextChoices):
        """How the round stands."""

        OPEN = "open", "Open"
        APPROVED = "approved", "Approved"
        APPROVED_WITH_CONDITIONS = "approved_with_conditions", "Approved with conditions"
        CHANGES_REQUESTED = "changes_requested", "Changes requested"
        REJECTED = "rejected", "Rejected"
        WITHDRAWN = "withdrawn", "Withdrawn"
        SUPERSEDED = "superseded", "Superseded"

    review = models.ForeignKey(Review, on_delete=models.PROTECT, related_name="rounds")
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=24, choices=State.choices, default=State.OPEN)
    policies = models.ManyToManyField(PolicyVersion, related_name="rounds")
    subject = models.TextField(help_text="the exact canonical JSON (RFC 8785) that is signed")
    subject_digest = models.CharField(max_length=64)
    compared_with = models.ForeignKey(ModelVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    opened_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    opened_at = models.DateTimeField(default=timezone.now, editable=False)
    closed_at = models.DateTimeField(null=True, blank=True)
    valid_until = models.DateTimeField(null=True, blank=True, help_text="when the approval expires")

    class Meta:
        ordering = ["review", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["review", "number"], name="round_number_once"),
            models.UniqueConstraint(fields=["review"], condition=Q(state="open"), name="one_open_round_per_review"),
            models.CheckConstraint(
                condition=Q(state="open", closed_at=None) | (~Q(state="open") & Q(closed_at__isnull=False)),
                name="round_closed_paired",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.review}, round {self.number}"

    @property
    def is_open(self) -> bool:
        """Whether decisions can still be given."""
        return self.state == Round.State.OPEN

    @property
    def is_approved(self) -> bool:
        """Whether it ended in an approval, with or without conditions."""
        return self.state in APPROVED

    def ledger_ref(self) -> Obj:
        """How the ledger names this round."""
        version = self.review.version
        return Obj(
            kind="round", id=f"{self.review.uuid}/{self.number}", name=version.model.name, version=str(version.number)
        )


APPROVED: Final = frozenset({Round.State.APPROVED, Round.State.APPROVED_WITH_CONDITIONS})
"""The states of a round that ended in an approval."""


class Slot(models.Model):
    """One required sign-off: a capacity, the group that holds it, how many distinct people, the facets it answers for."""

    round = models.ForeignKey(Round, on_delete=models.PROTECT, related_name="slots")
    key = models.SlugField(max_length=63)
    title = models.CharField(max_length=120)
    group = models.ForeignKey(Group, on_delete=models.PROTECT, related_name="+")
    alternates = models.ForeignKey(Group, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    people = models.PositiveSmallIntegerField(default=1)
    facets = models.JSONField(default=list)
    delegable = models.BooleanField(default=True, help_text="whether somebody may sign here for a member of the group")
    order = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["round", "order", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["round", "key"], name="slot_once_per_round"),
            models.CheckConstraint(condition=Q(people__gte=1), name="slot_needs_somebody"),
        ]

    def __str__(self) -> str:
        return self.title


class SignOff(models.Model):
    """One person's signed decision in one slot of one round; withdrawn ones stay, and stay visible."""

    class Decision(models.TextChoices):
        """What the signature means."""

        APPROVE = "approve", "Approve"
        APPROVE_WITH_CONDITIONS = "approve_with_conditions", "Approve with conditions"
        REQUEST_CHANGES = "request_changes", "Request changes"
        REJECT = "reject", "Reject"

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    round = models.ForeignKey(Round, on_delete=models.PROTECT, related_name="sign_offs")
    slot = models.ForeignKey(Slot, on_delete=models.PROTECT, related_name="sign_offs")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="sign_offs")
    decision = models.CharField(max_length=24, choices=Decision.choices)
    reason = models.TextField()
    statement = models.JSONField(help_text="DSSE envelope of the in-toto statement, countersigned by the registry")
    statement_digest = models.CharField(max_length=64, unique=True)
    reauthentication = models.OneToOneField(Reauthentication, on_delete=models.PROTECT, related_name="sign_off")
    delegation = models.ForeignKey(
        "Delegation",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="sign_offs",
        help_text="set when the person signed for somebody else",
    )
    idempotency_key = models.CharField(max_length=64, unique=True)
    signed_at = models.DateTimeField()
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    withdrawn_why = models.TextField(blank=True)
    dismissed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )

    receipt: Receipt | None = None
    """Where the ledger will have it; set by the action that signed, not stored."""

    class Meta:
        ordering = ["signed_at", "pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(dismissed_by=None) | Q(withdrawn_at__isnull=False), name="dismissed_is_withdrawn"
            ),
            models.UniqueConstraint(
                fields=["round", "slot", "person"], condition=Q(withdrawn_at=None), name="sign_off_once"
            ),
            models.UniqueConstraint(
                fields=["round", "person"], condition=Q(withdrawn_at=None), name="one_slot_per_person"
            ),
        ]

    @property
    def who(self) -> str:
        """Whose decision it is as people read it: "Bob Lindqvist", or "Bob Lindqvist for Carol Adeyemi"."""
        return f"{self.person} for {self.delegation.delegator}" if self.delegation else str(self.person)

    def ledger_ref(self) -> Obj:
        """How the ledger names this sign-off."""
        version = self.round.review.version
        return Obj(kind="sign_off", id=str(self.uuid), name=version.model.name, version=str(version.number))


APPROVING: Final = frozenset({SignOff.Decision.APPROVE, SignOff.Decision.APPROVE_WITH_CONDITIONS})
"""The decisions that count towards the quorum."""


class GateResult(models.Model):
    """What one gate said the last time it was asked in one round."""

    round = models.ForeignKey(Round, on_delete=models.CASCADE, related_name="gate_results")
    key = models.SlugField(max_length=63)
    title = models.CharField(max_length=160)
    status = models.CharField(max_length=16, help_text="foundation.refusals.RequirementStatus")
    warning_only = models.BooleanField(default=False)
    measured = models.CharField(max_length=200, blank=True)
    required = models.CharField(max_length=200, blank=True)
    production = models.CharField(max_length=200, blank=True)
    explanation = models.TextField(blank=True)
    section = models.CharField(
        max_length=40, blank=True, help_text="the evidence section of the review page that shows it"
    )
    order = models.PositiveSmallIntegerField(default=0)
    evaluated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["round", "order"]
        constraints = [models.UniqueConstraint(fields=["round", "key"], name="gate_result_once")]


class Approval(models.Model):
    """The standing approval of one version for one stage, with the promotion that used it; ends by expiry, lapse or revocation."""

    class Basis(models.TextChoices):
        """What it rests on."""

        REVIEW = "review", "Signed review"
        BREAK_GLASS = "break_glass", "Break-glass"
        ENVELOPE = "envelope", "Retraining envelope"

    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="approvals")
    stage = models.ForeignKey(Stage, on_delete=models.PROTECT, related_name="+")
    round = models.ForeignKey(Round, on_delete=models.PROTECT, related_name="approvals")
    basis = models.CharField(max_length=12, choices=Basis.choices, default=Basis.REVIEW)
    break_glass = models.OneToOneField(
        "BreakGlass", null=True, blank=True, on_delete=models.PROTECT, related_name="approval"
    )
    envelope = models.ForeignKey(
        "RetrainingEnvelope", null=True, blank=True, on_delete=models.PROTECT, related_name="approvals"
    )
    promotion = models.OneToOneField(
        Promotion, null=True, blank=True, on_delete=models.PROTECT, related_name="approval"
    )
    approved_at = models.DateTimeField(default=timezone.now)
    valid_until = models.DateTimeField(help_text="from then on no promotion and no deployment")
    pulls_until = models.DateTimeField(
        help_text="from then on no pull either; the policy may let pulls go on for a while"
    )
    revocation = models.ForeignKey(
        "Revocation", null=True, blank=True, on_delete=models.PROTECT, related_name="approvals"
    )

    class Meta:
        ordering = ["-approved_at"]
        constraints = [
            models.UniqueConstraint(fields=["round"], condition=Q(basis="review"), name="one_approval_per_round"),
            models.CheckConstraint(
                condition=Q(basis="review", break_glass=None, envelope=None)
                | Q(basis="break_glass", break_glass__isnull=False, envelope=None)
                | Q(basis="envelope", break_glass=None, envelope__isnull=False),
                name="approval_cites_its_basis",
            ),
            models.CheckConstraint(condition=Q(pulls_until__gte=F("valid_until")), name="pulls_end_no_earlier"),
        ]

    @property
    def remind_days(self) -> tuple[int, ...]:
        """How many days before its end its owner is reminded, by any of the policies that it was given under; the earliest first."""
        days = {day for policy in self.round.policies.all() for day in policy.content.get("remind_days", ())}
        return tuple(sorted(days, reverse=True))

    @property
    def renewable_from(self) -> datetime:
        """From when on somebody may look at it again: the day of the first reminder."""
        return self.valid_until - timedelta(days=max(self.remind_days, default=60))

    def may_be_renewed(self, now: datetime) -> bool:
        """Whether the time has come to look at it again, because it ends, or because a policy changed and it does not meet it."""
        ahead = self.basis == Approval.Basis.BREAK_GLASS
        return ahead or now >= self.renewable_from or self.graces.exclude(unmet=[]).exists()

    def ledger_ref(self) -> Obj:
        """How the ledger names this approval."""
        return Obj(kind="approval", id=str(self.pk), name=self.version.model.name, version=str(self.version.number))


class Revocation(models.Model):
    """The withdrawal of a version's approvals with a signed reason: aliases drop, pulls stop, serving stops."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="revocations")
    reason = models.TextField()
    statement = models.JSONField(help_text="DSSE envelope, countersigned by the registry")
    reauthentication = models.OneToOneField(Reauthentication, on_delete=models.PROTECT, related_name="revocation")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="revocations")
    at = models.DateTimeField(default=timezone.now, editable=False)

    receipt: Receipt | None = None
    """Where the ledger will have it; set by the action that revoked, not stored."""

    class Meta:
        ordering = ["-at"]

    def ledger_ref(self) -> Obj:
        """How the ledger names this revocation."""
        return Obj(kind="revocation", id=str(self.uuid), name=self.version.model.name, version=str(self.version.number))
