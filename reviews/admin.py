"""Reading in Django's admin site, for emergencies. Nothing can be written there: every write is an action."""

from __future__ import annotations

from django.contrib import admin

from access.admin import ReadOnlyAdmin
from reviews.models import Approval, Policy, PolicyVersion, Review, Revocation, Round, SignOff


@admin.register(Policy)
class PolicyAdmin(ReadOnlyAdmin):
    """Policies."""

    list_display = ("name", "title")


@admin.register(PolicyVersion)
class PolicyVersionAdmin(ReadOnlyAdmin):
    """Their numbered texts."""

    list_display = ("policy", "number", "status", "published_by", "published_at")
    list_filter = ("status",)
    list_select_related = ("policy", "published_by")


@admin.register(Review)
class ReviewAdmin(ReadOnlyAdmin):
    """Cases."""

    list_display = ("version", "stage", "requested_by", "requested_at", "due_at", "closed_at")
    list_select_related = ("version__model", "stage", "requested_by")


@admin.register(Round)
class RoundAdmin(ReadOnlyAdmin):
    """Rounds, with the subject that each froze."""

    list_display = ("review", "number", "state", "opened_at", "closed_at")
    list_filter = ("state",)
    list_select_related = ("review__version__model", "review__stage")


@admin.register(SignOff)
class SignOffAdmin(ReadOnlyAdmin):
    """Sign-offs, with the signed statement of each."""

    list_display = ("round", "slot", "person", "decision", "signed_at", "withdrawn_at")
    list_filter = ("decision",)
    list_select_related = ("round__review__version__model", "round__review__stage", "slot", "person")


@admin.register(Approval)
class ApprovalAdmin(ReadOnlyAdmin):
    """Approvals. A row alone proves nothing: `reviews.proof` asks the signatures."""

    list_display = ("version", "stage", "approved_at", "valid_until", "revocation")
    list_select_related = ("version__model", "stage", "revocation")


@admin.register(Revocation)
class RevocationAdmin(ReadOnlyAdmin):
    """Revocations, with the signed statement of each."""

    list_display = ("version", "by", "at")
    list_select_related = ("version__model", "by")
