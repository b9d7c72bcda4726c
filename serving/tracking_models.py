"""Who may do what with one experiment of MLflow's: whose it is, with whom it is shared, and what everybody else may.

MLflow's own tables keep experiments, runs and traces and know nobody. A row here stands for one experiment under MLflow's number; an
experiment without a row is open to nobody but those whose role reads or writes every experiment.
"""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.contrib.auth.models import Group
from django.db import models
from django.db.models import Q
from django.utils import timezone

from audit.events import Obj

MAX_FOLDER_CHARACTERS: Final = 1000


class Level(models.TextChoices):
    """What somebody may do with an experiment; each includes those before it."""

    READ = "read", "read its runs"
    WRITE = "write", "log to it"
    MANAGE = "manage", "rename and delete it, and share it"

    @property
    def includes(self) -> frozenset[Level]:
        """The levels that whoever has this one has too."""
        ranked = list(Level)
        return frozenset(ranked[: ranked.index(self) + 1])


class Others(models.TextChoices):
    """What those may do with an experiment whom nobody shared it with, as far as they may use tracking at all."""

    NOTHING = "closed", "Nothing"
    READ = Level.READ.value, "Read its runs"
    WRITE = Level.WRITE.value, "Read and log to it"


class ExperimentQuerySet(models.QuerySet["Experiment"]):
    """Questions about experiments; who may what is in `tracking_access`."""

    def locked(self, pk: int) -> Experiment:
        """The row, locked until the transaction ends."""
        return self.select_for_update(of=("self",)).select_related("owner").get(pk=pk)

    def containing(self, path: str) -> ExperimentQuerySet:
        """Those in whose folder an artifact path lies, which is one unless folders were nested before they were kept apart."""
        parts = path.split("/")
        return self.filter(folder__in=["/".join(parts[:end]) for end in range(1, len(parts) + 1)])


class Experiment(models.Model):
    """One experiment of MLflow's. Without an owner: it was there before experiments had one."""

    experiment_id = models.PositiveBigIntegerField(primary_key=True, help_text="MLflow's number")
    name = models.CharField(max_length=500, help_text="as MLflow has it")
    folder = models.CharField(
        max_length=MAX_FOLDER_CHARACTERS,
        blank=True,
        db_index=True,
        help_text="in the artifact store; empty: its files are elsewhere",
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="experiments"
    )
    others = models.CharField(max_length=6, choices=Others.choices, default=Others.NOTHING)
    deleted = models.BooleanField(default=False, help_text="put away in MLflow, where it can be restored")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = ExperimentQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-experiment_id"]
        constraints = [
            models.CheckConstraint(condition=Q(others__in=["closed", "read", "write"]), name="experiment_others_known")
        ]

    def __str__(self) -> str:
        return self.name

    def ledger_ref(self) -> Obj:
        """How the ledger names this experiment."""
        return Obj(kind="experiment", id=str(self.experiment_id), name=self.name[:200])


class ExperimentGrant(models.Model):
    """One level on one experiment for one account or one group."""

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="grants")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="experiment_grants"
    )
    group = models.ForeignKey(Group, null=True, blank=True, on_delete=models.CASCADE, related_name="experiment_grants")
    level = models.CharField(max_length=6, choices=Level.choices)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["created_at", "pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(user__isnull=False, group=None) | Q(user=None, group__isnull=False),
                name="experiment_grant_held_by_one",
            ),
            models.CheckConstraint(condition=Q(level__in=["read", "write", "manage"]), name="experiment_level_known"),
            models.UniqueConstraint(
                fields=["experiment", "user"], condition=Q(user__isnull=False), name="experiment_grant_once_per_user"
            ),
            models.UniqueConstraint(
                fields=["experiment", "group"], condition=Q(group__isnull=False), name="experiment_grant_once_per_group"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.holder}: {self.level} {self.experiment}"

    @property
    def holder(self) -> object:
        """The account or the group that has it."""
        return self.user or self.group
