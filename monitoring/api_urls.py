"""Addresses of the monitoring API, under /api/v1/."""

from django.urls import path

from monitoring import api

app_name = "monitoring-api"

urlpatterns = [
    path("monitoring", api.OverviewView.as_view(), name="overview"),
    path("monitoring/<slug:name>", api.DeploymentView.as_view(), name="deployment"),
    path("monitoring/<slug:name>/evaluate", api.EvaluateView.as_view(), name="evaluate"),
    path("monitoring/<slug:name>/thresholds", api.ThresholdsView.as_view(), name="thresholds"),
    path("monitoring/<slug:name>/outcomes", api.OutcomesView.as_view(), name="outcomes"),
    path("monitoring/<slug:name>/alerts/<int:pk>/acknowledge", api.AcknowledgeView.as_view(), name="acknowledge"),
    path("monitoring/<slug:name>/alerts/<int:pk>/retrain", api.RetrainView.as_view(), name="retrain"),
]
