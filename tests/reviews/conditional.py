"""A policy that allows conditions, and approvals that carry some."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from django.utils import timezone

from access.models import Reauthentication, User
from reviews.actions import sign_off
from reviews.conditions import Condition
from reviews.evaluation import current_subject
from reviews.models import Finding, PolicyVersion, Review, SignOff
from tests.conftest import as_
from tests.reviews.conftest import proof_of
from tests.reviews.publishing import make_author, make_signer, publish


def allow_conditions(
    author: User, signer: User, *, days: int = 30, allowed: bool = True, name: str = "production-tier-1"
) -> PolicyVersion:
    """The shipped policy, followed by one that allows conditions due within `days`, or that allows none."""
    content = PolicyVersion.objects.get(policy__name=name, number=1).content
    said = {"conditions": {"allowed": allowed, "at_most_days": days}}
    return publish(name, content | said, author=make_author(author), signer=make_signer(signer))


def condition(owner: User, *, days: float = 10, slot: str = "validator", named: str = "", **changes: Any) -> Condition:
    """Something that `owner` has to do within `days`."""
    values: dict[str, Any] = {
        "title": "Explain the gap under 25",
        "detail": "By slice, with intervals.",
        "severity": "major",
        "owner": named or owner.username,
        "due_at": timezone.now() + timedelta(days=days),
        "verifying_slot": slot,
    }
    return Condition(**(values | changes))


def sign_with(
    review: Review,
    slot: str,
    user: User,
    *conditions: Condition,
    decision: str = "approve_with_conditions",
    proof: Reauthentication | None = None,
) -> SignOff:
    """Sign an approval that carries `conditions`."""
    round_ = review.current_round
    return sign_off(
        round_,
        slot,
        decision=decision,
        reason="Good enough, once this is done.",
        reauthentication=proof or proof_of(user),
        expected_subject=current_subject(round_).digest,
        idempotency_key=uuid.uuid4().hex,
        conditions=conditions,
        by=as_(user),
    )


def only_finding() -> Finding:
    """The one finding that there is, with what actions and pages read of it."""
    return Finding.objects.select_related("owner", "version__model", "sign_off__round__review").get()


def signed_with(finding: Finding) -> dict[str, Any]:
    """The statement whose condition the finding is."""
    assert finding.sign_off is not None
    said: dict[str, Any] = finding.sign_off.statement
    return said
