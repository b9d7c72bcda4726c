"""The portal's addresses of this room."""

from __future__ import annotations

from typing import Final

from django.urls import path

from reviews.views import decisions, findings, inbox, policies, threads, versions

app_name = "reviews"
_VERSION: Final = "models/<str:name>/v/<int:number>/"

urlpatterns = [
    path("", inbox.show, name="inbox"),
    path("models/<str:name>/", versions.model, name="model"),
    path("models/<str:name>/rollback/", decisions.rollback_page, name="rollback"),
    path(_VERSION, versions.version, name="version"),
    path(_VERSION + "request-review/", versions.request_page, name="request"),
    path(_VERSION + "new-round/", versions.new_round, name="round"),
    path(_VERSION + "withdraw-review/", versions.withdraw, name="withdraw"),
    path(_VERSION + "sign/", decisions.sign, name="sign"),
    path(_VERSION + "sign-offs/<uuid:uuid>/withdraw/", decisions.withdraw_signature, name="withdraw-sign-off"),
    path(_VERSION + "sign-offs/<uuid:uuid>/dismiss/", decisions.dismiss, name="dismiss"),
    path(_VERSION + "promote/", decisions.promote_page, name="promote"),
    path(_VERSION + "revoke/", decisions.revoke_page, name="revoke"),
    path(_VERSION + "read/", versions.read, name="read"),
    path(_VERSION + "comment/", threads.comment, name="comment"),
    path(_VERSION + "findings/new/", findings.new, name="finding-new"),
    path("threads/<uuid:uuid>/reply/", threads.reply_page, name="thread-reply"),
    path("threads/<uuid:uuid>/resolve/", threads.resolve, name="thread-resolve"),
    path("comments/<int:pk>/edit/", threads.edit, name="comment-edit"),
    path("findings/", findings.findings, name="findings"),
    path("findings/export/", findings.export, name="findings-export"),
    path("findings/<uuid:uuid>/", findings.finding, name="finding"),
    path("findings/<uuid:uuid>/extend/", findings.extend, name="finding-extend"),
    path("findings/<uuid:uuid>/<slug:step>/", findings.act, name="finding-act"),
    path("policies/", policies.policies, name="policies"),
    path("policies/draft/", policies.draft, name="policy-draft"),
    path("policies/<slug:name>/v/<int:number>/", policies.policy, name="policy"),
    path("policies/<slug:name>/v/<int:number>/publish/", policies.publish, name="policy-publish"),
]
