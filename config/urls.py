"""Every address of the portal and the API: each room brings its own, this file only joins them."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.urls import include, path
from django_prometheus.exports import ExportToDjangoView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from config import health, search, theme

handler400 = "config.errors.bad_request"
handler403 = "config.errors.forbidden"
handler404 = "config.errors.not_found"
handler500 = "config.errors.server_error"

from importlib.util import find_spec


def _there(prefix, module):
    return [path(prefix, include(module))] if find_spec(module) else []


urlpatterns = [
    path("healthz", health.alive, name="alive"),
    path("readyz", health.ready, name="ready"),
    path("metrics", login_not_required(ExportToDjangoView), name="prometheus-django-metrics"),
    path("theme/", theme.choose, name="theme"),
    path("search/", search.search, name="search"),
    path("accounts/", include("allauth.urls")),
    path("admin/", admin.site.urls),
    path("api/schema/", SpectacularAPIView.as_view(), name="api-schema"),
    path("api/docs/", SpectacularSwaggerView.as_view(url_name="api-schema"), name="api-docs"),
    *_there("api/v1/", "access.api_urls"),
    *_there("api/v1/", "datasets.api_urls"),
    *_there("api/v1/", "serving.api_urls"),
    *_there("api/v1/", "registry.api_urls"),
    *_there("api/v1/", "reviews.api_urls"),
    *_there("api/v1/", "training.api_urls"),
    *_there("api/v1/", "monitoring.api_urls"),
    *_there("", "audit.urls"),
    *_there("", "access.urls"),
    *_there("", "datasets.urls"),
    *_there("", "training.urls"),
    *_there("", "serving.urls"),
    *_there("", "monitoring.urls"),
    *_there("", "reports.urls"),
    *_there("", "registry.urls"),
    *_there("", "reviews.urls"),
]
