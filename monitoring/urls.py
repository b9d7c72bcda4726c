"""Addresses of the portal's monitoring pages."""

from django.urls import path, re_path

from monitoring import views

app_name = "monitoring"

urlpatterns = [
    path("monitoring/", views.overview, name="list"),
    path("monitoring/<slug:name>/", views.detail, name="detail"),
    path("monitoring/<slug:name>/evaluate/", views.evaluate, name="evaluate"),
    path("monitoring/<slug:name>/thresholds/", views.thresholds, name="thresholds"),
    path("monitoring/<slug:name>/outcomes/", views.outcomes, name="outcomes"),
    path("monitoring/<slug:name>/alerts/<int:pk>/acknowledge/", views.acknowledge, name="alert"),
    path("monitoring/<slug:name>/alerts/<int:pk>/retrain/", views.retrain, name="retrain"),
    re_path(r"^monitoring/(?P<name>[-\w]+)/(?P<what>drift|performance|alerts)\.csv$", views.export, name="export"),
]
