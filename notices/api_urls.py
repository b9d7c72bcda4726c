"""Addresses of the API about one's own notifications and about webhooks, under /api/v1/."""

from __future__ import annotations

from django.urls import path

from notices import api
from notices.webhooks import api as webhooks

urlpatterns = [
    path("notifications/", api.NotificationsView.as_view(), name="api-notifications"),
    path("notifications/read/", api.ReadAllView.as_view(), name="api-notifications-read"),
    path("notifications/<uuid:uuid>/read/", api.ReadView.as_view(), name="api-notification-read"),
    path("notifications/preference/", api.PreferenceView.as_view(), name="api-notification-preference"),
    path("webhooks/", webhooks.WebhooksView.as_view(), name="api-webhooks"),
    path("webhooks/<uuid:uuid>/", webhooks.WebhookView.as_view(), name="api-webhook"),
    path("webhooks/<uuid:uuid>/test/", webhooks.TestView.as_view(), name="api-webhook-test"),
    path("webhooks/<uuid:uuid>/deliveries/", webhooks.DeliveriesView.as_view(), name="api-webhook-deliveries"),
    path(
        "webhooks/<uuid:uuid>/deliveries/<uuid:delivery>/redeliver/",
        webhooks.RedeliverView.as_view(),
        name="api-webhook-redeliver",
    ),
]
