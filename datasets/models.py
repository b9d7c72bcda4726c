"""Data that models learn from: datasets, their immutable versions, profiles and numbered transformation recipes."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from audit.events import Obj
from datasets.schema import TableSchema, parse

slug = RegexValidator(
    r"^[a-z0-9][a-z0-9_-]{0,62}$", "Use lower-case letters, digits, hyphens and underscores, at most 63."
)


class DatasetQuerySet(models.QuerySet["Dataset"]):
    """Questions about datasets."""

    def locked(self, pk: int) -> Dataset:
        """The row, locked until the transaction ends."""
        return self.select_for_update(of=("self",)).get(pk=pk)


class Dataset(models.Model):
    """A named collection of data with an owner, a target and protected attributes."""

    name = models.CharField(max_length=63, unique=True, validators=[slug])
    title = models.CharField(max_length=160)
    description = models.TextField(blank=True)
    licence = models.CharField(max_length=160, blank=True)
    target = models.CharField(max_length=128)
    time_column = models.CharField(max_length=128, blank=True)
    protected = models.JSONField(default=list, blank=True, help_text="names of columns that hold protected attributes")
    schema = models.JSONField(
        default=dict, blank=True, help_text="declared columns, kinds, codes and bands (datasets.schema); set once"
    )
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="datasets")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = DatasetQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def declared_schema(self) -> TableSchema:
        """What its columns are; raises `SchemaMistakes` before the first version has settled it."""
        return parse(self.schema)

    def newest(self) -> DatasetVersion | None:
        """The version with the highest number, if there is one."""
        return self.versions.order_by("-number").first()

    def ledger_ref(self) -> Obj:
        """How the ledger names this dataset."""
        return Obj(kind="dataset", id=str(self.pk), name=self.name)


class DatasetVersion(models.Model):
    """Immutable bytes of a dataset: file digest, size, rows and schema."""

    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    digest = models.CharField(max_length=64)
    size_bytes = models.PositiveBigIntegerField()
    rows = models.PositiveBigIntegerField()
    columns = models.JSONField(help_text="list of {name, type, nullable}")
    note = models.CharField(max_length=300, blank=True)
    prepared_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="dataset_versions")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["dataset", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["dataset", "number"], name="dataset_version_number_once"),
            models.UniqueConstraint(fields=["dataset", "digest"], name="dataset_version_digest_once"),
        ]

    def __str__(self) -> str:
        return f"{self.dataset.name} v{self.number}"

    def ledger_ref(self) -> Obj:
        """How the ledger names this dataset version."""
        return Obj(kind="dataset_version", id=str(self.pk), name=self.dataset.name, version=str(self.number))


class DatasetProfile(models.Model):
    """What a worker found in one dataset version; the newest one is shown."""

    version = models.OneToOneField(DatasetVersion, on_delete=models.CASCADE, related_name="profile")
    content = models.JSONField()
    digest = models.CharField(max_length=64)
    created_at = models.DateTimeField(default=timezone.now, editable=False)


class Recipe(models.Model):
    """A numbered, immutable transformation recipe over a dataset's columns."""

    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="recipes")
    name = models.CharField(max_length=63, validators=[slug])
    number = models.PositiveIntegerField()
    content = models.JSONField()
    digest = models.CharField(max_length=64)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="recipes")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["dataset", "name", "number"], name="recipe_number_once"),
            models.CheckConstraint(condition=Q(number__gte=1), name="recipe_number_from_one"),
        ]

    def __str__(self) -> str:
        return f"{self.name} #{self.number}"

    def ledger_ref(self) -> Obj:
        """How the ledger names this recipe."""
        return Obj(kind="recipe", id=str(self.pk), name=self.name, version=str(self.number))
