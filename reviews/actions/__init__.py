"""Every write of this room, except promotion and revocation, which have modules of their own."""

from reviews.actions.cases import open_round, request_review, withdraw_review
from reviews.actions.discussion import comment, mark_read
from reviews.actions.drafts import draft_policy, publish_policy
from reviews.actions.signatures import dismiss_changes_request, sign_off, withdraw_sign_off

__all__ = [
    "comment",
    "dismiss_changes_request",
    "draft_policy",
    "mark_read",
    "open_round",
    "publish_policy",
    "request_review",
    "sign_off",
    "withdraw_review",
    "withdraw_sign_off",
]
