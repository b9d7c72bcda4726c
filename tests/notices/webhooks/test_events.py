"""Every event has its example and stands in the guide; real decisions emit each of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.utils import timezone

from access.models import User
from notices.models import Delivery
from notices.webhooks.events import EXAMPLES, Event
from registry.models import ModelVersion, Stage
from reviews.actions import withdraw_review
from reviews.clock import CLOCK
from reviews.lapses import lapse
from reviews.models import Approval, Lapse
from reviews.revocation import revoke
from tests.conftest import as_
from tests.notices.webhooks.conftest import Hook
from tests.reviews.conftest import MakeCandidate, ask, candidate, make_candidate, proof_of, sign
from tests.serving.conftest import release

__all__ = ["candidate", "make_candidate"]

GUIDE = Path(__file__).parents[3] / "docs/guides/webhooks.md"


def test_every_event_has_an_example_and_a_line_in_the_guide() -> None:
    assert set(EXAMPLES) == set(Event)
    text = GUIDE.read_text()
    assert [one for one in Event if f"| `{one}` | {one.sentence} |" not in text] == []


def test_an_event_is_an_entity_and_an_action() -> None:
    assert [(one.entity, one.action) for one in (Event.SIGN_OFF_GIVEN, Event.TAG_SET)] == [
        ("sign_off", "given"),
        ("model_version_tag", "set"),
    ]


def told() -> list[str]:
    return list(Delivery.objects.order_by("pk").values_list("event", flat=True))


@pytest.mark.django_db
def test_a_version_s_way_to_production_and_back_is_told(
    hook: Hook, make_candidate: MakeCandidate, alice: User, bob: User, carol: User, rita: User
) -> None:
    version = make_candidate()
    hook()

    live = release(version, by=alice, validator=bob, risk=carol, promoter=rita)
    revoke(live, reason="It was wrong.", reauthentication=proof_of(carol), by=as_(carol))

    assert told() == [
        "review.requested",
        "sign_off.given",
        "sign_off.given",
        "review.approved",
        "model_version_alias.created",
        "version.promoted",
        "model_version_alias.deleted",
        "approval.revoked",
    ]
    for row in Delivery.objects.filter(event__in=["version.promoted", "approval.revoked", "sign_off.given"]):
        assert '"name": "credit", "version": "1"' in row.body
        assert "bob" not in row.body.lower()
        assert str(bob.uuid) not in row.body


@pytest.mark.django_db
def test_an_approval_that_ends_by_itself_is_told(
    hook: Hook, candidate: ModelVersion, alice: User, bob: User, carol: User, rita: User
) -> None:
    live = release(candidate, by=alice, validator=bob, risk=carol, promoter=rita)
    hook(Event.APPROVAL_LAPSED)

    lapse(Approval.objects.get(version=live), Lapse.Kind.CONDITION, "Overdue.", timezone.now(), by=CLOCK)

    assert told() == ["approval.lapsed"]
    assert '"aliases_dropped": ["champion"]' in Delivery.objects.get().body


@pytest.mark.django_db
def test_a_review_that_is_rejected_or_withdrawn_is_told(
    hook: Hook, make_candidate: MakeCandidate, production: Stage, alice: User, bob: User
) -> None:
    first, second = make_candidate(), make_candidate()
    hook(Event.REVIEW_REJECTED, Event.REVIEW_WITHDRAWN)

    sign(ask(first, production, alice), "validator", bob, decision="reject", reason="It does not hold.")
    withdraw_review(ask(second, production, alice), by=as_(alice))

    assert told() == ["review.rejected", "review.withdrawn"]
