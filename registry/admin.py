"""The Django admin as a window on the registry: everything can be read there in an emergency, and nothing can be written."""

from __future__ import annotations

from django.contrib import admin

from access.admin import ReadOnlyAdmin
from registry.models import Alias, Blob, Evidence, ModelCardRevision, ModelVersion, Promotion, RegisteredModel, Stage


@admin.register(RegisteredModel)
class RegisteredModelAdmin(ReadOnlyAdmin):
    """Registered models."""

    list_display = ("name", "tier", "owner", "created_at", "archived_at")
    list_filter = ("tier",)
    search_fields = ("name",)


@admin.register(ModelVersion)
class ModelVersionAdmin(ReadOnlyAdmin):
    """Versions."""

    list_display = ("model", "number", "state", "flavour", "created_by", "created_at")
    list_filter = ("state", "flavour")
    search_fields = ("model__name", "digest", "run_id")
    list_select_related = ("model", "created_by")


@admin.register(Evidence)
class EvidenceAdmin(ReadOnlyAdmin):
    """Evidence."""

    list_display = ("version", "kind", "producer", "created_at")
    list_filter = ("kind",)
    list_select_related = ("version__model", "producer")


@admin.register(Promotion)
class PromotionAdmin(ReadOnlyAdmin):
    """Promotions, with the signed release behind each."""

    list_display = ("model", "version", "stage", "rollback", "by", "at")
    list_filter = ("stage", "rollback")
    list_select_related = ("model", "version__model", "stage", "by")


@admin.register(Alias)
class AliasAdmin(ReadOnlyAdmin):
    """Aliases, free and protected."""

    list_display = ("model", "name", "version", "stage", "updated_at")
    list_select_related = ("model", "version__model", "stage")


@admin.register(ModelCardRevision)
class ModelCardRevisionAdmin(ReadOnlyAdmin):
    """Revisions of model cards."""

    list_display = ("version", "number", "author", "created_at")
    list_select_related = ("version__model", "author")


admin.site.register([Blob, Stage], ReadOnlyAdmin)
