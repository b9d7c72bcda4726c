"""Training jobs in the Django admin: for reading only; every write goes through `training.actions`."""

from __future__ import annotations

from django.contrib import admin

from access.admin import ReadOnlyAdmin
from training.models import TrainingJob


@admin.register(TrainingJob)
class TrainingJobAdmin(ReadOnlyAdmin):
    """Training jobs."""

    list_display = ("__str__", "dataset_version", "recipe", "version", "requested_by", "created_at")
