"""Addresses of the portal's reports."""

from django.urls import path, re_path

from reports import views

app_name = "reports"

urlpatterns = [
    path("models/<str:name>/v/<int:number>/certificate/", views.certificate, name="certificate"),
    path("models/<str:name>/v/<int:number>/certificate.pdf", views.certificate_pdf, name="certificate_pdf"),
    path("verify/", views.verify, name="verify"),
    path("reports/", views.index, name="index"),
    re_path(r"^reports/(?P<what>approvals|promotions|revocations)\.csv$", views.export, name="export"),
]
