"""Who may do what: every source of a permission, every thing that must not be one, and lists that agree with single answers."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test.utils import CaptureQueriesContext

from access import actions
from access.catalogue import GRANTED_BY_ADMINISTRATORS, LABELS, OWNER_MAY, PEOPLE_ONLY
from access.models import Role, RoleAssignment, User
from access.permissions import (
    Permission,
    grant,
    grants_on,
    people_with,
    permissions_of,
    permit,
    verdict,
    visible_to,
    withdraw,
)
from access.principal import Principal
from foundation.refusals import Conflict, Forbidden, Unauthenticated
from registry import actions as registry_actions
from registry.models import ModelVersion, RegisteredModel, RegisteredModelUserPermission
from tests.conftest import as_

pytestmark = pytest.mark.django_db

ON_MODELS = [permission for permission in Permission if permission.on_models]


def token_of(user: User, *scopes: Permission, models: frozenset[str] | None = None) -> Principal:
    return Principal(user, via="token:test", scopes=frozenset(scopes), models=models)


@pytest.fixture
def other_model(rita: User, erin: User) -> RegisteredModel:
    """A model that alice has nothing to do with."""
    return RegisteredModel.objects.create(name="fraud", owner=rita, created_by=rita)


# --- the words


def test_every_permission_has_a_label_and_the_models_declare_those_that_can_be_granted_on_them() -> None:
    declared = {codename for codename, _ in RegisteredModel._meta.permissions}

    assert set(LABELS) == set(Permission)
    assert {permission.value for permission in ON_MODELS} == declared


def test_built_in_roles_give_only_permissions_that_exist() -> None:
    for role in Role.objects.all():
        assert set(role.permissions) <= set(Permission), role.name


def test_no_administrator_role_promotes_and_no_service_role_does_what_only_people_may() -> None:
    administrator = Role.objects.get(name="Administrator")

    assert Permission.PROMOTE_VERSION not in administrator.permissions
    for role in Role.objects.filter(name__startswith="Service: "):
        assert not PEOPLE_ONLY & set(role.permissions), role.name


# --- where a permission comes from


def test_a_role_permits_and_is_named_as_the_reason(rita: User, model: RegisteredModel) -> None:
    answer = verdict(as_(rita), Permission.PROMOTE_VERSION, model)

    assert answer.allowed
    assert "Release manager" in answer.reason


def test_a_role_of_a_group_permits_its_members(carol: User, bob: User, model: RegisteredModel) -> None:
    assert verdict(as_(carol), Permission.REVOKE_VERSION, model).allowed
    assert not verdict(as_(bob), Permission.REVOKE_VERSION, model).allowed


@pytest.mark.parametrize("permission", ON_MODELS)
def test_an_owner_may_what_owners_may_and_no_more(permission: Permission, alice: User, model: RegisteredModel) -> None:
    RoleAssignment.objects.all().delete()

    answer = verdict(as_(alice), permission, model)

    assert answer.allowed == (permission in OWNER_MAY)
    assert ("owns credit" in answer.reason) == answer.allowed


def test_a_grant_on_one_model_permits_there_and_nowhere_else(
    bob: User, erin: User, model: RegisteredModel, other_model: RegisteredModel
) -> None:
    grant(model, Permission.PULL_VERSION, to=bob, by=as_(erin))

    assert verdict(as_(bob), Permission.PULL_VERSION, model).allowed
    assert not verdict(as_(bob), Permission.PULL_VERSION, other_model).allowed
    assert not verdict(as_(bob), Permission.PULL_VERSION).allowed
    assert not verdict(as_(bob), Permission.SCORE_MODEL, model).allowed


def test_a_grant_to_a_group_permits_its_members(carol: User, dave: User, erin: User, model: RegisteredModel) -> None:
    grant(model, Permission.SCORE_MODEL, to=Group.objects.get(name="Risk officers"), by=as_(erin))

    assert verdict(as_(carol), Permission.SCORE_MODEL, model).allowed
    assert not verdict(as_(dave), Permission.SCORE_MODEL, model).allowed


# --- what gives nothing


@pytest.mark.parametrize("permission", Permission)
def test_a_superuser_is_nobody_special(permission: Permission, root: User, model: RegisteredModel) -> None:
    assert root.is_superuser

    assert not verdict(as_(root), permission, model).allowed
    assert not verdict(as_(root), permission).allowed
    assert not visible_to(RegisteredModel.objects.all(), as_(root), permission).exists()


@pytest.mark.parametrize("permission", [Permission.SEE_MODEL, Permission.CREATE_MODEL])
def test_a_deactivated_person_may_nothing_even_with_an_object_loaded_before(
    permission: Permission, alice: User, erin: User, model: RegisteredModel
) -> None:
    loaded_before = as_(alice)
    actions.deactivate(alice, by=as_(erin))

    assert loaded_before.user is not None
    assert loaded_before.user.is_active
    assert not verdict(loaded_before, permission, model).allowed
    assert not visible_to(RegisteredModel.objects.all(), loaded_before, permission).exists()
    assert not people_with(permission, model).filter(pk=alice.pk).exists()


def test_nobody_signed_in_may_nothing(model: RegisteredModel) -> None:
    by = Principal.anonymous()

    assert not any(verdict(by, permission, model).allowed for permission in Permission)
    with pytest.raises(Unauthenticated):
        permit(by, Permission.SEE_MODEL, model)


def test_an_unknown_value_in_a_role_gives_nothing(bob: User) -> None:
    Role.objects.filter(name="Reviewer").update(permissions=["see_model", "everything.ever"])

    assert set(permissions_of(bob)) == {Permission.SEE_MODEL}


def test_a_service_account_never_does_what_only_people_may(scorer: User, model: RegisteredModel) -> None:
    everything = Role.objects.create(name="Everything", permissions=[permission.value for permission in Permission])
    RoleAssignment.objects.create(role=everything, user=scorer)

    for permission in Permission:
        assert verdict(as_(scorer), permission, model).allowed == (permission not in PEOPLE_ONLY), permission
        assert (permission in permissions_of(scorer)) == (permission not in PEOPLE_ONLY)
    assert not visible_to(RegisteredModel.objects.all(), as_(scorer), Permission.PROMOTE_VERSION).exists()


def test_asking_about_an_object_that_cannot_carry_grants_is_an_error(bob: User) -> None:
    with pytest.raises(TypeError, match="carries no grants"):
        verdict(as_(bob), Permission.SEE_MODEL, bob)


# --- tokens narrow


def test_a_token_cannot_use_more_than_its_scopes(scorer: User, model: RegisteredModel) -> None:
    by = token_of(scorer, Permission.SEE_MODEL)

    assert verdict(by, Permission.SEE_MODEL, model).allowed
    assert not verdict(by, Permission.PULL_VERSION, model).allowed
    assert not visible_to(RegisteredModel.objects.all(), by, Permission.PULL_VERSION).exists()


def test_a_scope_adds_nothing_to_what_the_account_may(scorer: User, model: RegisteredModel) -> None:
    by = token_of(scorer, Permission.PULL_VERSION, Permission.REGISTER_VERSION)

    assert not verdict(by, Permission.REGISTER_VERSION, model).allowed
    assert not visible_to(RegisteredModel.objects.all(), by, Permission.REGISTER_VERSION).exists()


def test_a_token_for_one_model_reaches_no_other(
    scorer: User, model: RegisteredModel, other_model: RegisteredModel
) -> None:
    by = token_of(scorer, Permission.PULL_VERSION, Permission.CREATE_MODEL, models=frozenset({"credit"}))

    assert verdict(by, Permission.PULL_VERSION, model).allowed
    assert not verdict(by, Permission.PULL_VERSION, other_model).allowed
    assert not verdict(by, Permission.PULL_VERSION).allowed
    assert list(visible_to(RegisteredModel.objects.all(), by, Permission.PULL_VERSION)) == [model]


def test_a_token_for_one_model_creates_none(alice: User) -> None:
    by = token_of(alice, Permission.CREATE_MODEL, models=frozenset({"credit"}))

    assert not verdict(by, Permission.CREATE_MODEL).allowed


# --- guardian's pitfalls


def test_a_deactivated_person_with_grants_lists_nothing(bob: User, erin: User, model: RegisteredModel) -> None:
    grant(model, Permission.PULL_VERSION, to=bob, by=as_(erin))
    assert visible_to(RegisteredModel.objects.all(), as_(bob), Permission.PULL_VERSION).exists()

    actions.deactivate(bob, by=as_(erin))

    assert not visible_to(RegisteredModel.objects.all(), as_(bob), Permission.PULL_VERSION).exists()


@pytest.mark.parametrize("name", ["alice", "bob", "carol", "dave", "erin", "rita", "root", "scorer"])
def test_lists_agree_with_single_answers(
    name: str, request: pytest.FixtureRequest, erin: User, model: RegisteredModel, other_model: RegisteredModel
) -> None:
    user: User = request.getfixturevalue(name)
    grant(other_model, Permission.SCORE_MODEL, to=user, by=Principal.system("operator"))
    grant(model, Permission.PULL_VERSION, to=Group.objects.get(name="Risk officers"), by=Principal.system("operator"))
    principals = [as_(user), token_of(user, *Permission, models=frozenset({"fraud"}))]

    for by in principals:
        for permission in ON_MODELS:
            listed = set(visible_to(RegisteredModel.objects.all(), by, permission))
            asked = {one for one in (model, other_model) if verdict(by, permission, one).allowed}
            assert listed == asked, (name, permission)
    for permission in ON_MODELS:
        among = people_with(permission, model).filter(pk=user.pk).exists()
        assert among == (user.is_person and verdict(as_(user), permission, model).allowed), (name, permission)


def test_a_grant_dies_with_its_model_and_a_new_model_with_the_same_key_inherits_nothing(
    bob: User, erin: User, other_model: RegisteredModel
) -> None:
    grant(other_model, Permission.PULL_VERSION, to=bob, by=as_(erin))
    key = other_model.pk
    other_model.delete()

    again = RegisteredModel.objects.create(pk=key, name="fraud", owner=erin, created_by=erin)

    assert not verdict(as_(bob), Permission.PULL_VERSION, again).allowed
    assert not RegisteredModelUserPermission.objects.exists()


def test_a_withdrawn_grant_ends_at_once_for_objects_already_in_hand(
    bob: User, erin: User, model: RegisteredModel
) -> None:
    by = as_(bob)
    grant(model, Permission.PULL_VERSION, to=bob, by=as_(erin))
    assert verdict(by, Permission.PULL_VERSION, model).allowed

    withdraw(model, Permission.PULL_VERSION, to=bob, by=as_(erin))

    assert not verdict(by, Permission.PULL_VERSION, model).allowed


def test_lists_take_the_same_number_of_statements_however_long_they_are(bob: User, erin: User, alice: User) -> None:
    counts = []
    for upto in (1, 50):
        for number in range(RegisteredModel.objects.count(), upto):
            one = RegisteredModel.objects.create(name=f"model {number}", owner=alice, created_by=alice)
            grant(one, Permission.PULL_VERSION, to=bob, by=as_(erin))
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert len(visible_to(RegisteredModel.objects.all(), as_(bob), Permission.PULL_VERSION)) == upto
        counts.append(len(queries))

    assert counts == [2, 2]


def test_a_single_answer_takes_at_most_two_statements(bob: User, model: RegisteredModel) -> None:
    for permission, most in ((Permission.SEE_MODEL, 1), (Permission.PULL_VERSION, 2), (Permission.CREATE_MODEL, 1)):
        with CaptureQueriesContext(connection) as queries:
            verdict(as_(bob), permission, model)
        assert len(queries) == most, permission


def test_rows_of_a_model_are_filtered_through_their_path(
    bob: User, alice: User, erin: User, model: RegisteredModel, other_model: RegisteredModel
) -> None:
    mine = ModelVersion.objects.create(model=model, number=1, created_by=alice)
    ModelVersion.objects.create(model=other_model, number=1, created_by=alice)
    grant(model, Permission.PULL_VERSION, to=bob, by=as_(erin))

    versions = visible_to(ModelVersion.objects.all(), as_(bob), Permission.PULL_VERSION, through="model")

    assert list(versions) == [mine]


# --- refusing


def test_a_refusal_says_what_it_takes_and_who_gives_it(alice: User, erin: User, model: RegisteredModel) -> None:
    with pytest.raises(Forbidden) as refused:
        permit(as_(alice), Permission.PROMOTE_VERSION, model)

    said = refused.value.detail
    assert "promote_version" in said
    assert "Release manager" in said
    assert "Erin Osei" in said
    assert refused.value.as_problem()["permission"] == "promote_version"


def test_a_refused_token_is_told_to_ask_for_the_scope(scorer: User, model: RegisteredModel) -> None:
    with pytest.raises(Forbidden, match=r"does not carry the scope pull_version.*Ask for a token"):
        permit(token_of(scorer, Permission.SEE_MODEL), Permission.PULL_VERSION, model)


# --- granting


def test_an_owner_grants_ordinary_permissions(alice: User, bob: User, model: RegisteredModel) -> None:
    grant(model, Permission.REGISTER_VERSION, to=bob, by=as_(alice))
    grant(model, Permission.REGISTER_VERSION, to=bob, by=as_(alice))

    assert [(one.permission, one.holder) for one in grants_on(model)] == [(Permission.REGISTER_VERSION, bob)]


@pytest.mark.parametrize("permission", sorted(GRANTED_BY_ADMINISTRATORS))
def test_an_owner_cannot_choose_who_releases_the_owners_work(
    permission: Permission, alice: User, bob: User, model: RegisteredModel
) -> None:
    with pytest.raises(Forbidden):
        grant(model, permission, to=bob, by=as_(alice))


@pytest.mark.parametrize("name", ["bob", "dave", "root", "rita"])
def test_others_cannot_grant(name: str, request: pytest.FixtureRequest, carol: User, model: RegisteredModel) -> None:
    with pytest.raises(Forbidden):
        grant(model, Permission.SEE_MODEL, to=carol, by=as_(request.getfixturevalue(name)))


def test_nobody_grants_to_themselves_nor_to_a_group_or_account_of_theirs(
    alice: User, erin: User, scorer: User, model: RegisteredModel
) -> None:
    circle = Group.objects.create(name="circle")
    erin.groups.add(circle)

    for to in (erin, circle, scorer):
        with pytest.raises(Conflict, match="themselves"):
            grant(model, Permission.SCORE_MODEL, to=to, by=as_(erin))
    with pytest.raises(Conflict, match="themselves"):
        grant(model, Permission.PULL_VERSION, to=alice, by=as_(alice))


def test_a_permission_over_everything_is_not_granted_on_a_model(bob: User, erin: User, model: RegisteredModel) -> None:
    with pytest.raises(Conflict, match="comes with a role"):
        grant(model, Permission.MANAGE_PEOPLE, to=bob, by=as_(erin))


def test_a_service_account_is_not_granted_what_only_people_may(scorer: User, model: RegisteredModel) -> None:
    with pytest.raises(Conflict, match="only people"):
        grant(model, Permission.PROMOTE_VERSION, to=scorer, by=Principal.system("operator"))


def test_a_deactivated_person_is_granted_nothing_even_if_loaded_before(
    bob: User, erin: User, model: RegisteredModel
) -> None:
    actions.deactivate(bob, by=as_(erin))

    assert bob.is_active
    with pytest.raises(Conflict, match="deactivated"):
        grant(model, Permission.PULL_VERSION, to=bob, by=as_(erin))


def test_withdrawing_what_was_not_granted_says_so(bob: User, erin: User, model: RegisteredModel) -> None:
    with pytest.raises(Conflict, match="nothing to withdraw"):
        withdraw(model, Permission.SEE_MODEL, to=bob, by=as_(erin))


# --- the installation itself


def test_setup_may_manage_people_only_until_somebody_does(db: None) -> None:
    setup = Principal.system("setup")
    assert verdict(setup, Permission.MANAGE_PEOPLE).allowed
    person = actions.create_person(
        "first", display_name="First", email="first@example.org", password="correct horse battery", by=setup
    )
    actions.assign_role(Role.objects.get(name="Administrator"), to=person, by=setup)

    assert not verdict(setup, Permission.MANAGE_PEOPLE).allowed
    with pytest.raises(Forbidden, match="is set up"):
        actions.deactivate(person, by=setup)


def test_no_part_of_the_installation_sees_promotes_or_signs(model: RegisteredModel) -> None:
    for part in ("setup", "operator", "sweeper"):
        by = Principal.system(part)
        may = {permission for permission in Permission if verdict(by, permission, model).allowed}
        assert may <= {Permission.MANAGE_PEOPLE, Permission.MANAGE_TOKENS}, part
        assert not visible_to(RegisteredModel.objects.all(), by, Permission.SEE_MODEL).exists()


def test_model_creation_needs_its_permission(bob: User) -> None:
    with pytest.raises(Forbidden, match="Data scientist"):
        registry_actions.create_model("x", tier=1, description="", intended_use="", owner=bob, by=as_(bob))
