"""The pages of roles and groups: what they show, to whom, and that only actions change anything."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from access import actions, groups, roles
from access.models import Role, RoleAssignment, User
from access.permissions import Permission
from registry.models import RegisteredModel
from tests.conftest import as_

pytestmark = pytest.mark.django_db
ClientFor = Callable[[User], Client]


@pytest.fixture
def puller(erin: User) -> Role:
    return roles.create_role("Puller", description="Fetches", permissions=[Permission.PULL_VERSION], by=as_(erin))


@pytest.fixture
def retail(erin: User) -> Group:
    return groups.create_group("Retail", by=as_(erin))


PATHS = ["/roles/", "/roles/{role}/", "/groups/", "/groups/{group}/"]
FOR_ADMINISTRATORS = [
    "/roles/new/",
    "/roles/{role}/edit/",
    "/roles/{role}/delete/",
    "/groups/new/",
    "/groups/{group}/delete/",
]


@pytest.mark.parametrize("path", [*PATHS, *FOR_ADMINISTRATORS])
def test_who_may_see_people_reads_and_who_manages_them_changes(
    path: str, puller: Role, retail: Group, erin: User, dave: User, root: User, client: Client, client_for: ClientFor
) -> None:
    address = path.format(role=puller.pk, group=retail.pk)

    assert client.get(address).status_code == 302
    assert client_for(root).get(address).status_code == 403
    assert client_for(dave).get(address).status_code == (200 if path in PATHS else 403)
    assert client_for(erin).get(address).status_code == 200


def test_the_table_of_roles_is_narrowed_by_role_or_permission(erin: User, puller: Role, client_for: ClientFor) -> None:
    client = client_for(erin)

    assert [role.name for role in client.get("/roles/", {"q": "puller"}).context["columns"]] == ["Puller"]
    assert [row[0] for row in client.get("/roles/", {"q": "break_glass"}).context["rows"]] == [Permission.BREAK_GLASS]
    assert "Nothing matches" in client.get("/roles/", {"q": "zzz"}).content.decode()


def test_a_role_is_written_changed_and_deleted_on_its_pages(erin: User, client_for: ClientFor) -> None:
    client = client_for(erin)

    sent = {"name": "Reader", "description": "Reads", "permissions": ["see_model"]}
    assert client.post("/roles/new/", sent).status_code == 302
    role = Role.objects.get(name="Reader")
    assert client.post(f"/roles/{role.pk}/edit/", {"permissions": ["see_model", "pull_version"]}).status_code == 302
    role.refresh_from_db()
    assert role.permissions == ["see_model", "pull_version"]
    assert client.post(f"/roles/{role.pk}/delete/").status_code == 302
    assert not Role.objects.filter(name="Reader").exists()


def test_a_role_that_says_nothing_is_asked_for_again(erin: User, client_for: ClientFor) -> None:
    answer = client_for(erin).post("/roles/new/", {"name": "Empty"})

    assert answer.status_code == 400
    assert "Choose at least one permission" in answer.content.decode()


def test_a_group_is_created_on_its_page(erin: User, client_for: ClientFor) -> None:
    client = client_for(erin)

    assert client.post("/groups/new/", {"name": "Shops"}).status_code == 302
    assert client.post("/groups/new/", {"name": "Shops"}).status_code == 400
    assert Group.objects.filter(name="Shops").count() == 1


def test_members_and_roles_of_a_group_change_on_its_page(
    erin: User, bob: User, retail: Group, puller: Role, client_for: ClientFor
) -> None:
    client, page = client_for(erin), f"/groups/{retail.pk}/"

    client.post(page + "members/", {"person": bob.uuid, "change": "add"})
    assert retail.user_set.get() == bob
    client.post(page + "roles/", {"role": puller.pk, "team": retail.pk, "change": "assign"})
    held = RoleAssignment.objects.get(group=retail)
    assert held.team == retail
    shown = client.get(page).content.decode()
    assert "on the models of Retail" in shown

    client.post(page + "roles/", {"role": puller.pk, "team": retail.pk, "change": "withdraw"})
    client.post(page + "members/", {"person": bob.uuid, "change": "remove"})
    client.post(page + "rename/", {"name": "Shops"})
    assert client.post(page + "delete/").status_code == 302
    assert not Group.objects.filter(pk=retail.pk).exists()


def test_a_role_on_a_team_is_given_on_a_persons_page(
    erin: User, bob: User, retail: Group, puller: Role, client_for: ClientFor
) -> None:
    client = client_for(erin)

    client.post(f"/people/{bob.uuid}/roles/", {"role": puller.pk, "team": retail.pk, "change": "assign"})

    assert RoleAssignment.objects.get(user=bob, role=puller).team == retail
    assert "on the models of Retail" in client.get(f"/people/{bob.uuid}/").content.decode()


def test_a_groups_page_names_only_models_that_one_may_see(
    erin: User, dave: User, retail: Group, model: RegisteredModel, client_for: ClientFor
) -> None:
    RegisteredModel.objects.filter(pk=model.pk).update(team=retail)
    assert "/models/credit/" in client_for(dave).get(f"/groups/{retail.pk}/").content.decode()

    Role.objects.filter(name="Auditor").update(permissions=["people.see"])

    assert "/models/credit/" not in client_for(dave).get(f"/groups/{retail.pk}/").content.decode()


def test_two_duties_in_one_hand_are_shown_on_the_pages_of_the_person_and_the_role(
    erin: User, bob: User, client_for: ClientFor
) -> None:
    register = Role.objects.get(name="Service: register")
    actions.assign_role(register, to=bob, by=as_(erin))
    client = client_for(erin)

    for page in (f"/people/{bob.uuid}/", f"/roles/{register.pk}/"):
        assert "Duties that belong to two people" in client.get(page).content.decode(), page


def test_the_list_of_groups_takes_the_same_number_of_statements_however_long(
    erin: User, bob: User, client_for: ClientFor
) -> None:
    client, counts = client_for(erin), []
    client.get("/groups/")
    for upto in (6, 24):
        for number in range(Group.objects.count(), upto):
            actions.add_to_group(groups.create_group(f"Group {number}", by=as_(erin)), bob, by=as_(erin))
        with CaptureQueriesContext(connection) as queries:
            client.get("/groups/")
        counts.append(len(queries))

    assert counts[0] == counts[1]
