"""Every address of the portal and the API: each room brings its own, this file only joins them."""

from __future__ import annotations

from csp.decorators import csp_update
from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from config import health, search, theme

handler400 = "config.errors.bad_request"
handler403 = "config.errors.forbidden"
handler404 = "config.errors.not_found"
handler500 = "config.errors.server_error"

# Swagger UI's own style sheet draws its arrows from `data:` pictures; no other page may.
api_docs = csp_update({"img-src": ["data:"]})(SpectacularSwaggerSplitView.as_view(url_name="api-schema"))

urlpatterns = [
    path("healthz", health.alive, name="alive"),
    path("readyz", health.ready, name="ready"),
    path("metrics", health.metrics, name="metrics"),
    path("theme/", theme.choose, name="theme"),
    path("search/", search.search, name="search"),
    path("accounts/", include("allauth.urls")),
    path("admin/", admin.site.urls),
    path("api/schema/", SpectacularAPIView.as_view(), name="api-schema"),
    path("api/docs/", api_docs, name="api-docs"),
    path("api/v1/", include("access.api_urls")),
    path("api/v1/", include("audit.api_urls")),
    path("api/v1/", include("notices.api_urls")),
    path("api/v1/", include("datasets.api_urls")),
    path("api/v1/", include("serving.api_urls")),
    path("api/v1/", include("registry.api_urls")),
    path("api/v1/", include("reviews.api_urls")),
    path("api/v1/", include("training.api_urls")),
    path("api/v1/", include("monitoring.api_urls")),
    path("api/v1/", include("reports.api_urls")),
    path("", include("audit.urls")),
    path("", include("access.urls")),
    path("", include("access.entry.urls")),
    path("", include("datasets.urls")),
    path("", include("notices.urls")),
    path("", include("notices.webhooks.urls")),
    path("", include("training.urls")),
    path("", include("serving.urls")),
    path("", include("monitoring.urls")),
    path("", include("reports.urls")),
    path("", include("registry.urls")),
    path("", include("reviews.urls")),
]
