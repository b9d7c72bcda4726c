"""The texts of access policies: published versions never change, and the newest publication says which set of them is in force."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, OuterRef, Q, Subquery
from django.utils import timezone

from audit.events import Obj


class AccessPolicy(models.Model):
    """A named access policy; what it says is in its versions."""

    name = models.SlugField(max_length=63, unique=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class AccessPolicyVersionQuerySet(models.QuerySet["AccessPolicyVersion"]):
    """Questions about versions."""

    def locked(self, pk: int) -> AccessPolicyVersion:
        """The row, locked until the transaction ends."""
        return self.select_for_update(of=("self",)).select_related("policy").get(pk=pk)

    def in_force(self) -> AccessPolicyVersionQuerySet:
        """The newest published version of each policy, without those of policies that were retired; by name."""
        newest = AccessPolicyVersion.objects.filter(policy=OuterRef("policy"), status="published").order_by("-number")
        return (
            self.annotate(newest=Subquery(newest.values("pk")[:1]))
            .filter(pk=F("newest"), retires=False)
            .select_related("policy")
            .order_by("policy__name")
        )


class AccessPolicyVersion(models.Model):
    """One text of a policy: a draft, or published and unchangeable. One that `retires` ends the policy when it is published."""

    class Status(models.TextChoices):
        """How far it is."""

        DRAFT = "draft", "Draft"
        PUBLISHED = "published", "Published"

    policy = models.ForeignKey(AccessPolicy, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.DRAFT)
    content = models.JSONField()
    digest = models.CharField(max_length=64, help_text="SHA-256 of the canonical content")
    retires = models.BooleanField(default=False, help_text="publishing it ends the policy")
    note = models.CharField(max_length=300, blank=True, help_text="what changed and why")
    authors = models.ManyToManyField(settings.AUTH_USER_MODEL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    published_at = models.DateTimeField(null=True, blank=True)
    published_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="empty: it came with the product",
    )

    objects = AccessPolicyVersionQuerySet.as_manager()

    class Meta:
        ordering = ["policy", "-number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["policy", "number"], name="access_policy_number_once"),
            models.UniqueConstraint(fields=["policy"], condition=Q(status="draft"), name="access_policy_one_draft"),
            models.CheckConstraint(
                condition=Q(status="draft", published_at=None, published_by=None)
                | Q(status="published", published_at__isnull=False),
                name="access_policy_published_paired",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.policy.name} version {self.number}"

    @property
    def title(self) -> str:
        """What people call it."""
        return str(self.content.get("title") or self.policy.name)

    def ledger_ref(self) -> Obj:
        """How the ledger names this version."""
        return Obj("access_policy", str(self.policy_id), self.policy.name, str(self.number))


class AccessPolicyPublication(models.Model):
    """One publication; `set_digest` names all versions that were in force from then on (`access.entry.deciding.set_digest`)."""

    version = models.OneToOneField(AccessPolicyVersion, on_delete=models.PROTECT, related_name="publication")
    set_digest = models.CharField(max_length=64)
    rehearsal = models.CharField(
        max_length=64, blank=True, help_text="the rehearsal that whoever published it had seen"
    )
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="empty: it came with the product",
    )
    at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.version} at {self.at:%Y-%m-%d %H:%M:%S} UTC"
