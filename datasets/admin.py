"""Datasets in the Django admin: for reading only; every write goes through `datasets.actions`."""

from __future__ import annotations

from django.contrib import admin

from access.admin import ReadOnlyAdmin
from datasets.models import Dataset, DatasetVersion, Recipe


@admin.register(Dataset)
class DatasetAdmin(ReadOnlyAdmin):
    """Datasets."""

    list_display = ("name", "title", "owner", "created_at")


@admin.register(DatasetVersion)
class DatasetVersionAdmin(ReadOnlyAdmin):
    """Versions."""

    list_display = ("__str__", "rows", "digest", "prepared_by", "created_at")


@admin.register(Recipe)
class RecipeAdmin(ReadOnlyAdmin):
    """Recipes."""

    list_display = ("__str__", "dataset", "digest", "created_by", "created_at")
