import uuid

import django.core.validators
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("datasets", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Blob",
            fields=[
                ("digest", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("size_bytes", models.PositiveBigIntegerField()),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
            ],
        ),
        migrations.CreateModel(
            name="Stage",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=40, unique=True)),
                ("title", models.CharField(max_length=80)),
                ("alias", models.CharField(max_length=80, unique=True)),
                ("order", models.PositiveSmallIntegerField(unique=True)),
            ],
            options={
                "ordering": ["order"],
            },
        ),
        migrations.CreateModel(
            name="ModelVersion",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveIntegerField()),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("quarantined", "Quarantined"),
                            ("registered", "Registered"),
                            ("in_review", "In review"),
                            ("approved", "Approved"),
                            ("live", "Live"),
                            ("retired", "Retired"),
                            ("rejected", "Rejected"),
                            ("revoked", "Revoked"),
                            ("expired", "Expired"),
                        ],
                        default="quarantined",
                        max_length=12,
                    ),
                ),
                (
                    "status_message",
                    models.TextField(blank=True, help_text="why admission refused it, or what it waits for"),
                ),
                ("manifest", models.JSONField(default=list, help_text="sorted list of {path, size, sha256}")),
                (
                    "digest",
                    models.CharField(db_index=True, help_text="SHA-256 of the canonical manifest", max_length=64),
                ),
                ("size_bytes", models.PositiveBigIntegerField(default=0)),
                ("flavour", models.CharField(blank=True, max_length=40)),
                ("source", models.TextField(blank=True)),
                ("run_id", models.CharField(blank=True, max_length=64)),
                ("run_link", models.TextField(blank=True)),
                ("logged_model_id", models.CharField(blank=True, max_length=64)),
                ("description", models.TextField(blank=True)),
                (
                    "code_reference",
                    models.CharField(blank=True, help_text="commit or package that trained it", max_length=200),
                ),
                (
                    "job_uuid",
                    models.UUIDField(
                        blank=True, help_text="the training job that made it, once", null=True, unique=True
                    ),
                ),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "created_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="registered_versions",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "dataset_version",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="model_versions",
                        to="datasets.datasetversion",
                    ),
                ),
                (
                    "recipe",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="model_versions",
                        to="datasets.recipe",
                    ),
                ),
                (
                    "retrain_of",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="retrained_as",
                        to="registry.modelversion",
                    ),
                ),
                (
                    "trained_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["model", "-number"],
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="Evidence",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("metrics", "Metrics"),
                            ("slices", "Slices"),
                            ("fairness", "Fairness"),
                            ("calibration", "Calibration"),
                            ("importance", "Feature importance"),
                            ("scan", "Admission scan"),
                            ("signature", "Input and output signature"),
                            ("environment", "Environment lock"),
                            ("data", "Data fingerprint and profile"),
                            ("comparison", "Comparison with production"),
                            ("curves", "Curves"),
                        ],
                        max_length=20,
                    ),
                ),
                (
                    "subject_digest",
                    models.CharField(help_text="the digest of the version that was examined", max_length=64),
                ),
                ("content", models.JSONField()),
                ("digest", models.CharField(help_text="SHA-256 of the canonical content", max_length=64)),
                (
                    "produced_via",
                    models.CharField(blank=True, help_text="e.g. job:<uuid>, token:<prefix>", max_length=120),
                ),
                (
                    "job_kind",
                    models.CharField(
                        blank=True,
                        help_text="the kind of the job whose worker produced it; empty: attached by hand",
                        max_length=60,
                    ),
                ),
                ("run_id", models.CharField(blank=True, max_length=64)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                (
                    "producer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="evidence", to="registry.modelversion"
                    ),
                ),
            ],
            options={
                "ordering": ["version", "kind", "-created_at", "-pk"],
            },
        ),
        migrations.CreateModel(
            name="RegisteredModel",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "name",
                    models.CharField(
                        max_length=128,
                        unique=True,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[A-Za-z0-9][A-Za-z0-9 _.-]{0,127}$",
                                "Use letters, digits, spaces, dots, hyphens and underscores, at most 128, starting with a letter or digit.",
                            )
                        ],
                    ),
                ),
                ("description", models.TextField(blank=True)),
                ("intended_use", models.TextField(blank=True)),
                (
                    "tier",
                    models.PositiveSmallIntegerField(
                        choices=[(1, "Tier 1, high risk"), (2, "Tier 2, medium risk"), (3, "Tier 3, low risk")],
                        default=1,
                    ),
                ),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("last_number", models.PositiveIntegerField(default=0, help_text="numbers are never reused")),
                ("archived_at", models.DateTimeField(blank=True, null=True)),
                (
                    "created_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="owned_models",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["name"],
                "permissions": [
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
                ],
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="Promotion",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("uuid", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("rollback", models.BooleanField(default=False)),
                (
                    "release",
                    models.JSONField(
                        help_text="DSSE envelope by the registry: version digest, stage, statements, policy"
                    ),
                ),
                ("release_digest", models.CharField(max_length=64, unique=True)),
                ("at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                (
                    "by",
                    models.ForeignKey(
                        help_text="none: the clock, by what people signed before",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="promotions",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "previous",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="registry.modelversion",
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="promotions",
                        to="registry.modelversion",
                    ),
                ),
                (
                    "model",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="promotions",
                        to="registry.registeredmodel",
                    ),
                ),
                (
                    "stage",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="promotions", to="registry.stage"
                    ),
                ),
            ],
            options={
                "ordering": ["-at"],
                "default_permissions": (),
            },
        ),
        migrations.AddField(
            model_name="modelversion",
            name="model",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="versions", to="registry.registeredmodel"
            ),
        ),
        migrations.CreateModel(
            name="ModelTag",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(max_length=250)),
                ("value", models.TextField(blank=True)),
                (
                    "model",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="tags", to="registry.registeredmodel"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="RegisteredModelGroupPermission",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "content_object",
                    models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="registry.registeredmodel"),
                ),
                ("group", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="auth.group")),
                ("permission", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="auth.permission")),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="RegisteredModelUserPermission",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "content_object",
                    models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="registry.registeredmodel"),
                ),
                ("permission", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="auth.permission")),
                ("user", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to=settings.AUTH_USER_MODEL)),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="Alias",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=80)),
                ("updated_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "updated_by",
                    models.ForeignKey(
                        help_text="none: the clock",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="aliases", to="registry.modelversion"
                    ),
                ),
                (
                    "promotion",
                    models.OneToOneField(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="alias",
                        to="registry.promotion",
                    ),
                ),
                (
                    "model",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="aliases",
                        to="registry.registeredmodel",
                    ),
                ),
                (
                    "stage",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="aliases",
                        to="registry.stage",
                    ),
                ),
            ],
            options={
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="VersionTag",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(max_length=250)),
                ("value", models.TextField(blank=True)),
                (
                    "version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="tags", to="registry.modelversion"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="ModelCardRevision",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveIntegerField()),
                (
                    "sections",
                    models.JSONField(
                        help_text="intended_use, not_for, limitations, data, evaluation, ethics, oversight, owner → Markdown"
                    ),
                ),
                ("digest", models.CharField(max_length=64)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                (
                    "author",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="card_revisions",
                        to="registry.modelversion",
                    ),
                ),
            ],
            options={
                "ordering": ["version", "-number"],
                "constraints": [models.UniqueConstraint(fields=("version", "number"), name="card_revision_once")],
            },
        ),
        migrations.AddConstraint(
            model_name="registeredmodel",
            constraint=models.CheckConstraint(condition=models.Q(("tier__in", [1, 2, 3])), name="model_tier_known"),
        ),
        migrations.AddConstraint(
            model_name="modelversion",
            constraint=models.UniqueConstraint(fields=("model", "number"), name="version_number_once"),
        ),
        migrations.AddConstraint(
            model_name="modelversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "state__in",
                        [
                            "quarantined",
                            "registered",
                            "in_review",
                            "approved",
                            "live",
                            "retired",
                            "rejected",
                            "revoked",
                            "expired",
                        ],
                    )
                ),
                name="version_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="modeltag",
            constraint=models.UniqueConstraint(fields=("model", "key"), name="model_tag_once"),
        ),
        migrations.AlterUniqueTogether(
            name="registeredmodelgrouppermission",
            unique_together={("group", "permission", "content_object")},
        ),
        migrations.AlterUniqueTogether(
            name="registeredmodeluserpermission",
            unique_together={("user", "permission", "content_object")},
        ),
        migrations.AddConstraint(
            model_name="alias",
            constraint=models.UniqueConstraint(fields=("model", "name"), name="alias_once_per_model"),
        ),
        migrations.AddConstraint(
            model_name="alias",
            constraint=models.UniqueConstraint(
                condition=models.Q(("stage__isnull", False)), fields=("model", "stage"), name="stage_once_per_model"
            ),
        ),
        migrations.AddConstraint(
            model_name="alias",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("promotion", None), ("stage", None)),
                    models.Q(("promotion__isnull", False), ("stage__isnull", False)),
                    _connector="OR",
                ),
                name="protected_alias_cites_promotion",
            ),
        ),
        migrations.AddConstraint(
            model_name="versiontag",
            constraint=models.UniqueConstraint(fields=("version", "key"), name="version_tag_once"),
        ),
    ]
