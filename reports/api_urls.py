"""Addresses of the reports' API, under /api/v1/."""

from __future__ import annotations

from django.urls import path

from reports import api

app_name = "reports-api"

urlpatterns = [
    path("as-of", api.AsOfView.as_view(), name="as-of"),
    path("receipts/<str:writer>/<int:n>.tlog-proof", api.ReceiptView.as_view(), name="receipt"),
]
