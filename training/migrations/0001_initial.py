import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("datasets", "0001_initial"),
        ("jobs", "0001_initial"),
        ("registry", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="TrainingJob",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("algorithm", models.CharField(max_length=40)),
                ("parameters", models.JSONField(default=dict)),
                (
                    "split",
                    models.JSONField(
                        default=dict, help_text="{train: [periods], test: [periods]} or {test_fraction: share}"
                    ),
                ),
                ("seed", models.PositiveIntegerField(default=0)),
                ("cutoff", models.FloatField(default=0.5, help_text="score from which the decision is positive")),
                (
                    "mitigation",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        help_text="what is done against unequal treatment (training.mitigation.Plan); empty: nothing",
                    ),
                ),
                ("reason", models.TextField(blank=True)),
                ("run_id", models.CharField(blank=True, max_length=64)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                (
                    "dataset_version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="training_jobs",
                        to="datasets.datasetversion",
                    ),
                ),
                (
                    "job",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="training", to="jobs.job"
                    ),
                ),
                (
                    "model",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="training_jobs",
                        to="registry.registeredmodel",
                    ),
                ),
                (
                    "recipe",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="training_jobs", to="datasets.recipe"
                    ),
                ),
                (
                    "requested_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="training_jobs",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "retrain_of",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="retraining_jobs",
                        to="registry.modelversion",
                    ),
                ),
                (
                    "version",
                    models.OneToOneField(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="training_job",
                        to="registry.modelversion",
                    ),
                ),
            ],
            options={
                "ordering": ["-created_at"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("cutoff__gt", 0), ("cutoff__lt", 1)), name="training_cutoff_between_0_and_1"
                    )
                ],
            },
        ),
    ]
