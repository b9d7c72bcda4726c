"""Addresses of the portal's pages about deployments."""

from django.urls import path

from serving import tracking_views, views

app_name = "serving"

urlpatterns = [
    path("deployments/", views.deployments, name="deployments"),
    path("deployments/new/", views.new, name="new"),
    path("deployments/<slug:name>/", views.deployment, name="deployment"),
    path("deployments/<slug:name>/pause/", views.pause, name="pause"),
    path("experiments/", tracking_views.experiments, name="experiments"),
    path("experiments/<int:number>/", tracking_views.experiment, name="experiment"),
]
