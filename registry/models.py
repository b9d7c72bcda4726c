"""What there is to govern: registered models, immutable versions, evidence, cards, stages, promotions and aliases."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.contrib.auth.models import Group
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from guardian.models import GroupObjectPermissionBase, UserObjectPermissionBase

from audit.events import Obj
from countersign.proof.manifest import ManifestFile
from datasets.models import DatasetVersion, Recipe
from foundation.expressions import Beginning

model_name = RegexValidator(
    r"^[A-Za-z0-9][A-Za-z0-9 _.-]{0,127}$",
    "Use letters, digits, spaces, dots, hyphens and underscores, at most 128, starting with a letter or digit.",
)


class RegisteredModelQuerySet(models.QuerySet["RegisteredModel"]):
    """Questions about registered models."""

    def locked(self, pk: int) -> RegisteredModel:
        """The row, locked until the transaction ends. Lock order: model, version, review."""
        return self.select_for_update().get(pk=pk)

    def current(self) -> RegisteredModelQuerySet:
        """Models that have not been archived."""
        return self.filter(archived_at=None)


class RegisteredModel(models.Model):
    """A named use of machine learning with an owner, an intended use and a risk tier (1 high, 2 medium, 3 low)."""

    class Tier(models.IntegerChoices):
        """How much harm a wrong answer can do."""

        HIGH = 1, "Tier 1, high risk"
        MEDIUM = 2, "Tier 2, medium risk"
        LOW = 3, "Tier 3, low risk"

    name = models.CharField(max_length=128, unique=True, validators=[model_name])
    description = models.TextField(blank=True)
    intended_use = models.TextField(blank=True)
    tier = models.PositiveSmallIntegerField(choices=Tier.choices, default=Tier.HIGH)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="owned_models")
    team = models.ForeignKey(
        Group,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="registered_models",
        help_text="the group whose model it is: roles on its models count here",
    )
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now)
    last_number = models.PositiveIntegerField(default=0, help_text="numbers are never reused")
    archived_at = models.DateTimeField(null=True, blank=True)

    objects = RegisteredModelQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        default_permissions = ()
        permissions = [
            ("see_model", "See the model, its versions and evidence"),
            ("edit_model", "Edit the description, tags and card"),
            ("register_version", "Register versions and attach evidence"),
            ("set_alias", "Move free aliases"),
            ("request_review", "Request and withdraw reviews"),
            ("promote_version", "Promote an approved version"),
            ("pull_version", "Pull approved versions"),
            ("score_model", "Ask for predictions"),
            ("revoke_version", "Revoke an approval"),
            ("manage_access", "Grant others access to this model"),
            ("break_glass", "Put a version live in an emergency"),
        ]
        constraints = [models.CheckConstraint(condition=Q(tier__in=[1, 2, 3]), name="model_tier_known")]

    def __str__(self) -> str:
        return self.name

    def ledger_ref(self) -> Obj:
        """How the ledger names this model."""
        return Obj(kind="model", id=str(self.pk), name=self.name)


class RegisteredModelUserPermission(UserObjectPermissionBase):
    """A permission of one user on one model; the direct foreign key means that it dies with the model."""

    content_object = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE)


class RegisteredModelGroupPermission(GroupObjectPermissionBase):
    """A permission of one group on one model; the direct foreign key means that it dies with the model."""

    content_object = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE)


class Blob(models.Model):
    """One content-addressed file in the artifact store; written once, never changed."""

    digest = models.CharField(max_length=64, primary_key=True)
    size_bytes = models.PositiveBigIntegerField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)


class ModelVersionQuerySet(models.QuerySet["ModelVersion"]):
    """Questions about versions."""

    def locked(self, pk: int) -> ModelVersion:
        """The row, locked until the transaction ends; lock its model first."""
        return self.select_for_update(of=("self",)).get(pk=pk)

    def usable(self) -> ModelVersionQuerySet:
        """Versions that were admitted and not withdrawn since."""
        return self.exclude(
            state__in=[ModelVersion.State.QUARANTINED, ModelVersion.State.REJECTED, ModelVersion.State.RETIRED]
        )


class ModelVersion(models.Model):
    """Immutable bytes (a manifest of files) plus metadata; numbered per model."""

    class State(models.TextChoices):
        """How far a version is in its life (see docs/lifecycle.md)."""

        QUARANTINED = "quarantined", "Quarantined"
        REGISTERED = "registered", "Registered"
        IN_REVIEW = "in_review", "In review"
        APPROVED = "approved", "Approved"
        LIVE = "live", "Live"
        RETIRED = "retired", "Retired"
        REJECTED = "rejected", "Rejected"
        REVOKED = "revoked", "Revoked"
        EXPIRED = "expired", "Expired"

    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=12, choices=State.choices, default=State.QUARANTINED)
    status_message = models.TextField(blank=True, help_text="why admission refused it, or what it waits for")
    manifest = models.JSONField(default=list, help_text="sorted list of {path, size, sha256}")
    digest = models.CharField(max_length=64, db_index=True, help_text="SHA-256 of the canonical manifest")
    size_bytes = models.PositiveBigIntegerField(default=0)
    flavour = models.CharField(max_length=40, blank=True)
    source = models.TextField(blank=True)
    run_id = models.CharField(max_length=64, blank=True)
    run_link = models.TextField(blank=True)
    logged_model_id = models.CharField(max_length=64, blank=True)
    description = models.TextField(blank=True)
    code_reference = models.CharField(max_length=200, blank=True, help_text="commit or package that trained it")
    dataset_version = models.ForeignKey(
        DatasetVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="model_versions"
    )
    recipe = models.ForeignKey(Recipe, null=True, blank=True, on_delete=models.PROTECT, related_name="model_versions")
    retrain_of = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="retrained_as")
    trained_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="registered_versions"
    )
    job_uuid = models.UUIDField(null=True, blank=True, unique=True, help_text="the training job that made it, once")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now)

    objects = ModelVersionQuerySet.as_manager()

    class Meta:
        ordering = ["model", "-number"]
        default_permissions = ()
        indexes = [
            models.Index(fields=["model", "state", "number"], name="version_by_state"),
            models.Index(fields=["-updated_at"], name="version_by_change"),
            models.Index(fields=["run_id"], name="version_by_run"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["model", "number"], name="version_number_once"),
            models.CheckConstraint(
                condition=Q(
                    state__in=[
                        "quarantined",
                        "registered",
                        "in_review",
                        "approved",
                        "live",
                        "retired",
                        "rejected",
                        "revoked",
                        "expired",
                    ]
                ),
                name="version_state_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model.name} v{self.number}"

    @property
    def files(self) -> list[ManifestFile]:
        """The manifest as typed rows, sorted by path."""
        return [ManifestFile(row["path"], row["size"], row["sha256"]) for row in self.manifest]

    @property
    def awaits_files(self) -> bool:
        """Whether its files are still to be fetched from elsewhere; until then it has no digest."""
        return self.state == self.State.QUARANTINED and not self.manifest

    def file(self, path: str) -> ManifestFile | None:
        """The file with exactly this path, or nothing."""
        return next((file for file in self.files if file.path == path), None)

    def ledger_ref(self) -> Obj:
        """How the ledger names this version."""
        return Obj(kind="version", id=str(self.pk), name=self.model.name, version=str(self.number))


class ModelTag(models.Model):
    """A free label on a registered model; outside every subject."""

    model = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE, related_name="tags")
    key = models.CharField(max_length=250)
    value = models.TextField(blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["model", "key"], name="model_tag_once")]
        indexes = [models.Index("key", Beginning("value"), name="model_tag_by_value")]


class VersionTag(models.Model):
    """A free label on a version; outside every subject."""

    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="tags")
    key = models.CharField(max_length=250)
    value = models.TextField(blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["version", "key"], name="version_tag_once")]
        indexes = [models.Index("key", Beginning("value"), name="version_tag_by_value")]


class Evidence(models.Model):
    """A dated result about one version's digest, with the identity of who produced it; never changed, only followed by a newer one."""

    class Kind(models.TextChoices):
        """What was measured or checked."""

        METRICS = "metrics", "Metrics"
        SLICES = "slices", "Slices"
        FAIRNESS = "fairness", "Fairness"
        CALIBRATION = "calibration", "Calibration"
        IMPORTANCE = "importance", "Feature importance"
        SCAN = "scan", "Admission scan"
        SIGNATURE = "signature", "Input and output signature"
        ENVIRONMENT = "environment", "Environment lock"
        DATA = "data", "Data fingerprint and profile"
        COMPARISON = "comparison", "Comparison with production"
        CURVES = "curves", "Curves"

    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="evidence")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    subject_digest = models.CharField(max_length=64, help_text="the digest of the version that was examined")
    content = models.JSONField()
    digest = models.CharField(max_length=64, help_text="SHA-256 of the canonical content")
    producer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    produced_via = models.CharField(max_length=120, blank=True, help_text="e.g. job:<uuid>, token:<prefix>")
    job_kind = models.CharField(
        max_length=60, blank=True, help_text="the kind of the job whose worker produced it; empty: attached by hand"
    )
    run_id = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["version", "kind", "-created_at", "-pk"]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.version}"

    def ledger_ref(self) -> Obj:
        """How the ledger names this evidence."""
        return Obj(kind="evidence", id=str(self.pk), name=self.kind, version=str(self.version_id))


class ModelCardRevision(models.Model):
    """One revision of a version's model card; revisions are only added."""

    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="card_revisions")
    number = models.PositiveIntegerField()
    sections = models.JSONField(
        help_text="intended_use, not_for, limitations, data, evaluation, ethics, oversight, owner → Markdown"
    )
    digest = models.CharField(max_length=64)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["version", "-number"]
        constraints = [models.UniqueConstraint(fields=["version", "number"], name="card_revision_once")]


class Stage(models.Model):
    """A governed place that callers read from; its alias moves only by a promotion."""

    name = models.CharField(max_length=40, unique=True)
    title = models.CharField(max_length=80)
    alias = models.CharField(max_length=80, unique=True)
    order = models.PositiveSmallIntegerField(unique=True)

    class Meta:
        ordering = ["order"]

    def __str__(self) -> str:
        return self.title


class Promotion(models.Model):
    """The move of a stage's alias to an approved version: who, what was replaced, and the signed release that allows it."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="promotions")
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="promotions")
    stage = models.ForeignKey(Stage, on_delete=models.PROTECT, related_name="promotions")
    previous = models.ForeignKey(ModelVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    rollback = models.BooleanField(default=False)
    release = models.JSONField(help_text="DSSE envelope by the registry: version digest, stage, statements, policy")
    release_digest = models.CharField(max_length=64, unique=True)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        related_name="promotions",
        help_text="none: the clock, by what people signed before",
    )
    at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-at"]
        default_permissions = ()

    def ledger_ref(self) -> Obj:
        """How the ledger names this promotion."""
        return Obj(kind="promotion", id=str(self.uuid), name=self.model.name, version=str(self.version.number))


class Alias(models.Model):
    """A name that points at a version. A stage's alias is protected: its row cites the promotion that put it there."""

    model = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE, related_name="aliases")
    name = models.CharField(max_length=80)
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="aliases")
    stage = models.ForeignKey(Stage, null=True, blank=True, on_delete=models.PROTECT, related_name="aliases")
    promotion = models.OneToOneField(Promotion, null=True, blank=True, on_delete=models.PROTECT, related_name="alias")
    updated_at = models.DateTimeField(default=timezone.now)
    updated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+", help_text="none: the clock"
    )

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["model", "name"], name="alias_once_per_model"),
            models.UniqueConstraint(
                fields=["model", "stage"], condition=Q(stage__isnull=False), name="stage_once_per_model"
            ),
            models.CheckConstraint(
                condition=Q(stage=None, promotion=None) | Q(stage__isnull=False, promotion__isnull=False),
                name="protected_alias_cites_promotion",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model.name}@{self.name}"

    @property
    def protected(self) -> bool:
        """Whether only a promotion may move it."""
        return self.stage_id is not None
