"""Nobody gives what they do not hold and were not trusted to give: by a role, a group, a grant, or by writing a role."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group

from access import actions, roles
from access.catalogue import GRANTED_BY_ADMINISTRATORS, OWNER_GIVES
from access.models import Role, RoleAssignment, User
from access.permissions import Permission, grant, may_give, verdict
from foundation.refusals import Conflict, Forbidden
from registry.models import RegisteredModel
from tests.conftest import as_

pytestmark = pytest.mark.django_db


@pytest.fixture
def helpdesk(erin: User) -> User:
    """Manages people, and is trusted to give what viewers have; nothing else."""
    person = actions.create_person(
        "hal", display_name="Hal", email="hal@example.org", password="correct horse battery", by=as_(erin)
    )
    viewer = Role.objects.get(name="Viewer")
    role = roles.create_role(
        "Helpdesk",
        description="Lets people look",
        permissions=[Permission.MANAGE_PEOPLE, Permission.SEE_PEOPLE],
        gives=[Permission(value) for value in viewer.permissions],
        by=as_(erin),
    )
    actions.assign_role(role, to=person, by=as_(erin))
    return person


def test_an_access_administrator_gives_what_they_do_not_hold_and_cannot_use_it(
    erin: User, bob: User, model: RegisteredModel
) -> None:
    assert not verdict(as_(erin), Permission.PROMOTE_VERSION, model).allowed

    actions.assign_role(Role.objects.get(name="Release manager"), to=bob, by=as_(erin))
    grant(model, Permission.PULL_VERSION, to=bob, by=as_(erin))

    assert verdict(as_(bob), Permission.PROMOTE_VERSION, model).allowed
    assert not verdict(as_(erin), Permission.PROMOTE_VERSION, model).allowed


def test_whoever_is_trusted_with_little_gives_little(helpdesk: User, bob: User) -> None:
    actions.assign_role(Role.objects.get(name="Viewer"), to=bob, by=as_(helpdesk))

    with pytest.raises(Forbidden, match="may not give") as refused:
        actions.assign_role(Role.objects.get(name="Release manager"), to=bob, by=as_(helpdesk))
    assert refused.value.code == "not-yours-to-give"
    assert "Administrator" in refused.value.detail


def test_a_role_that_gives_more_than_its_giver_is_not_given(helpdesk: User, bob: User) -> None:
    """Else somebody trusted with little would make an administrator, who then gives everything."""
    with pytest.raises(Forbidden, match="may not give"):
        actions.assign_role(Role.objects.get(name="Access administrator"), to=bob, by=as_(helpdesk))


def test_a_group_gives_what_hangs_on_it(helpdesk: User, bob: User, alice: User, model: RegisteredModel) -> None:
    """Membership is a way to give roles and grants, so it is held to the same."""
    with pytest.raises(Forbidden, match=r"may not give revoke_version over everything"):
        actions.add_to_group(Group.objects.get(name="Risk officers"), bob, by=as_(helpdesk))

    readers = Group.objects.create(name="Readers")
    grant(model, Permission.PULL_VERSION, to=readers, by=as_(alice))
    with pytest.raises(Forbidden, match="pull_version on credit"):
        actions.add_to_group(readers, bob, by=as_(helpdesk))


def test_nobody_writes_into_a_role_what_they_may_not_give(helpdesk: User) -> None:
    with pytest.raises(Forbidden, match="may not give promote_version"):
        roles.create_role("Mine", description="", permissions=[Permission.PROMOTE_VERSION], by=as_(helpdesk))
    with pytest.raises(Forbidden, match="may not give promote_version"):
        roles.create_role(
            "Mine",
            description="",
            permissions=[Permission.MANAGE_PEOPLE],
            gives=[Permission.PROMOTE_VERSION],
            by=as_(helpdesk),
        )


def test_the_owner_gives_what_owners_give_and_nothing_that_releases(
    alice: User, bob: User, model: RegisteredModel
) -> None:
    RoleAssignment.objects.filter(user=alice).delete()
    for permission in Permission:
        if not permission.on_models:
            continue
        assert may_give(as_(alice), permission, model) == (permission in OWNER_GIVES), permission
    assert not GRANTED_BY_ADMINISTRATORS & OWNER_GIVES

    grant(model, Permission.SCORE_MODEL, to=bob, by=as_(alice))


def test_whoever_manages_access_to_a_model_gives_only_what_they_hold_there(
    alice: User, bob: User, carol: User, erin: User, model: RegisteredModel
) -> None:
    grant(model, Permission.MANAGE_ACCESS, to=bob, by=as_(erin))
    grant(model, Permission.SEE_MODEL, to=carol, by=as_(bob))
    with pytest.raises(Forbidden, match="may not give pull_version on credit"):
        grant(model, Permission.PULL_VERSION, to=carol, by=as_(bob))

    grant(model, Permission.PULL_VERSION, to=bob, by=as_(alice))
    grant(model, Permission.PULL_VERSION, to=carol, by=as_(bob))

    assert verdict(as_(carol), Permission.PULL_VERSION, model).allowed


def test_what_is_held_on_a_team_is_given_on_that_team_only(
    erin: User, bob: User, carol: User, model: RegisteredModel
) -> None:
    retail, other = Group.objects.create(name="Retail"), Group.objects.create(name="Other")
    lead = roles.create_role(
        "Team lead",
        description="Shares the team's models",
        permissions=[Permission.SEE_MODEL, Permission.MANAGE_ACCESS],
        gives=[Permission.PULL_VERSION],
        by=as_(erin),
    )
    actions.assign_role(lead, to=bob, team=retail, by=as_(erin))

    assert may_give(as_(bob), Permission.PULL_VERSION, retail)
    assert not may_give(as_(bob), Permission.PULL_VERSION, other)
    assert not may_give(as_(bob), Permission.PULL_VERSION)
    with pytest.raises(Forbidden):
        grant(model, Permission.PULL_VERSION, to=carol, by=as_(bob))

    RegisteredModel.objects.filter(pk=model.pk).update(team=retail)
    model.refresh_from_db()
    grant(model, Permission.PULL_VERSION, to=carol, by=as_(bob))


def test_being_trusted_to_give_ends_with_the_account(helpdesk: User, erin: User) -> None:
    actions.deactivate(helpdesk, by=as_(erin))

    assert not may_give(as_(helpdesk), Permission.SEE_MODEL)


@pytest.mark.parametrize("permission", Permission)
def test_every_permission_can_be_given_by_the_built_in_administrators(permission: Permission) -> None:
    """A permission that a migration adds is added to what administrators give, or nobody could ever have it."""
    for name in ("Administrator", "Access administrator"):
        role = Role.objects.get(name=name)
        assert permission in {*role.gives, *role.permissions}, name


def test_an_administrator_does_not_give_themselves_what_they_are_trusted_to_give(erin: User, dave: User) -> None:
    with pytest.raises(Conflict, match="themselves"):
        actions.assign_role(Role.objects.get(name="Release manager"), to=erin, by=as_(erin))
