"""Addresses of the pull API and of what workers ask, under /api/v1/."""

from django.urls import path

from serving import api, tracking_api

app_name = "serving-api"

urlpatterns = [
    path("models/<str:name>/aliases/<str:alias>", api.AliasView.as_view(), name="alias"),
    path("models/<str:name>/versions/<int:number>", api.VersionView.as_view(), name="version"),
    path("models/<str:name>/versions/<int:number>/blobs/<str:sha256>", api.BlobView.as_view(), name="blob"),
    path("models/<str:name>/versions/<int:number>/files/<path:path>", api.FileView.as_view(), name="file"),
    path("models/<str:name>/versions/<int:number>/download", api.DownloadView.as_view(), name="download"),
    path("models/<str:name>/versions/<int:number>/attestation", api.AttestationView.as_view(), name="attestation"),
    path("models/<str:name>/versions/<int:number>/model.sig", api.ModelSigView.as_view(), name="model-sig"),
    path("experiments", tracking_api.ExperimentsView.as_view(), name="experiments"),
    path("experiments/<int:number>", tracking_api.ExperimentView.as_view(), name="experiment"),
    path("watch", api.WatchView.as_view(), name="watch"),
    path("serving/authorize", api.AuthorizeView.as_view(), name="authorize"),
    path("serving/deployments", api.DeploymentsView.as_view(), name="deployments"),
    path("serving/deployments/<slug:name>", api.DeploymentView.as_view(), name="deployment"),
    path("serving/deployments/<slug:name>/heartbeat", api.HeartbeatView.as_view(), name="heartbeat"),
    path("serving/deployments/<slug:name>/pause", api.PauseView.as_view(), name="pause"),
    path("serving/deployments/<slug:name>/resume", api.ResumeView.as_view(), name="resume"),
]
