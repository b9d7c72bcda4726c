"""Addresses of the portal's reports."""

from django.urls import path, re_path

from reports import governance_views, tables, views

app_name = "reports"

urlpatterns = [
    path("models/<str:name>/v/<int:number>/certificate/", views.certificate, name="certificate"),
    path("models/<str:name>/v/<int:number>/certificate.pdf", views.certificate_pdf, name="certificate_pdf"),
    path("verify/", views.verify, name="verify"),
    path("reports/", views.index, name="index"),
    re_path(r"^reports/(?P<what>approvals|promotions|revocations)\.csv$", views.export, name="export"),
    path("reports/attention/", governance_views.needs_attention, name="attention"),
    re_path(
        rf"^reports/attention/(?P<what>{'|'.join(tables.ATTENTION)})\.csv$",
        governance_views.export_attention,
        name="attention_export",
    ),
    path("reports/review-quality/", governance_views.review_quality, name="quality"),
    re_path(
        rf"^reports/review-quality/(?P<what>{'|'.join(tables.QUALITY)})\.csv$",
        governance_views.export_quality,
        name="quality_export",
    ),
]
