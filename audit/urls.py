"""The ledger's addresses."""

from django.urls import path

from audit import integrity_views, views

app_name = "audit"

urlpatterns = [
    path("audit/", views.log, name="log"),
    path("audit/integrity/", integrity_views.state, name="integrity"),
    path("audit/verify/", views.verify, name="verify"),
    path("audit/<int:seq>/", views.entry, name="entry"),
    path("audit/people/<str:actor>/", views.activity, name="activity"),
    path("me/activity/", views.own_activity, name="own-activity"),
    path("audit/export.<str:suffix>", views.export, name="export"),
    path("audit/bundle.tar", views.bundle, name="bundle"),
    path("audit/receipts/<int:seq>.tlog-proof", views.receipt, name="receipt"),
    path("audit/checkpoint", views.checkpoint, name="checkpoint"),
]
