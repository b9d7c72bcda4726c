"""The portal's addresses of this room."""

from __future__ import annotations

from typing import Final

from django.urls import path

from reviews.views import (
    compare,
    decisions,
    delegations,
    downloads,
    emergencies,
    envelopes,
    exceptions,
    findings,
    inbox,
    packs,
    policies,
    policy_editor,
    policy_publication,
    threads,
    versions,
)

app_name = "reviews"
_VERSION: Final = "models/<str:name>/v/<int:number>/"
_POLICY: Final = "policies/<slug:name>/v/<int:number>/"

urlpatterns = [
    path("", inbox.show, name="inbox"),
    path("models/<str:name>/", versions.model, name="model"),
    path("models/<str:name>/rollback/", emergencies.rollback_page, name="rollback"),
    path(_VERSION, versions.version, name="version"),
    path(_VERSION + "request-review/", versions.request_page, name="request"),
    path(_VERSION + "new-round/", versions.new_round, name="round"),
    path(_VERSION + "withdraw-review/", versions.withdraw, name="withdraw"),
    path(_VERSION + "sign/", decisions.sign, name="sign"),
    path(_VERSION + "sign-offs/<uuid:uuid>/withdraw/", decisions.withdraw_signature, name="withdraw-sign-off"),
    path(_VERSION + "sign-offs/<uuid:uuid>/dismiss/", decisions.dismiss, name="dismiss"),
    path(_VERSION + "sign-again/", exceptions.again, name="sign-again"),
    path(_VERSION + "exception/", exceptions.grant, name="exception"),
    path(_VERSION + "exceptions/<uuid:uuid>/withdraw/", exceptions.withdraw, name="withdraw-exception"),
    path(_VERSION + "promote/", decisions.promote_page, name="promote"),
    path(_VERSION + "revoke/", decisions.revoke_page, name="revoke"),
    path(_VERSION + "break-glass/", emergencies.ask_page, name="break-glass-ask"),
    path("break-glass/<uuid:uuid>/", emergencies.break_glass_page, name="break-glass"),
    path("models/<str:name>/envelope/", envelopes.envelope_page, name="envelope"),
    path("models/<str:name>/envelope/propose/", envelopes.propose_page, name="envelope-propose"),
    path("envelopes/<uuid:uuid>/sign/", envelopes.sign_page, name="envelope-sign"),
    path("envelopes/<uuid:uuid>/withdraw/", envelopes.withdraw_page, name="envelope-withdraw"),
    path(_VERSION + "compare/", compare.compare, name="compare"),
    path(_VERSION + "history/", versions.history, name="history"),
    path(_VERSION + "read/", versions.read, name="read"),
    path(_VERSION + "sections/<slug:section>/table.csv", downloads.section_table, name="section-table"),
    path(_VERSION + "sections/<slug:section>/chart.svg", downloads.section_chart, name="section-chart"),
    path(_VERSION + "evidence/<int:pk>/table.csv", downloads.evidence_table, name="evidence-table"),
    path(_VERSION + "evidence/<int:pk>/chart.svg", downloads.evidence_chart, name="evidence-chart"),
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
    path("me/delegations/", delegations.delegations, name="delegations"),
    path("me/delegations/<uuid:uuid>/end/", delegations.end, name="end-delegation"),
    path("policies/", policies.policies, name="policies"),
    path("policies/new/", policy_editor.new_policy, name="policy-new"),
    path("policies/check/", policy_editor.check, name="policy-check"),
    path("policies/fields/", policy_editor.fields, name="policy-fields"),
    path("policies/packs/", packs.library, name="packs"),
    path("policies/packs/<slug:key>/", packs.pack, name="pack"),
    path("policies/packs/<slug:key>/<slug:name>/adopt/", packs.adopt_policy, name="pack-adopt"),
    path("policies/<slug:name>/edit/", policy_editor.edit_policy, name="policy-edit"),
    path("policies/<slug:name>/diff/", policies.policy_diff, name="policy-diff"),
    path(_POLICY, policies.policy, name="policy"),
    path(_POLICY + "export.json", policies.policy_export, name="policy-export"),
    path(_POLICY + "propose/", policy_publication.propose, name="policy-propose"),
    path(_POLICY + "take-back/", policy_publication.take_back, name="policy-take-back"),
    path(_POLICY + "rehearsal/", policy_publication.rehearsal, name="policy-rehearsal"),
    path(_POLICY + "rehearsal.csv", policy_publication.rehearsal_csv, name="policy-rehearsal-csv"),
    path(_POLICY + "sign/", policy_publication.sign, name="policy-sign"),
]
