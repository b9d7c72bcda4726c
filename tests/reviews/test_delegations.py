"""Signing for somebody else: who can allow it to whom, what is asked of both, and how often the two of them count."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
import time_machine
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from access import actions as access_actions
from access.models import Role, User
from access.principal import Principal
from audit.models import Pending
from foundation.refusals import Conflict, Forbidden, Invalid, Refusal
from notices.models import Notification
from registry.models import ModelVersion, RegisteredModel, Stage
from reviews.actions import (
    dismiss_changes_request,
    end_delegation,
    give_delegation,
    open_round,
    withdraw_sign_off,
)
from reviews.evaluation import examine
from reviews.models import Delegation, Review, Round, SignOff
from reviews.promotion import promote
from reviews.queries import approval_in_force, waiting_for
from reviews.standing import Standing
from reviews.statements import read_sign_off
from tests.conftest import as_
from tests.databases import without_triggers
from tests.reviews.conftest import ask, join, sign
from tests.reviews.test_people import attached_evidence

pytestmark = pytest.mark.django_db

OPERATOR = Principal.system("operator")


@pytest.fixture
def frank(db: None) -> User:
    """Sees models and belongs to no group."""
    user = access_actions.create_person(
        "frank", display_name="Frank Weiss", email="frank@example.org", password="correct horse", by=OPERATOR
    )
    access_actions.assign_role(Role.objects.get(name="Reviewer"), to=user, by=OPERATOR)
    return user


def give(
    giver: User,
    to: User,
    group: str = "Risk officers",
    *,
    starts: datetime | None = None,
    days: float = 14,
    reason: str = "I am away.",
) -> Delegation:
    starts = starts or timezone.now()
    return give_delegation(
        to, group=group, starts_at=starts, ends_at=starts + timedelta(days=days), reason=reason, by=as_(giver)
    )


@pytest.fixture
def for_carol(review: Review, carol: User, frank: User) -> Delegation:
    """Frank may sign for carol as a risk officer."""
    return give(carol, frank)


def test_somebody_signs_for_somebody_else_and_it_says_so(
    review: Review, for_carol: Delegation, bob: User, carol: User, frank: User
) -> None:
    sign(review, "validator", bob)

    given = sign(review, "risk", frank, on_behalf_of="carol")

    assert review.current_round.state == Round.State.APPROVED
    assert given.who == "Frank Weiss for Carol Adeyemi"
    said = read_sign_off(given.statement)
    assert (said.reviewer, said.on_behalf_of) == (str(frank.uuid), str(carol.uuid))
    assert said.predicate["on_behalf_of"]["delegation"] == str(for_carol.uuid)
    entries = [bytes(row.payload).decode() for row in Pending.objects.filter(prompt=True)]
    assert any(f'"on_behalf_of":"{carol.uuid}"' in entry for entry in entries)


def test_what_was_signed_for_somebody_goes_live_and_stays_in_force(
    review: Review, for_carol: Delegation, production: Stage, bob: User, frank: User, rita: User
) -> None:
    sign(review, "validator", bob)
    sign(review, "risk", frank, on_behalf_of="carol")

    promote(review.version, production, by=as_(rita))

    with time_machine.travel(timezone.now() + timedelta(days=60)):  # the delegation is over by then
        version = ModelVersion.objects.get(pk=review.version_id)
        assert approval_in_force(version, production, timezone.now()) is not None


def test_without_a_delegation_nobody_signs_for_anybody(review: Review, frank: User) -> None:
    with pytest.raises(Forbidden, match="No delegation in force lets you sign as Risk officer for carol"):
        sign(review, "risk", frank, on_behalf_of="carol")


def test_a_delegate_does_not_sign_in_their_own_name(review: Review, for_carol: Delegation, frank: User) -> None:
    with pytest.raises(Forbidden, match="Only members of Risk officers"):
        sign(review, "risk", frank)


def test_a_delegation_is_for_one_capacity(review: Review, for_carol: Delegation, frank: User) -> None:
    with pytest.raises(Forbidden, match="Carol Adeyemi may not sign as Model validator by membership of Risk officers"):
        sign(review, "validator", frank, on_behalf_of="carol")


@pytest.mark.parametrize("moment", [timedelta(hours=-1), timedelta(days=14)])
def test_a_delegation_holds_from_its_beginning_to_its_end(
    review: Review, carol: User, frank: User, moment: timedelta
) -> None:
    starts = timezone.now() + timedelta(days=1)
    give(carol, frank, starts=starts)

    with time_machine.travel(starts + moment, tick=False), pytest.raises(Forbidden, match="No delegation in force"):
        sign(review, "risk", frank, on_behalf_of="carol")
    with time_machine.travel(starts + timedelta(days=13), tick=False):
        assert sign(review, "risk", frank, on_behalf_of=str(carol.uuid))


@pytest.mark.parametrize("who", ["carol", "frank"])
def test_either_of_the_two_ends_it_at_once(
    review: Review, for_carol: Delegation, frank: User, who: str, request: pytest.FixtureRequest
) -> None:
    end_delegation(for_carol, by=as_(request.getfixturevalue(who)))

    with pytest.raises(Forbidden, match="No delegation in force"):
        sign(review, "risk", frank, on_behalf_of="carol")
    with pytest.raises(Conflict, match="ended already"):
        end_delegation(for_carol, by=as_(frank))


def test_what_is_over_is_not_ended(for_carol: Delegation, carol: User) -> None:
    with time_machine.travel(for_carol.ends_at, tick=False), pytest.raises(Conflict, match="ended already"):
        end_delegation(for_carol, by=as_(carol))


def test_whoever_was_deactivated_gives_none(carol: User, frank: User) -> None:
    User.objects.filter(pk=carol.pk).update(is_active=False)

    with pytest.raises(Forbidden, match="Only an active person"):
        give(carol, frank)


def test_a_service_gives_none(scorer: User, frank: User) -> None:
    with pytest.raises(Forbidden, match="Only an active person"):
        give(scorer, frank)


def test_nobody_else_ends_it(for_carol: Delegation, erin: User) -> None:
    with pytest.raises(Forbidden, match="Only the two people"):
        end_delegation(for_carol, by=as_(erin))


def test_what_was_signed_by_it_stands_after_it_ended(
    review: Review, for_carol: Delegation, carol: User, frank: User
) -> None:
    sign(review, "risk", frank, on_behalf_of="carol")

    end_delegation(for_carol, by=as_(carol))

    standing = examine(review.version, review.stage).standing
    assert standing is not None
    assert [one.standing for one in standing.signatures] == [Standing.COUNTS]


def test_an_author_is_not_represented(
    candidate: ModelVersion, production: Stage, alice: User, bob: User, frank: User
) -> None:
    join(alice, "Model validation")
    give(alice, frank, "Model validation")
    review = ask(candidate, production, alice)

    with pytest.raises(Forbidden, match="Alice Moreau asked for this review, so nobody may sign it for them"):
        sign(review, "validator", frank, on_behalf_of="alice")


def test_an_author_represents_nobody(review: Review, alice: User, carol: User) -> None:
    give(carol, alice)

    with pytest.raises(Forbidden, match="You asked for this review"):
        sign(review, "risk", alice, on_behalf_of="carol")


def test_whoever_left_the_group_is_not_represented(
    review: Review, for_carol: Delegation, carol: User, frank: User, erin: User
) -> None:
    access_actions.remove_from_group(Group.objects.get(name="Risk officers"), carol, by=OPERATOR)

    with pytest.raises(Forbidden, match="Carol Adeyemi may not sign as Risk officer by membership"):
        sign(review, "risk", frank, on_behalf_of="carol")


def test_whoever_was_deactivated_is_not_represented(
    review: Review, for_carol: Delegation, carol: User, frank: User, erin: User
) -> None:
    access_actions.deactivate(carol, by=OPERATOR)

    with pytest.raises(Forbidden, match="is not active, so nobody signs for them"):
        sign(review, "risk", frank, on_behalf_of="carol")


def test_a_slot_that_cannot_be_delegated_is_not(
    candidate: ModelVersion, production: Stage, alice: User, bob: User, carol: User, frank: User
) -> None:
    give(carol, frank)
    review = ask(candidate, production, alice)
    with without_triggers():
        review.current_round.slots.filter(key="risk").update(delegable=False)

    with pytest.raises(Forbidden, match="does not allow anybody to sign as Risk officer for somebody else"):
        sign(review, "risk", frank, on_behalf_of="carol")


def test_two_people_for_one_do_not_make_two(
    review: Review, for_carol: Delegation, bob: User, carol: User, frank: User
) -> None:
    sign(review, "risk", carol)

    with pytest.raises(Forbidden, match="they count once"):
        sign(review, "risk", frank, on_behalf_of="carol")


def test_ones_own_decision_replaces_what_was_signed_in_ones_name(
    review: Review, for_carol: Delegation, bob: User, carol: User, frank: User
) -> None:
    first = sign(review, "risk", frank, on_behalf_of="carol")

    sign(review, "risk", carol, reason="I am back, and read it myself.")

    first.refresh_from_db()
    assert first.withdrawn_why == "Replaced by Carol Adeyemi's own decision."
    assert SignOff.objects.filter(withdrawn_at=None).count() == 1


def test_nobody_fills_two_slots_by_standing_in(review: Review, bob: User, carol: User) -> None:
    give(carol, bob)
    sign(review, "validator", bob)

    with pytest.raises(Forbidden, match="You already signed this round as Model validator; one person fills one slot"):
        sign(review, "risk", bob, on_behalf_of="carol")


def test_whoever_stands_in_does_not_fill_another_slot_themselves(review: Review, bob: User, carol: User) -> None:
    give(carol, bob)
    sign(review, "risk", bob, on_behalf_of="carol")

    with pytest.raises(Forbidden, match="one person fills one slot"):
        sign(review, "validator", bob)


def test_whoever_is_represented_fills_no_other_slot(
    review: Review, for_carol: Delegation, carol: User, frank: User
) -> None:
    join(carol, "Model validation")
    sign(review, "risk", frank, on_behalf_of="carol")

    with pytest.raises(Forbidden, match="Frank Weiss signed this round for you as Risk officer"):
        sign(review, "validator", carol)


def test_a_delegation_is_not_passed_on(for_carol: Delegation, frank: User, bob: User) -> None:
    with pytest.raises(
        Forbidden, match="You sign as Risk officers only for Carol Adeyemi, and a delegation cannot be passed on"
    ):
        give(frank, bob)


def test_only_a_member_has_something_to_delegate(bob: User, frank: User) -> None:
    with pytest.raises(Forbidden, match="You are not a member of Risk officers"):
        give(bob, frank)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"days": 91}, "ends_at"),
        ({"days": -1}, "ends_at"),
        ({"reason": " "}, "reason"),
        ({"reason": "x" * 10_001}, "reason"),
        ({"group": "The moon"}, "group"),
        ({"starts": timezone.now() + timedelta(days=400)}, "starts_at"),
    ],
)
def test_a_delegation_is_dated_and_explained(carol: User, frank: User, changes: dict[str, object], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        give(carol, frank, **changes)  # type: ignore[arg-type]  # one field at a time

    assert field in caught.value.errors


def test_a_delegation_never_began_earlier_than_it_was_given(carol: User, frank: User) -> None:
    given = give(carol, frank, starts=timezone.now() - timedelta(days=3))

    assert given.starts_at >= given.created_at - timedelta(seconds=5)


@pytest.mark.parametrize("who", ["carol", "scorer", "root"])
def test_only_an_active_person_who_sees_something_can_stand_in(
    carol: User, who: str, request: pytest.FixtureRequest
) -> None:
    with pytest.raises(Invalid) as caught:
        give(carol, request.getfixturevalue(who))

    assert "delegate" in caught.value.errors


def test_whoever_sees_one_model_alone_can_stand_in(review: Review, carol: User, root: User) -> None:
    RegisteredModel.objects.filter(pk=review.version.model_id).update(owner=root)

    assert give(carol, root)


def test_whoever_was_deactivated_cannot_stand_in(carol: User, frank: User) -> None:
    User.objects.filter(pk=frank.pk).update(is_active=False)

    with pytest.raises(Invalid, match="cannot sign: choose an active person"):
        give(carol, frank)


def test_the_same_twice_is_refused(for_carol: Delegation, carol: User, frank: User) -> None:
    with pytest.raises(Conflict, match="may sign for you as Risk officers in that time already"):
        give(carol, frank, days=3)


def test_it_is_given_again_for_another_time_or_after_it_was_taken_back(
    for_carol: Delegation, carol: User, frank: User
) -> None:
    assert give(carol, frank, starts=for_carol.ends_at, days=3)

    end_delegation(for_carol, by=as_(carol))

    assert give(carol, frank, days=3)


def test_both_are_told(for_carol: Delegation, carol: User, frank: User) -> None:
    titles = dict(Notification.objects.filter(event__startswith="delegation:").values_list("person__username", "title"))

    assert titles == {
        "frank": "You may sign for Carol Adeyemi as Risk officers",
        "carol": "Frank Weiss may sign for you as Risk officers",
    }


def test_what_waits_for_a_delegate_is_in_their_inbox(
    review: Review, for_carol: Delegation, carol: User, frank: User
) -> None:
    assert list(waiting_for(as_(frank))) == [review]

    sign(review, "risk", carol)

    assert not waiting_for(as_(frank)).exists()


def test_the_panel_says_for_whom_one_signs_and_signed(
    review: Review, for_carol: Delegation, carol: User, frank: User, client_for: Callable[[User], Client]
) -> None:
    page = reverse("reviews:version", args=[review.version.model.name, review.version.number])
    before = client_for(frank).get(page).content.decode()
    assert "Delegate…" not in before, "what was delegated is not passed on"
    assert "Delegate…" in client_for(carol).get(page).content.decode()

    sign(review, "risk", frank, on_behalf_of="carol")

    assert "You signed as Risk officer for Carol Adeyemi." in client_for(frank).get(page).content.decode()
    assert "Frank Weiss signed as Risk officer for you." in client_for(carol).get(page).content.decode()


def test_a_delegate_is_told_that_it_is_their_turn(
    candidate: ModelVersion, production: Stage, alice: User, bob: User, carol: User, frank: User
) -> None:
    give(carol, frank)

    review = ask(candidate, production, alice)

    event = f"round:{review.current_round.pk}:turn"
    told = set(Notification.objects.filter(event=event).values_list("person__username", flat=True))
    assert told == {"bob", "carol", "frank"}


def test_either_of_the_two_takes_the_decision_back(
    review: Review, for_carol: Delegation, carol: User, frank: User, bob: User
) -> None:
    given = sign(review, "risk", frank, on_behalf_of="carol")
    with pytest.raises(Forbidden):
        withdraw_sign_off(given, reason="I know better.", by=as_(bob))

    withdraw_sign_off(given, reason="I would not have.", by=as_(carol))

    assert not SignOff.objects.filter(withdrawn_at=None).exists()


def test_a_delegate_dismisses_what_a_holder_could(
    review: Review, for_carol: Delegation, bob: User, frank: User
) -> None:
    asked = sign(review, "validator", bob, decision="request_changes", reason="Explain the age gap.")

    dismissed = dismiss_changes_request(asked, reason="It is explained in the card.", by=as_(frank))

    assert dismissed.dismissed_by == frank


def test_whoever_took_part_since_they_signed_dismisses_nothing(review: Review, bob: User, carol: User) -> None:
    asked = sign(review, "risk", carol, decision="request_changes", reason="Explain the age gap.")
    sign(review, "validator", bob)
    attached_evidence(bob, review.version)

    with pytest.raises(Forbidden, match="You attached evidence to this version by hand"):
        dismiss_changes_request(asked, reason="Never mind.", by=as_(bob))


def test_a_row_that_names_another_delegator_makes_no_signature(
    review: Review, for_carol: Delegation, bob: User, carol: User, frank: User
) -> None:
    given = sign(review, "risk", frank, on_behalf_of="carol")
    join(bob, "Risk officers")
    other = give(bob, frank)
    with without_triggers():
        SignOff.objects.filter(pk=given.pk).update(delegation=other)

    standing = examine(review.version, review.stage).standing

    assert standing is not None
    assert [one.standing for one in standing.signatures] == [Standing.FORGED]


def test_a_delegation_written_afterwards_covers_nothing(review: Review, for_carol: Delegation, frank: User) -> None:
    sign(review, "risk", frank, on_behalf_of="carol")
    with without_triggers():
        Delegation.objects.filter(pk=for_carol.pk).update(starts_at=timezone.now() + timedelta(hours=1))

    standing = examine(review.version, review.stage).standing

    assert standing is not None
    assert standing.signatures[0].why == "No delegation covered it when it was signed."


def test_idempotency_key_is_for_one_person_in_whose_name(
    review: Review, for_carol: Delegation, carol: User, frank: User
) -> None:
    first = sign(review, "risk", frank, on_behalf_of="carol", key="a-key-of-the-page")

    assert sign(review, "risk", frank, on_behalf_of=str(carol.uuid), key="a-key-of-the-page") == first
    with pytest.raises(Refusal):
        sign(review, "risk", frank, key="a-key-of-the-page")


def test_a_new_round_is_not_signed_by_who_saw_the_old_one(review: Review, bob: User, alice: User) -> None:
    open_round(review, by=as_(alice))

    with pytest.raises(Conflict) as caught:
        sign(review, "validator", bob, expected_round=1)

    assert caught.value.code == "round-changed"
    assert caught.value.extra == {"expected_round": 1, "current_round": 2}
    with pytest.raises(Conflict) as caught:
        sign(review.rounds.get(number=1), "validator", bob, expected_round=1)
    assert caught.value.code == "round-changed"
    assert sign(review, "validator", bob, expected_round=2)
