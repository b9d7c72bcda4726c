"""What people and systems were told, and what became of it, to look at."""

from __future__ import annotations

from django.contrib import admin

from access.admin import ReadOnlyAdmin
from notices.models import Delivery, MailPreference, Notification, Webhook


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


@admin.register(Webhook)
class WebhookAdmin(ReadOnlyAdmin):
    """Without the addresses and the secrets: both let in whoever has them."""

    list_display = ("name", "state", "owner", "failed_in_a_row", "busy_until")
    list_select_related = ("owner",)
    exclude = ("url", "secret")


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    """The outbox: what waits, what arrived, what the receiver said; not what was sent, which not everybody may read."""

    list_display = ("at", "webhook", "event", "state", "attempts", "not_before", "last_status", "last_error")
    list_filter = ("state", "event")
    list_select_related = ("webhook",)
    exclude = ("body",)
