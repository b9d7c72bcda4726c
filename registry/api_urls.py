"""Addresses of the API about models, versions, evidence, cards, aliases and tags, under /api/v1/."""

from __future__ import annotations

from django.urls import path

from registry import api

_MODEL = "models/<str:name>/"
_VERSION = _MODEL + "versions/<int:number>/"

urlpatterns = [
    path("models/", api.Models.as_view(), name="api-models"),
    path(_MODEL, api.Model.as_view(), name="api-model"),
    path(_MODEL + "aliases/", api.Aliases.as_view(), name="api-aliases"),
    path(_MODEL + "aliases/<str:alias>/", api.OneAlias.as_view(), name="api-alias"),
    path(_MODEL + "tags/<str:key>/", api.ModelTags.as_view(), name="api-model-tag"),
    path(_MODEL + "versions/", api.Versions.as_view(), name="api-versions"),
    path(_VERSION, api.Version.as_view(), name="api-version"),
    path(_VERSION + "evidence/", api.EvidenceOfVersion.as_view(), name="api-evidence"),
    path(_VERSION + "evidence/<int:pk>/", api.OneEvidence.as_view(), name="api-one-evidence"),
    path(_VERSION + "card/", api.Card.as_view(), name="api-card"),
    path(_VERSION + "card/restore/", api.RestoreCard.as_view(), name="api-card-restore"),
    path(_VERSION + "tags/<str:key>/", api.VersionTags.as_view(), name="api-version-tag"),
]
