"""What people were told, and what systems are told."""

from notices.models.notifications import URGENT, MailPreference, Notification, NotificationQuerySet
from notices.models.webhooks import Delivery, DeliveryQuerySet, Webhook, WebhookQuerySet

__all__ = [
    "URGENT",
    "Delivery",
    "DeliveryQuerySet",
    "MailPreference",
    "Notification",
    "NotificationQuerySet",
    "Webhook",
    "WebhookQuerySet",
]
