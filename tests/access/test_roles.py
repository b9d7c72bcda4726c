"""Roles of one's own: who writes them, what an edit does at once, and what stays as it is."""

from __future__ import annotations

import pytest

from access import actions, roles
from access.models import Role, User
from access.permissions import Permission, verdict
from access.principal import Principal
from audit.events import Action
from foundation.refusals import Conflict, Forbidden, Invalid
from registry.models import RegisteredModel
from tests.access.ledger import entries
from tests.conftest import as_

pytestmark = pytest.mark.django_db

NAMED = {
    "Data scientist",
    "Validator",
    "Risk officer",
    "Business owner",
    "Legal",
    "Auditor",
    "Executive",
    "Access administrator",
    "Policy administrator",
    "Service",
}


@pytest.fixture
def puller(erin: User) -> Role:
    return roles.create_role("Puller", description="Fetches", permissions=[Permission.PULL_VERSION], by=as_(erin))


def test_the_roles_that_companies_have_come_with_the_product() -> None:
    assert set(Role.objects.filter(built_in=True).values_list("name", flat=True)) >= NAMED


@pytest.mark.parametrize("name", ["Access administrator", "Administrator", "Policy administrator", "Executive"])
def test_administration_neither_signs_nor_releases(name: str) -> None:
    role = Role.objects.get(name=name)

    assert not {"promote_version", "revoke_version", "break_glass"} & set(role.permissions)


def test_a_role_of_ones_own_is_on_record_with_what_it_permits(puller: Role) -> None:
    entry = entries(Action.ROLE_CREATE)[-1]

    assert entry["obj"]["name"] == "Puller"
    assert entry["d"]["after"]["permissions"] == ["pull_version"]


def test_an_edit_counts_at_once_for_everybody_who_holds_the_role(
    puller: Role, bob: User, erin: User, model: RegisteredModel
) -> None:
    actions.assign_role(puller, to=bob, by=as_(erin))
    assert verdict(as_(bob), Permission.PULL_VERSION, model).allowed

    roles.update_role(puller, permissions=[Permission.SCORE_MODEL], by=as_(erin))

    assert not verdict(as_(bob), Permission.PULL_VERSION, model).allowed
    assert verdict(as_(bob), Permission.SCORE_MODEL, model).allowed
    changed = entries(Action.ROLE_UPDATE)[-1]["d"]
    assert (changed["before"]["permissions"], changed["after"]["permissions"]) == (["pull_version"], ["score_model"])


def test_nobody_adds_to_a_role_that_they_hold(erin: User, dave: User) -> None:
    role = roles.create_role(
        "Second administrator",
        description="",
        permissions=[Permission.MANAGE_PEOPLE],
        gives=[Permission.PULL_VERSION],
        by=as_(erin),
    )
    actions.assign_role(role, to=dave, by=as_(erin))

    with pytest.raises(Conflict, match="nobody adds to what they hold"):
        roles.update_role(role, permissions=[Permission.MANAGE_PEOPLE, Permission.PULL_VERSION], by=as_(dave))
    roles.update_role(role, gives=[], by=as_(dave))

    role.refresh_from_db()
    assert role.gives == []


def test_a_built_in_role_stays_as_it_is(erin: User) -> None:
    role = Role.objects.get(name="Viewer")

    with pytest.raises(Conflict, match="comes with the product"):
        roles.update_role(role, permissions=[Permission.SEE_MODEL], by=as_(erin))
    with pytest.raises(Conflict, match="comes with the product"):
        roles.delete_role(role, by=as_(erin))


def test_a_role_that_is_held_is_not_deleted(puller: Role, bob: User, erin: User) -> None:
    actions.assign_role(puller, to=bob, by=as_(erin))
    with pytest.raises(Conflict, match="held 1 times"):
        roles.delete_role(puller, by=as_(erin))
    actions.withdraw_role(puller, to=bob, by=as_(erin))

    roles.delete_role(puller, by=as_(erin))

    assert not Role.objects.filter(name="Puller").exists()


def test_a_role_says_what_is_wrong_with_it_beside_the_field(erin: User, puller: Role) -> None:
    for fields, wrong in (
        ({"name": "", "permissions": [Permission.SEE_MODEL]}, "name"),
        ({"name": "Empty", "permissions": []}, "permissions"),
        ({"name": "Puller", "permissions": [Permission.SEE_MODEL]}, "name"),
        ({"name": "Gives", "permissions": [Permission.SEE_MODEL], "gives": [Permission.SEE_MODEL]}, "gives"),
    ):
        with pytest.raises(Invalid) as refused:
            roles.create_role(description="", by=as_(erin), **fields)  # type: ignore[arg-type]  # a row of the table above
        assert wrong in refused.value.errors


@pytest.mark.parametrize("name", ["alice", "bob", "dave", "root"])
def test_others_write_no_roles(name: str, puller: Role, request: pytest.FixtureRequest) -> None:
    by = as_(request.getfixturevalue(name))

    with pytest.raises(Forbidden):
        roles.create_role("X", description="", permissions=[Permission.SEE_MODEL], by=by)
    with pytest.raises(Forbidden):
        roles.update_role(puller, permissions=[Permission.SEE_MODEL], by=by)
    with pytest.raises(Forbidden):
        roles.delete_role(puller, by=by)


def test_the_last_administrator_cannot_be_edited_away(erin: User, dave: User) -> None:
    role = roles.create_role("Mine", description="", permissions=[Permission.MANAGE_PEOPLE], by=as_(erin))
    actions.assign_role(role, to=dave, by=as_(erin))
    actions.withdraw_role(Role.objects.get(name="Administrator"), to=erin, by=as_(dave))

    with pytest.raises(Conflict, match="leave nobody"):
        roles.update_role(role, permissions=[Permission.SEE_PEOPLE], by=Principal.system("operator"))

    assert verdict(as_(dave), Permission.MANAGE_PEOPLE).allowed
