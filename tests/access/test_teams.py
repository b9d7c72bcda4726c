"""Teams: a role on one team's models counts there and nowhere else, in single answers, lists and the other way round alike."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.db.utils import IntegrityError
from django.test.utils import CaptureQueriesContext

from access import actions
from access.models import Role, RoleAssignment, User
from access.permissions import Permission, people_with, permissions_of, permit, snapshot, verdict, visible_to
from audit.events import Action
from foundation.refusals import Conflict, Forbidden
from registry.models import RegisteredModel
from registry.teams import change_team
from tests.access.ledger import entries
from tests.conftest import as_

pytestmark = pytest.mark.django_db

ON_MODELS = [permission for permission in Permission if permission.on_models]


@pytest.fixture
def retail(db: None) -> Group:
    return Group.objects.create(name="Retail")


@pytest.fixture
def theirs(model: RegisteredModel, retail: Group) -> RegisteredModel:
    """A model of the team."""
    RegisteredModel.objects.filter(pk=model.pk).update(team=retail)
    model.refresh_from_db()
    return model


@pytest.fixture
def elsewhere(rita: User) -> RegisteredModel:
    """A model of no team."""
    return RegisteredModel.objects.create(name="fraud", owner=rita, created_by=rita)


@pytest.fixture
def nobody(erin: User) -> User:
    """Somebody without any role yet."""
    return actions.create_person(
        "nina", display_name="Nina", email="nina@example.org", password="correct horse battery", by=as_(erin)
    )


@pytest.fixture
def releases(retail: Group, nobody: User, erin: User) -> RoleAssignment:
    """Nina releases the models of Retail."""
    return actions.assign_role(Role.objects.get(name="Release manager"), to=nobody, team=retail, by=as_(erin))


def test_a_role_on_a_team_permits_on_its_models_alone(
    releases: RoleAssignment, nobody: User, theirs: RegisteredModel, elsewhere: RegisteredModel
) -> None:
    answer = verdict(as_(nobody), Permission.PROMOTE_VERSION, theirs)

    assert answer.allowed
    assert "Release manager" in answer.reason
    assert not verdict(as_(nobody), Permission.PROMOTE_VERSION, elsewhere).allowed
    assert not verdict(as_(nobody), Permission.PROMOTE_VERSION).allowed


def test_a_role_on_a_team_gives_nothing_over_everything(releases: RoleAssignment, nobody: User) -> None:
    assert Permission.SEE_AUDIT in releases.role.permissions

    assert not verdict(as_(nobody), Permission.SEE_AUDIT).allowed
    assert permissions_of(nobody) == {}


@pytest.mark.parametrize("through_group", [False, True])
def test_lists_and_holders_agree_with_single_answers(
    through_group: bool,
    nobody: User,
    erin: User,
    retail: Group,
    theirs: RegisteredModel,
    elsewhere: RegisteredModel,
) -> None:
    crew = Group.objects.create(name="Crew")
    actions.add_to_group(crew, nobody, by=as_(erin))
    to = crew if through_group else nobody
    actions.assign_role(Role.objects.get(name="Release manager"), to=to, team=retail, by=as_(erin))

    for by in (as_(nobody), snapshot(as_(nobody))):
        for permission in ON_MODELS:
            asked = {one for one in (theirs, elsewhere) if verdict(by, permission, one).allowed}
            assert set(visible_to(RegisteredModel.objects.all(), by, permission)) == asked, permission
            for one in (theirs, elsewhere):
                assert people_with(permission, one).filter(pk=nobody.pk).exists() == (one in asked), permission
    assert not people_with(Permission.SEE_AUDIT).filter(pk=nobody.pk).exists()


def test_a_model_that_leaves_the_team_is_out_of_reach_at_once(
    releases: RoleAssignment, nobody: User, theirs: RegisteredModel
) -> None:
    by = as_(nobody)
    assert visible_to(RegisteredModel.objects.all(), by, Permission.SEE_MODEL).exists()

    RegisteredModel.objects.filter(pk=theirs.pk).update(team=None)
    theirs.refresh_from_db()

    assert not verdict(by, Permission.SEE_MODEL, theirs).allowed
    assert not visible_to(RegisteredModel.objects.all(), by, Permission.SEE_MODEL).exists()


def test_being_in_a_team_gives_nothing_by_itself(
    nobody: User, erin: User, retail: Group, theirs: RegisteredModel
) -> None:
    actions.add_to_group(retail, nobody, by=as_(erin))

    assert not any(verdict(as_(nobody), permission, theirs).allowed for permission in ON_MODELS)


def test_the_same_role_is_held_once_a_team_and_once_over_everything(
    releases: RoleAssignment, nobody: User, erin: User, retail: Group
) -> None:
    role = releases.role
    with pytest.raises(Conflict, match="on the models of Retail"):
        actions.assign_role(role, to=nobody, team=retail, by=as_(erin))

    everywhere = actions.assign_role(role, to=nobody, by=as_(erin))

    assert RoleAssignment.objects.filter(user=nobody).count() == 2
    with pytest.raises(IntegrityError):
        RoleAssignment.objects.create(role=role, user=nobody, team=retail)
    assert everywhere.team is None


def test_withdrawing_a_role_on_a_team_leaves_the_one_over_everything(
    releases: RoleAssignment, nobody: User, erin: User, retail: Group
) -> None:
    actions.assign_role(releases.role, to=nobody, by=as_(erin))

    actions.withdraw_role(releases.role, to=nobody, team=retail, by=as_(erin))

    assert verdict(as_(nobody), Permission.PROMOTE_VERSION).allowed
    assert entries(Action.ROLE_WITHDRAW)[-1]["d"]["before"]["team"] == "Retail"


def test_a_role_that_permits_nothing_on_models_is_not_given_on_a_team(nobody: User, erin: User, retail: Group) -> None:
    role = Role.objects.create(name="Reads the ledger", permissions=["audit.see"])

    with pytest.raises(Conflict, match="permits nothing on models"):
        actions.assign_role(role, to=nobody, team=retail, by=as_(erin))


def test_a_role_on_a_team_takes_no_more_statements(
    releases: RoleAssignment, nobody: User, theirs: RegisteredModel
) -> None:
    with CaptureQueriesContext(connection) as queries:
        verdict(as_(nobody), Permission.PROMOTE_VERSION, theirs)
    assert len(queries) == 1

    with CaptureQueriesContext(connection) as queries:
        list(visible_to(RegisteredModel.objects.all(), as_(nobody), Permission.SEE_MODEL))
    assert len(queries) == 2


# --- moving a model to a team takes both sides


@pytest.fixture
def of_the_team(alice: User, erin: User, retail: Group) -> Group:
    """Alice, who owns the model, is in the team."""
    actions.add_to_group(retail, alice, by=as_(erin))
    return retail


def test_an_owner_moves_a_model_to_a_team_that_they_are_in(
    alice: User, nobody: User, erin: User, model: RegisteredModel, of_the_team: Group
) -> None:
    actions.assign_role(Role.objects.get(name="Service: pull"), to=nobody, team=of_the_team, by=as_(erin))

    change_team(model, of_the_team, by=as_(alice))

    model.refresh_from_db()
    assert verdict(as_(nobody), Permission.PULL_VERSION, model).allowed
    entry = entries(Action.MODEL_CHANGE_TEAM)[-1]
    assert entry["d"] == {"before": {"team": ""}, "after": {"team": "Retail"}}

    change_team(model, None, by=as_(alice))

    model.refresh_from_db()
    assert not verdict(as_(nobody), Permission.PULL_VERSION, model).allowed


def test_an_owner_does_not_move_a_model_to_a_team_of_others(alice: User, model: RegisteredModel, retail: Group) -> None:
    with pytest.raises(Forbidden, match="is not in Retail"):
        change_team(model, retail, by=as_(alice))


def test_whoever_is_only_in_the_team_does_not_take_a_model(
    nobody: User, erin: User, model: RegisteredModel, retail: Group
) -> None:
    actions.add_to_group(retail, nobody, by=as_(erin))

    with pytest.raises(Forbidden):
        change_team(model, retail, by=as_(nobody))


def test_an_owner_does_not_choose_who_releases_by_choosing_a_team(
    alice: User, model: RegisteredModel, of_the_team: Group, releases: RoleAssignment
) -> None:
    with pytest.raises(Forbidden, match=r"people\.manage"):
        change_team(model, of_the_team, by=as_(alice))


def test_nobody_gains_by_moving_a_model(erin: User, dave: User, model: RegisteredModel, retail: Group) -> None:
    actions.assign_role(Role.objects.get(name="Access administrator"), to=dave, by=as_(erin))
    actions.assign_role(Role.objects.get(name="Service: pull"), to=erin, team=retail, by=as_(dave))

    with pytest.raises(Conflict, match="would gain by it"):
        change_team(model, retail, by=as_(erin))
    change_team(model, retail, by=as_(dave))

    model.refresh_from_db()
    assert model.team == retail


def test_only_who_manages_people_gives_a_role_on_a_team(alice: User, nobody: User, retail: Group) -> None:
    with pytest.raises(Forbidden):
        actions.assign_role(Role.objects.get(name="Viewer"), to=nobody, team=retail, by=as_(alice))
    with pytest.raises(Forbidden):
        permit(as_(alice), Permission.MANAGE_PEOPLE)
