"""What is said about a version and what was read: threads anchored to evidence, comments and their revisions, readings, visits."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from audit.events import Obj
from registry.models import Evidence
from reviews.models.cases import Review


class EvidenceReading(models.Model):
    """That a person marked one section of a review as read, at one digest; a new digest asks to read again."""

    review = models.ForeignKey(Review, on_delete=models.CASCADE, related_name="readings")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    section = models.SlugField(max_length=40)
    digest = models.CharField(max_length=64)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["review", "person", "section"], name="reading_once")]


class Visit(models.Model):
    """When a person last opened a review's page, and how the gates stood: the page says what is new since the visit before."""

    review = models.ForeignKey(Review, on_delete=models.CASCADE, related_name="visits")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    at = models.DateTimeField(default=timezone.now)
    before = models.DateTimeField(null=True, blank=True, help_text="the visit before this one")
    gates = models.JSONField(default=dict, help_text="how each gate stood when it was last opened: key to status")
    gates_before = models.JSONField(default=dict, help_text="the same at the visit before")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["review", "person"], name="visit_once")]


class ThreadQuerySet(models.QuerySet["Thread"]):
    """Questions about threads."""

    def holding(self) -> ThreadQuerySet:
        """Those that must be resolved before an approval, and are not."""
        return self.filter(must_resolve=True, resolved_at=None)

    def locked(self, pk: int) -> Thread:
        """The row, locked until the transaction ends; lock model, version and review first."""
        return self.select_for_update(of=("self",)).get(pk=pk)


class Thread(models.Model):
    """A discussion anchored to a place in the evidence; one that must be resolved holds the approval back."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    review = models.ForeignKey(Review, on_delete=models.PROTECT, related_name="threads")
    section = models.SlugField(max_length=40, blank=True)
    evidence = models.ForeignKey(Evidence, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    path = models.CharField(max_length=200, blank=True, help_text="where in the evidence, as a JSON Pointer (RFC 6901)")
    must_resolve = models.BooleanField(default=False)
    opened_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    opened_at = models.DateTimeField(default=timezone.now, editable=False)
    resolved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    resolved_at = models.DateTimeField(null=True, blank=True)

    objects = ThreadQuerySet.as_manager()

    class Meta:
        ordering = ["opened_at", "pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(resolved_by=None, resolved_at=None)
                | Q(resolved_by__isnull=False, resolved_at__isnull=False),
                name="thread_resolved_paired",
            )
        ]

    @property
    def anchor(self) -> str:
        """The id of its place on the review page."""
        return f"t{self.pk}"

    def ledger_ref(self) -> Obj:
        """How the ledger names this thread."""
        version = self.review.version
        return Obj(kind="thread", id=str(self.uuid), name=version.model.name, version=str(version.number))


class Comment(models.Model):
    """A remark in a review's discussion, anchored to a section; comments are only added."""

    class Feedback(models.TextChoices):
        """What the author thinks of it, as advice: it decides nothing."""

        OK = "ok", "Fine"
        MINOR = "minor", "Minor issue"
        MAJOR = "major", "Major issue"

    review = models.ForeignKey(Review, on_delete=models.PROTECT, related_name="comments")
    thread = models.ForeignKey(Thread, null=True, blank=True, on_delete=models.PROTECT, related_name="comments")
    feedback = models.CharField(max_length=8, choices=Feedback.choices, blank=True)
    section = models.SlugField(max_length=40, blank=True)
    body = models.TextField()
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["at", "pk"]

    @property
    def text(self) -> str:
        """What it says now: its newest revision, or what was written first. Prefetch `revisions` where many are shown."""
        revisions = list(self.revisions.all())
        return revisions[-1].body if revisions else self.body

    def ledger_ref(self) -> Obj:
        """How the ledger names this comment: by number, without its text."""
        return Obj(
            kind="comment",
            id=str(self.pk),
            name=self.review.version.model.name,
            version=str(self.review.version.number),
        )


class CommentRevision(models.Model):
    """An edit of a comment: what it says from then on. Earlier texts stay."""

    comment = models.ForeignKey(Comment, on_delete=models.PROTECT, related_name="revisions")
    number = models.PositiveIntegerField()
    body = models.TextField()
    at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["comment", "number"]
        constraints = [models.UniqueConstraint(fields=["comment", "number"], name="comment_revision_once")]
