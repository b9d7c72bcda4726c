"""Addresses of the training API, under /api/v1/."""

from __future__ import annotations

from django.urls import path

from training import api

urlpatterns = [
    path("training/", api.TrainingsView.as_view(), name="api-trainings"),
    path("training/<uuid:uuid>/", api.TrainingView.as_view(), name="api-training"),
    path("training/<uuid:uuid>/cancel/", api.CancelView.as_view(), name="api-training-cancel"),
    path("training/<uuid:uuid>/retry/", api.RetryView.as_view(), name="api-training-retry"),
    path("models/<str:name>/versions/<int:number>/compare/", api.CompareView.as_view(), name="api-compare"),
]
