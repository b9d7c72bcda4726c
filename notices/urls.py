"""The portal's pages of this room."""

from __future__ import annotations

from django.urls import path

from notices import views

app_name = "notices"

urlpatterns = [
    path("notifications/", views.notifications, name="list"),
    path("notifications/read/", views.read_all, name="read-all"),
    path("notifications/<uuid:uuid>/", views.open_page, name="open"),
    path("notifications/<uuid:uuid>/read/", views.read, name="read"),
    path("me/mail/", views.preference, name="preference"),
    path("me/mail/test/", views.test, name="test"),
]
