"""What people were told and what became of the mail about it, to look at."""

from __future__ import annotations

from django.contrib import admin

from access.admin import ReadOnlyAdmin
from notices.models import MailPreference, Notification


@admin.register(Notification)
class NotificationAdmin(ReadOnlyAdmin):
    """The outbox among them: what waits, what left, what the mail server said."""

    list_display = ("at", "person", "kind", "title", "mail_state", "attempts", "not_before", "last_error")
    list_filter = ("mail_state", "kind")
    list_select_related = ("person",)


@admin.register(MailPreference)
class MailPreferenceAdmin(ReadOnlyAdmin):
    """How people want to be written to."""

    list_display = ("person", "mode", "digest_hour", "digested_at")
    list_select_related = ("person",)
