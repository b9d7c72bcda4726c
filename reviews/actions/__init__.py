"""Every write of this room, except promotion and revocation, which have modules of their own."""

from reviews.actions.again import request_again
from reviews.actions.cases import open_round, request_review, withdraw_review
from reviews.actions.delegations import end_delegation, give_delegation
from reviews.actions.discussion import mark_read
from reviews.actions.drafts import draft_policy, propose_policy, take_back_policy
from reviews.actions.exceptions import grant_exception, withdraw_exception
from reviews.actions.findings import (
    answer_finding,
    close_finding,
    comment_on_finding,
    extend_finding,
    raise_finding,
    return_finding,
    withdraw_finding,
)
from reviews.actions.publishing import sign_policy
from reviews.actions.rehearsals import rehearse_policy
from reviews.actions.signatures import dismiss_changes_request, sign_off, withdraw_sign_off
from reviews.actions.threads import edit_comment, open_thread, reopen_thread, reply, resolve_thread

__all__ = [
    "answer_finding",
    "close_finding",
    "comment_on_finding",
    "dismiss_changes_request",
    "draft_policy",
    "edit_comment",
    "end_delegation",
    "extend_finding",
    "give_delegation",
    "grant_exception",
    "mark_read",
    "open_round",
    "open_thread",
    "propose_policy",
    "raise_finding",
    "rehearse_policy",
    "reopen_thread",
    "reply",
    "request_again",
    "request_review",
    "resolve_thread",
    "return_finding",
    "sign_off",
    "sign_policy",
    "take_back_policy",
    "withdraw_exception",
    "withdraw_finding",
    "withdraw_review",
    "withdraw_sign_off",
]
