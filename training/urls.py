"""Addresses of the training pages."""

from __future__ import annotations

from django.urls import path

from training import views

app_name = "training"

urlpatterns = [
    path("training/", views.training_list, name="list"),
    path("training/new/", views.new, name="new"),
    path("training/<uuid:uuid>/", views.detail, name="detail"),
    path("training/<uuid:uuid>/cancel/", views.cancel, name="cancel"),
    path("training/<uuid:uuid>/retry/", views.retry, name="retry"),
    path("models/<str:name>/v/<int:number>/compare-again/", views.compare, name="compare"),
]
