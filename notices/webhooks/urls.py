"""The portal's pages about webhooks."""

from __future__ import annotations

from django.urls import path

from notices.webhooks import views

app_name = "webhooks"

urlpatterns = [
    path("webhooks/", views.webhooks, name="list"),
    path("webhooks/new/", views.new, name="new"),
    path("webhooks/<uuid:uuid>/", views.detail, name="detail"),
    path("webhooks/<uuid:uuid>/edit/", views.edit, name="edit"),
    path("webhooks/<uuid:uuid>/switch/", views.switch, name="switch"),
    path("webhooks/<uuid:uuid>/secret/", views.renew, name="renew"),
    path("webhooks/<uuid:uuid>/test/", views.test, name="test"),
    path("webhooks/<uuid:uuid>/delete/", views.delete, name="delete"),
    path("webhooks/<uuid:uuid>/deliveries/<uuid:delivery>/", views.delivery, name="delivery"),
    path("webhooks/<uuid:uuid>/deliveries/<uuid:delivery>/again/", views.redeliver, name="redeliver"),
]
