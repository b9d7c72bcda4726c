"""Addresses of the dataset pages."""

from __future__ import annotations

from django.urls import path

from datasets import views

app_name = "datasets"

urlpatterns = [
    path("datasets/", views.dataset_list, name="list"),
    path("datasets/new/", views.new, name="new"),
    path("datasets/<slug:name>/", views.detail, name="detail"),
    path("datasets/<slug:name>/upload/", views.upload, name="upload"),
    path("datasets/<slug:name>/recipes/new/", views.recipe_new, name="recipe_new"),
    path("datasets/<slug:name>/recipes/<slug:recipe_name>/<int:number>/", views.recipe, name="recipe"),
]
