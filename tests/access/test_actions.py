"""People, groups, roles and service accounts: every change asks for permission, is on record, and raises nobody's own powers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group
from django.db import IntegrityError, transaction
from django.utils import timezone

from access import actions
from access.models import Role, RoleAssignment, ServiceToken, User
from access.permissions import Permission, verdict
from access.principal import Principal
from audit.events import Action
from foundation.refusals import Conflict, Forbidden, Invalid, Unauthenticated
from tests.access.ledger import disclosed, entries, outcomes, public_bytes
from tests.conftest import PASSWORD, as_

pytestmark = pytest.mark.django_db


def role(name: str) -> Role:
    return Role.objects.get(name=name)


def create(username: str = "newcomer", *, by: User, password: str = PASSWORD, email: str = "n@example.org") -> User:
    return actions.create_person(username, display_name="New Comer", email=email, password=password, by=as_(by))


# --- people


def test_an_administrator_creates_a_person_who_may_do_nothing_yet(erin: User) -> None:
    person = create(by=erin)

    assert person.is_person
    assert person.check_password(PASSWORD)
    assert (person.is_staff, person.is_superuser) == (False, False)
    assert not any(verdict(as_(person), permission).allowed for permission in Permission)


def test_a_new_persons_name_is_in_the_ledger_only_where_it_can_be_erased(erin: User) -> None:
    create("grace.hopper", by=erin, email="grace@example.org")

    assert b"grace" not in public_bytes()
    assert "grace.hopper" in disclosed()["username"]


def test_a_refused_creation_leaves_no_name_in_the_ledger_either(bob: User) -> None:
    with pytest.raises(Forbidden):
        create("grace.hopper", by=bob)

    assert outcomes(Action.PERSON_CREATE)[-1] == ("denied", "forbidden")
    assert b"grace" not in public_bytes()


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"password": "short"}, "password"),
        ({"password": "password1234"}, "password"),
        ({"password": "9876543210123"}, "password"),
        ({"password": "newcomer1!"}, "password"),
        ({"username": "two words"}, "username"),
        ({"username": ""}, "username"),
        ({"username": "ERIN"}, "username"),
        ({"email": "nowhere"}, "email"),
    ],
)
def test_a_person_is_created_with_valid_fields_or_told_which_to_correct(
    fields: dict[str, str], wrong: str, erin: User
) -> None:
    with pytest.raises(Invalid) as refused:
        create(**{"by": erin, **fields})  # type: ignore[arg-type]  # one of the fields above

    assert wrong in refused.value.errors
    assert not User.objects.filter(username="newcomer").exists()


@pytest.mark.parametrize("name", ["alice", "bob", "dave", "rita", "root", "scorer"])
def test_only_administrators_change_people(name: str, request: pytest.FixtureRequest, carol: User) -> None:
    by = as_(request.getfixturevalue(name))
    group = Group.objects.get(name="Model validation")
    attempts: list[Callable[[], object]] = [
        lambda: actions.create_person("x", display_name="X", email="x@example.org", password=PASSWORD, by=by),
        lambda: actions.create_service_account("x", owner=carol, description="", by=by),
        lambda: actions.deactivate(carol, by=by),
        lambda: actions.assign_role(role("Viewer"), to=carol, by=by),
        lambda: actions.withdraw_role(role("Reviewer"), to=carol, by=by),
        lambda: actions.add_to_group(group, carol, by=by),
        lambda: actions.remove_from_group(group, carol, by=by),
    ]

    for attempt in attempts:
        with pytest.raises(Forbidden):
            attempt()


def test_nobody_changes_anything_without_signing_in(carol: User) -> None:
    with pytest.raises(Unauthenticated):
        actions.deactivate(carol, by=Principal.anonymous())


# --- raising one's own powers


def test_an_administrator_cannot_assign_a_role_to_themselves(erin: User) -> None:
    with pytest.raises(Conflict, match="Nobody gives the role Release manager to themselves"):
        actions.assign_role(role("Release manager"), to=erin, by=as_(erin))

    assert not verdict(as_(erin), Permission.PROMOTE_VERSION).allowed
    assert outcomes(Action.ROLE_ASSIGN)[-1] == ("denied", "own-powers")


def test_an_administrator_cannot_assign_a_role_to_a_group_they_are_in(erin: User) -> None:
    circle = Group.objects.create(name="circle")
    erin.groups.add(circle)

    with pytest.raises(Conflict, match="themselves"):
        actions.assign_role(role("Release manager"), to=circle, by=as_(erin))


def test_an_administrator_cannot_join_a_group(erin: User) -> None:
    with pytest.raises(Conflict, match="themselves"):
        actions.add_to_group(Group.objects.get(name="Risk officers"), erin, by=as_(erin))


def test_a_service_account_cannot_be_given_what_its_owner_should_not_have(erin: User, scorer: User) -> None:
    for name in ("Release manager", "Risk officer", "Administrator", "Policy author"):
        with pytest.raises(Conflict, match="only people"):
            actions.assign_role(role(name), to=scorer, by=as_(erin))


def test_a_service_account_cannot_join_a_group(erin: User, scorer: User) -> None:
    with pytest.raises(Conflict, match="active people"):
        actions.add_to_group(Group.objects.get(name="Model validation"), scorer, by=as_(erin))


# --- roles and groups


def test_roles_come_and_go_at_once_and_on_record(erin: User, dave: User) -> None:
    actions.assign_role(role("Release manager"), to=dave, by=as_(erin))
    assert verdict(as_(dave), Permission.PROMOTE_VERSION).allowed

    actions.withdraw_role(role("Release manager"), to=dave, by=as_(erin))

    assert not verdict(as_(dave), Permission.PROMOTE_VERSION).allowed
    assigned, withdrawn = entries(Action.ROLE_ASSIGN)[-1], entries(Action.ROLE_WITHDRAW)[-1]
    assert assigned["obj"]["name"] == withdrawn["obj"]["name"] == "Release manager"
    gone = {"holder": f"person:{dave.uuid}"}
    assert withdrawn["d"]["before"] == gone
    assert assigned["d"]["after"] == gone | {"permissions": sorted(role("Release manager").permissions)}
    assert assigned["actor"]["id"] == str(erin.uuid)


def test_a_role_is_held_once(erin: User, dave: User) -> None:
    with pytest.raises(Conflict, match="already holds"):
        actions.assign_role(role("Auditor"), to=dave, by=as_(erin))
    with pytest.raises(IntegrityError), transaction.atomic():
        RoleAssignment.objects.create(role=role("Auditor"), user=dave)


def test_withdrawing_a_role_that_is_not_held_says_so(erin: User, carol: User) -> None:
    with pytest.raises(Conflict, match="a group may give it"):
        actions.withdraw_role(role("Risk officer"), to=carol, by=as_(erin))


def test_groups_come_and_go_on_record(erin: User, dave: User) -> None:
    group = Group.objects.get(name="Legal and compliance")

    actions.add_to_group(group, dave, by=as_(erin))
    with pytest.raises(Conflict, match="already in"):
        actions.add_to_group(group, dave, by=as_(erin))
    actions.remove_from_group(group, dave, by=as_(erin))

    assert not dave.groups.exists()
    assert [entry["obj"]["name"] for entry in entries(Action.GROUP_REMOVE)] == ["Legal and compliance"]
    with pytest.raises(Conflict, match="is not in"):
        actions.remove_from_group(group, dave, by=as_(erin))


def test_a_deactivated_person_is_given_nothing(erin: User, dave: User) -> None:
    actions.deactivate(dave, by=as_(erin))

    with pytest.raises(Conflict, match="deactivated"):
        actions.assign_role(role("Viewer"), to=dave, by=as_(erin))
    with pytest.raises(Conflict, match="active people"):
        actions.add_to_group(Group.objects.get(name="Risk officers"), dave, by=as_(erin))


# --- the last administrator


def test_the_last_administrator_stays(erin: User) -> None:
    operator = Principal.system("operator")

    with pytest.raises(Conflict, match="nobody who can manage people"):
        actions.deactivate(erin, by=operator)
    with pytest.raises(Conflict, match="nobody who can manage people"):
        actions.withdraw_role(role("Administrator"), to=erin, by=operator)

    assert verdict(as_(erin), Permission.MANAGE_PEOPLE).allowed


def test_the_last_administrator_stays_in_the_group_that_makes_them_one(erin: User, dave: User) -> None:
    operator, board = Principal.system("operator"), Group.objects.create(name="board")
    actions.assign_role(role("Administrator"), to=board, by=operator)
    actions.add_to_group(board, dave, by=operator)
    actions.deactivate(erin, by=as_(dave))

    with pytest.raises(Conflict, match="nobody who can manage people"):
        actions.remove_from_group(board, dave, by=operator)


def test_one_of_two_administrators_may_go(erin: User, dave: User) -> None:
    actions.assign_role(role("Administrator"), to=dave, by=as_(erin))

    actions.deactivate(erin, by=as_(dave))

    assert not User.objects.get(pk=erin.pk).is_active


def test_nobody_deactivates_themselves(erin: User, dave: User) -> None:
    actions.assign_role(role("Administrator"), to=dave, by=as_(erin))

    with pytest.raises(Conflict, match="themselves"):
        actions.deactivate(erin, by=as_(erin))


# --- deactivation


def test_deactivating_an_owner_ends_the_tokens_they_answer_for(erin: User, dave: User, scorer: User) -> None:
    actions.assign_role(role("Administrator"), to=dave, by=as_(erin))
    issued = actions.issue_token(
        scorer, name="batch", scopes=[Permission.PULL_VERSION], models=[], days=30, by=as_(erin)
    )

    actions.deactivate(erin, by=as_(dave))

    token = ServiceToken.objects.get(pk=issued.token.pk)
    assert token.state(timezone.now()) == "revoked"
    assert token.revoked_by == dave
    assert entries(Action.PERSON_DEACTIVATE)[-1]["d"]["after"]["revoked_tokens"] == [token.prefix]


def test_reactivation_gives_back_roles_and_not_tokens(erin: User, scorer: User) -> None:
    issued = actions.issue_token(
        scorer, name="batch", scopes=[Permission.PULL_VERSION], models=[], days=30, by=as_(erin)
    )
    actions.deactivate(scorer, by=as_(erin))
    with pytest.raises(Conflict, match="already deactivated"):
        actions.deactivate(scorer, by=as_(erin))

    actions.reactivate(scorer, by=as_(erin))

    assert verdict(as_(scorer), Permission.PULL_VERSION).allowed
    assert ServiceToken.objects.get(pk=issued.token.pk).revoked_at is not None
    with pytest.raises(Conflict, match="already active"):
        actions.reactivate(scorer, by=as_(erin))


def test_a_service_account_waits_for_its_owner(erin: User, dave: User, scorer: User) -> None:
    actions.assign_role(role("Administrator"), to=dave, by=as_(erin))
    actions.deactivate(scorer, by=as_(dave))
    actions.deactivate(erin, by=as_(dave))

    with pytest.raises(Conflict, match="reactivate the owner first"):
        actions.reactivate(scorer, by=as_(dave))


# --- service accounts


def test_a_service_account_has_a_person_who_answers_for_it(erin: User, scorer: User, dave: User) -> None:
    with pytest.raises(Conflict, match="cannot own"):
        actions.create_service_account("second", owner=scorer, description="", by=as_(erin))
    actions.deactivate(dave, by=as_(erin))
    with pytest.raises(Conflict, match="cannot own"):
        actions.create_service_account("second", owner=dave, description="", by=as_(erin))
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create(username="second", kind=User.Kind.SERVICE)


def test_a_service_account_has_no_password(scorer: User) -> None:
    assert not scorer.has_usable_password()
