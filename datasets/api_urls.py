"""Addresses of the dataset API, under /api/v1/."""

from __future__ import annotations

from django.urls import path

from datasets import api

urlpatterns = [
    path("datasets/", api.DatasetsView.as_view(), name="api-datasets"),
    path("datasets/<slug:name>/", api.DatasetView.as_view(), name="api-dataset"),
    path("datasets/<slug:name>/versions/", api.VersionsView.as_view(), name="api-dataset-versions"),
    path("datasets/<slug:name>/versions/<int:number>/profile/", api.ProfileView.as_view(), name="api-dataset-profile"),
    path("datasets/<slug:name>/recipes/", api.RecipesView.as_view(), name="api-dataset-recipes"),
]
