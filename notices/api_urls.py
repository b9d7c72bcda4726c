"""Addresses of the API about one's own notifications, under /api/v1/."""

from __future__ import annotations

from django.urls import path

from notices import api

urlpatterns = [
    path("notifications/", api.NotificationsView.as_view(), name="api-notifications"),
    path("notifications/read/", api.ReadAllView.as_view(), name="api-notifications-read"),
    path("notifications/<uuid:uuid>/read/", api.ReadView.as_view(), name="api-notification-read"),
    path("notifications/preference/", api.PreferenceView.as_view(), name="api-notification-preference"),
]
