"""Groups: created, renamed and deleted on record; what hangs on one, and what policies name, stays."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group

from access import actions, groups
from access.models import Role, User
from access.permissions import Permission, grant
from audit.events import Action
from foundation.refusals import Conflict, Forbidden, Invalid
from registry.models import RegisteredModel
from tests.access.ledger import entries
from tests.conftest import as_

pytestmark = pytest.mark.django_db


@pytest.fixture
def retail(erin: User) -> Group:
    return groups.create_group("Retail", by=as_(erin))


def test_a_group_is_created_renamed_and_deleted_on_record(retail: Group, erin: User) -> None:
    groups.rename_group(retail, "Retail banking", by=as_(erin))
    groups.delete_group(Group.objects.get(name="Retail banking"), by=as_(erin))

    assert [entry["obj"]["name"] for entry in entries(Action.GROUP_CREATE)] == ["Retail"]
    assert entries(Action.GROUP_RENAME)[-1]["d"] == {"before": {"name": "Retail"}, "after": {"name": "Retail banking"}}
    assert len(entries(Action.GROUP_DELETE)) == 1
    assert not Group.objects.filter(pk=retail.pk).exists()


def test_a_group_that_policies_name_keeps_its_name_and_stays(erin: User) -> None:
    validation = Group.objects.get(name="Model validation")

    with pytest.raises(Conflict, match="A policy asks members"):
        groups.rename_group(validation, "Validators", by=as_(erin))
    with pytest.raises(Conflict, match="A policy asks members"):
        groups.delete_group(validation, by=as_(erin))


@pytest.mark.parametrize("hangs", ["members", "roles", "roles on its models", "grants on models", "models"])
def test_a_group_on_which_something_hangs_is_not_deleted(
    hangs: str, retail: Group, erin: User, bob: User, model: RegisteredModel
) -> None:
    if hangs == "members":
        actions.add_to_group(retail, bob, by=as_(erin))
    elif hangs == "roles":
        actions.assign_role(Role.objects.get(name="Viewer"), to=retail, by=as_(erin))
    elif hangs == "roles on its models":
        actions.assign_role(Role.objects.get(name="Viewer"), to=bob, team=retail, by=as_(erin))
    elif hangs == "grants on models":
        grant(model, Permission.PULL_VERSION, to=retail, by=as_(erin))
    else:
        RegisteredModel.objects.filter(pk=model.pk).update(team=retail)

    with pytest.raises(Conflict, match=f"still has {hangs}"):
        groups.delete_group(retail, by=as_(erin))


def test_two_groups_do_not_share_a_name(retail: Group, erin: User) -> None:
    with pytest.raises(Invalid, match="already"):
        groups.create_group("Retail", by=as_(erin))
    other = groups.create_group("Other", by=as_(erin))
    with pytest.raises(Invalid, match="already"):
        groups.rename_group(other, "Retail", by=as_(erin))
    with pytest.raises(Invalid, match="1 to 80"):
        groups.create_group("  ", by=as_(erin))


@pytest.mark.parametrize("name", ["alice", "dave", "root"])
def test_others_neither_create_nor_change_groups(name: str, retail: Group, request: pytest.FixtureRequest) -> None:
    by = as_(request.getfixturevalue(name))

    for deed in (
        lambda: groups.create_group("X", by=by),
        lambda: groups.rename_group(retail, "X", by=by),
        lambda: groups.delete_group(retail, by=by),
    ):
        with pytest.raises(Forbidden):
            deed()
