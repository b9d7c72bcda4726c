"""Addresses of the registry's pages."""

from __future__ import annotations

from django.urls import path

from registry import access_views, card_views, views

app_name = "registry"

_VERSION = "models/<str:name>/v/<int:number>/"

urlpatterns = [
    path("models/", views.model_list, name="models"),
    path("models/new/", views.new_model, name="new"),
    path("models/<str:name>/aliases/", views.alias, name="alias"),
    path("models/<str:name>/access/", access_views.model_access, name="access"),
    path("models/<str:name>/access/withdraw/", access_views.withdraw_access, name="withdraw-access"),
    path(_VERSION + "files/", views.files, name="files"),
    path(_VERSION + "files/<path:path>", views.file, name="file"),
    path(_VERSION + "evidence/<int:pk>/", views.evidence, name="evidence"),
    path(_VERSION + "lineage/", views.lineage_page, name="lineage"),
    path(_VERSION + "card/", card_views.card, name="card"),
]
