"""Addresses of the portal's reports."""

from django.urls import path, re_path

from reports import as_of_views, governance_views, tables, views

app_name = "reports"

urlpatterns = [
    path("models/<str:name>/v/<int:number>/certificate/", views.certificate, name="certificate"),
    path("models/<str:name>/v/<int:number>/certificate.pdf", views.certificate_pdf, name="certificate_pdf"),
    path("models/<str:name>/v/<int:number>/review-pack.pdf", views.review_pack, name="review_pack"),
    re_path(
        r"^models/(?P<name>[^/]+)/v/(?P<number>[0-9]{1,9})/sign-offs/(?P<digest>[0-9a-f]{64})\.json$",
        views.sign_off_bundle,
        name="sign_off_bundle",
    ),
    path("verify/", views.verify, name="verify"),
    path("verify/registry.pub", views.registry_key, name="registry_key"),
    path("verify/model-signing.pub", views.model_signing_public_key, name="model_signing_key"),
    path("verify/ledger.pub", views.ledger_keys, name="ledger_keys"),
    path("verify/verify.py", views.ledger_script, name="ledger_script"),
    path("reports/", views.index, name="index"),
    re_path(r"^reports/(?P<what>approvals|promotions|revocations)\.csv$", views.export, name="export"),
    path("reports/as-of/", as_of_views.as_of, name="as_of"),
    path("reports/as-of/answer.pdf", as_of_views.as_of_pdf, name="as_of_pdf"),
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
