"""Addresses of the API of the ledger, under /api/v1/."""

from __future__ import annotations

from django.urls import path

from audit import api, api_consistency

urlpatterns = [
    path("audit/entries/", api.EntriesView.as_view(), name="api-ledger-entries"),
    path("audit/entries/<int:seq>/", api.EntryView.as_view(), name="api-ledger-entry"),
    path("audit/checkpoint/", api.CheckpointView.as_view(), name="api-ledger-checkpoint"),
    path("audit/bundle.tar", api.BundleView.as_view(), name="api-ledger-bundle"),
    path("ledger/consistency", api_consistency.ConsistencyView.as_view(), name="api-ledger-consistency"),
]
