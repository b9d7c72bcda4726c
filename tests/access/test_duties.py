"""Duties that belong to two people: who holds both is shown, and refused where the installation says so."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group
from pytest_django.fixtures import Settings

from access import actions
from access.duties import Clash, clashes_of, clashes_of_role, clashes_on, signing_groups
from access.models import Role, User
from access.permissions import Permission, grant
from foundation.refusals import Conflict
from registry.models import RegisteredModel
from tests.conftest import as_

pytestmark = pytest.mark.django_db


def test_policies_say_which_groups_sign() -> None:
    assert {"Model validation", "Risk officers"} <= signing_groups()
    assert "Nobody" not in signing_groups()


def test_whoever_owns_a_model_and_signs_is_shown(alice: User, erin: User, model: RegisteredModel) -> None:
    assert clashes_of(alice) == []
    actions.add_to_group(Group.objects.get(name="Model validation"), alice, by=as_(erin))

    (held,) = clashes_of(alice)

    assert held.clash is Clash.SUBMIT_AND_SIGN
    assert held.through == ("owner of credit",)
    assert held.groups == ("Model validation",)
    assert [(one.person, one.clash) for one in clashes_on(model)] == [(alice, Clash.SUBMIT_AND_SIGN)]


def test_whoever_manages_people_and_signs_is_shown_with_their_role(erin: User, dave: User) -> None:
    role = Role.objects.get(name="Administrator")
    actions.assign_role(role, to=dave, by=as_(erin))
    actions.add_to_group(Group.objects.get(name="Risk officers"), erin, by=as_(dave))

    assert [held.clash for held in clashes_of(erin)] == [Clash.MANAGE_AND_SIGN]
    assert [held.person for held in clashes_of_role(role)] == [erin]
    assert clashes_of_role(Role.objects.get(name="Viewer")) == []


def test_a_role_on_a_team_and_a_grant_count_too(bob: User, carol: User, erin: User, model: RegisteredModel) -> None:
    retail = Group.objects.create(name="Retail")
    actions.assign_role(Role.objects.get(name="Service: register"), to=bob, team=retail, by=as_(erin))
    grant(model, Permission.REQUEST_REVIEW, to=carol, by=as_(erin))

    assert clashes_of(bob)[0].through == ("the role Service: register on the models of Retail",)
    assert clashes_of(carol)[0].through == ("a grant on credit",)


@pytest.mark.parametrize("through", ["group", "role", "grant"])
def test_it_is_refused_where_the_installation_keeps_them_apart(
    through: str, alice: User, bob: User, erin: User, model: RegisteredModel, settings: Settings
) -> None:
    settings.ACCESS_FORBIDDEN_DUTIES = ["submit-and-sign"]

    validation, register = Group.objects.get(name="Model validation"), Role.objects.get(name="Service: register")
    deeds: dict[str, Callable[[], object]] = {
        "group": lambda: actions.add_to_group(validation, alice, by=as_(erin)),
        "role": lambda: actions.assign_role(register, to=bob, by=as_(erin)),
        "grant": lambda: grant(model, Permission.REGISTER_VERSION, to=bob, by=as_(alice)),
    }

    with pytest.raises(Conflict, match="kept apart"):
        deeds[through]()
    assert clashes_of(alice) == clashes_of(bob) == []


def test_what_was_held_before_does_not_stop_something_else(
    alice: User, erin: User, model: RegisteredModel, settings: Settings
) -> None:
    actions.add_to_group(Group.objects.get(name="Model validation"), alice, by=as_(erin))
    settings.ACCESS_FORBIDDEN_DUTIES = ["submit-and-sign"]

    actions.assign_role(Role.objects.get(name="Viewer"), to=alice, by=as_(erin))

    assert len(clashes_of(alice)) == 1
