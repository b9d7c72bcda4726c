"""Addresses of the review API, under /api/v1/."""

from __future__ import annotations

from django.urls import path

from reviews import api, api_ahead, api_findings, api_standing_in

urlpatterns = [
    path("reviews/", api.ReviewsView.as_view(), name="api-reviews"),
    path("reviews/<uuid:uuid>/", api.ReviewView.as_view(), name="api-review"),
    path("reviews/<uuid:uuid>/rounds/", api.RoundsView.as_view(), name="api-review-rounds"),
    path("reviews/<uuid:uuid>/withdraw/", api.WithdrawView.as_view(), name="api-review-withdraw"),
    path("reviews/<uuid:uuid>/sign-offs/", api.SignOffsView.as_view(), name="api-sign-offs"),
    path("reviews/<uuid:uuid>/sign-again/", api_standing_in.SignAgainView.as_view(), name="api-sign-again"),
    path("reviews/<uuid:uuid>/exceptions/", api_standing_in.ExceptionsView.as_view(), name="api-exceptions"),
    path(
        "exceptions/<uuid:uuid>/withdraw/",
        api_standing_in.ExceptionWithdrawView.as_view(),
        name="api-exception-withdraw",
    ),
    path("delegations/", api_standing_in.DelegationsView.as_view(), name="api-delegations"),
    path("delegations/<uuid:uuid>/end/", api_standing_in.DelegationEndView.as_view(), name="api-delegation-end"),
    path("reviews/<uuid:uuid>/threads/", api_findings.ThreadsView.as_view(), name="api-threads"),
    path("threads/<uuid:uuid>/replies/", api_findings.RepliesView.as_view(), name="api-thread-replies"),
    path("threads/<uuid:uuid>/resolve/", api_findings.ThreadResolveView.as_view(), name="api-thread-resolve"),
    path("threads/<uuid:uuid>/reopen/", api_findings.ThreadReopenView.as_view(), name="api-thread-reopen"),
    path("comments/<int:pk>/edit/", api_findings.CommentEditView.as_view(), name="api-comment-edit"),
    path("findings/", api_findings.FindingsView.as_view(), name="api-findings"),
    path("findings/<uuid:uuid>/", api_findings.FindingView.as_view(), name="api-finding"),
    path("findings/<uuid:uuid>/comments/", api_findings.FindingCommentsView.as_view(), name="api-finding-comments"),
    path("findings/<uuid:uuid>/answer/", api_findings.FindingAnswerView.as_view(), name="api-finding-answer"),
    path("findings/<uuid:uuid>/return/", api_findings.FindingReturnView.as_view(), name="api-finding-return"),
    path("findings/<uuid:uuid>/close/", api_findings.FindingCloseView.as_view(), name="api-finding-close"),
    path("findings/<uuid:uuid>/withdraw/", api_findings.FindingWithdrawView.as_view(), name="api-finding-withdraw"),
    path("findings/<uuid:uuid>/extend/", api_findings.FindingExtendView.as_view(), name="api-finding-extend"),
    path(
        "models/<str:name>/versions/<int:number>/findings/",
        api_findings.VersionFindingsView.as_view(),
        name="api-version-findings",
    ),
    path("sign-offs/<uuid:uuid>/withdraw/", api.SignOffWithdrawView.as_view(), name="api-sign-off-withdraw"),
    path("sign-offs/<uuid:uuid>/dismiss/", api.DismissView.as_view(), name="api-sign-off-dismiss"),
    path(
        "models/<str:name>/versions/<int:number>/requirements/", api.RequirementsView.as_view(), name="api-requirements"
    ),
    path("models/<str:name>/promotions/", api.PromotionsView.as_view(), name="api-promotions"),
    path("models/<str:name>/rollback/", api.RollbackView.as_view(), name="api-rollback"),
    path(
        "models/<str:name>/versions/<int:number>/break-glass/",
        api_ahead.BreakGlassesView.as_view(),
        name="api-break-glasses",
    ),
    path("break-glass/<uuid:uuid>/answer/", api_ahead.BreakGlassAnswerView.as_view(), name="api-break-glass-answer"),
    path("models/<str:name>/envelopes/", api_ahead.EnvelopesView.as_view(), name="api-envelopes"),
    path(
        "envelopes/<uuid:uuid>/signatures/",
        api_ahead.EnvelopeSignaturesView.as_view(),
        name="api-envelope-signatures",
    ),
    path("envelopes/<uuid:uuid>/withdraw/", api_ahead.EnvelopeWithdrawView.as_view(), name="api-envelope-withdraw"),
    path("models/<str:name>/revocations/", api.RevocationsView.as_view(), name="api-revocations"),
    path("policies/", api.PoliciesView.as_view(), name="api-policies"),
    path("policies/check/", api.PolicyCheckView.as_view(), name="api-policy-check"),
    path("policies/<slug:name>/<int:number>/", api.PolicyView.as_view(), name="api-policy"),
    path("policies/<slug:name>/<int:number>/propose/", api.PolicyProposeView.as_view(), name="api-policy-propose"),
    path("policies/<slug:name>/<int:number>/take-back/", api.PolicyTakeBackView.as_view(), name="api-policy-take-back"),
    path(
        "policies/<slug:name>/<int:number>/rehearsals/",
        api.PolicyRehearsalsView.as_view(),
        name="api-policy-rehearsals",
    ),
    path(
        "policies/<slug:name>/<int:number>/signatures/",
        api.PolicySignaturesView.as_view(),
        name="api-policy-signatures",
    ),
]
