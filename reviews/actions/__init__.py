"""Every write of this room, except promotion and revocation, which have modules of their own."""

from reviews.actions.cases import open_round, request_review, withdraw_review
from reviews.actions.discussion import mark_read
from reviews.actions.drafts import draft_policy, publish_policy
from reviews.actions.findings import (
    answer_finding,
    close_finding,
    comment_on_finding,
    extend_finding,
    raise_finding,
    return_finding,
    withdraw_finding,
)
from reviews.actions.signatures import dismiss_changes_request, sign_off, withdraw_sign_off
from reviews.actions.threads import edit_comment, open_thread, reopen_thread, reply, resolve_thread

__all__ = [
    "answer_finding",
    "close_finding",
    "comment_on_finding",
    "dismiss_changes_request",
    "draft_policy",
    "edit_comment",
    "extend_finding",
    "mark_read",
    "open_round",
    "open_thread",
    "publish_policy",
    "raise_finding",
    "reopen_thread",
    "reply",
    "request_review",
    "resolve_thread",
    "return_finding",
    "sign_off",
    "withdraw_finding",
    "withdraw_review",
    "withdraw_sign_off",
]
