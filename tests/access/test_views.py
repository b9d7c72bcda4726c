"""The portal's pages about access: what they show, to whom, and that only actions change anything."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from access import actions
from access.models import Role, ServiceToken, User
from access.permissions import Permission, verdict
from access.principal import Principal
from foundation.refusals import Unauthenticated
from tests.conftest import PASSWORD, as_

pytestmark = pytest.mark.django_db
ClientFor = Callable[[User], Client]


def text(answer: object) -> str:
    content: bytes = answer.content  # type: ignore[attr-defined]  # a response
    return re.sub(r"\s+", " ", content.decode())


# --- who sees what


PAGES = ["/people/", "/people/new/", "/people/{bob}/", "/people/{bob}/active/", "/roles/", "/service-accounts/new/"]


@pytest.mark.parametrize("path", [*PAGES, "/me/", "/service-accounts/", "/service-accounts/{scorer}/"])
def test_every_page_asks_to_sign_in_first(path: str, bob: User, scorer: User, client: Client) -> None:
    answer = client.get(path.format(bob=bob.uuid, scorer=scorer.uuid))

    assert answer.status_code == 302
    assert answer["Location"].startswith("/accounts/login/?next=/")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_that_one_may_not_see_says_what_it_takes_and_who_gives_it(
    path: str, root: User, bob: User, erin: User, client_for: ClientFor
) -> None:
    answer = client_for(root).get(path.format(bob=bob.uuid))

    assert answer.status_code == 403
    page = text(answer)
    assert "takes the permission" in page
    assert "Erin Osei" in page


@pytest.mark.parametrize(
    "path", [*PAGES, "/me/", "/service-accounts/", "/service-accounts/{scorer}/", "/service-accounts/{scorer}/tokens/"]
)
def test_an_administrator_sees_every_page(
    path: str, erin: User, bob: User, scorer: User, client_for: ClientFor
) -> None:
    answer = client_for(erin).get(path.format(bob=bob.uuid, scorer=scorer.uuid))

    assert answer.status_code == 200
    assert "style=" not in answer.content.decode()
    assert "onclick" not in answer.content.decode()


def test_an_absent_person_is_not_found(erin: User, client_for: ClientFor) -> None:
    assert client_for(erin).get("/people/00000000-0000-0000-0000-000000000000/").status_code == 404


def test_anothers_service_account_looks_absent(alice: User, scorer: User, client_for: ClientFor) -> None:
    client = client_for(alice)

    other, absent = (
        client.get(f"/service-accounts/{uuid}/") for uuid in (scorer.uuid, "00000000-0000-0000-0000-000000000000")
    )

    assert other.status_code == absent.status_code == 404
    assert "You answer for no service account" in text(client.get("/service-accounts/"))


# --- people


def test_people_are_found_by_name_group_role_and_state(
    erin: User, bob: User, carol: User, dave: User, client_for: ClientFor
) -> None:
    actions.deactivate(dave, by=as_(erin))
    client, group = client_for(erin), Group.objects.get(name="Risk officers")
    reviewer, risk = Role.objects.get(name="Reviewer"), Role.objects.get(name="Risk officer")

    def found(**query: str | int) -> set[str]:
        page = client.get("/people/", query)
        return {person.username for person in page.context["page"].object_list}

    assert found() == {"erin", "bob", "carol", "dave"}
    assert found(q="lindq") == {"bob"}
    assert found(group=group.pk) == {"carol"}
    assert found(role=reviewer.pk) == {"bob", "carol"}
    assert found(role=risk.pk) == {"carol"}
    assert found(state="inactive") == {"dave"}
    assert found(q="nobody at all") == set()
    assert "Nobody matches" in text(client.get("/people/", {"q": "nobody at all"}))
    assert client.get("/people/", {"group": "x' OR 1=1", "page": "-7"}).status_code == 200


def test_the_list_of_people_has_pages_and_a_fixed_number_of_statements(erin: User, client_for: ClientFor) -> None:
    client, counts = client_for(erin), []
    for upto in (3, 30):
        for number in range(User.objects.count(), upto):
            person = actions.create_person(
                f"person{number}",
                display_name=f"P {number}",
                email=f"p{number}@example.org",
                password=PASSWORD,
                by=as_(erin),
            )
            actions.assign_role(Role.objects.get(name="Viewer"), to=person, by=as_(erin))
        client.get("/people/")
        with CaptureQueriesContext(connection) as queries:
            page = client.get("/people/")
        counts.append(len(queries))

    assert counts[0] == counts[1]
    assert len(page.context["page"].object_list) == 25
    assert "Page 1 of 2" in text(page)


def test_a_person_is_created_with_the_fields_of_the_form_and_no_other(erin: User, client_for: ClientFor) -> None:
    fields = {"username": "frank", "display_name": "Frank", "email": "frank@example.org", "password": PASSWORD}
    forged = {
        "is_staff": "on",
        "is_superuser": "on",
        "kind": "service",
        "owner": str(erin.pk),
        "groups": "1",
        "is_active": "",
    }

    answer = client_for(erin).post("/people/new/", fields | forged)

    frank = User.objects.get(username="frank")
    assert answer.status_code == 302
    assert (frank.is_staff, frank.is_superuser, frank.kind, frank.owner) == (False, False, "person", None)
    assert not frank.groups.exists()
    assert frank.is_active


def test_a_weak_first_password_is_explained_beside_the_field(erin: User, client_for: ClientFor) -> None:
    fields = {"username": "frank", "display_name": "Frank", "email": "frank@example.org", "password": "1234567890"}

    answer = client_for(erin).post("/people/new/", fields)

    assert answer.status_code == 400
    assert "too common" in str(answer.context["form"].errors["password"])
    assert "1234567890" not in answer.content.decode()


def test_roles_and_groups_change_by_plain_posts(erin: User, dave: User, client_for: ClientFor) -> None:
    client, role = client_for(erin), Role.objects.get(name="Release manager")
    group = Group.objects.get(name="Legal and compliance")

    client.post(f"/people/{dave.uuid}/roles/", {"role": role.pk, "change": "assign"})
    client.post(f"/people/{dave.uuid}/groups/", {"group": group.pk, "change": "add"})
    assert verdict(as_(dave), Permission.PROMOTE_VERSION).allowed
    assert dave.groups.get() == group

    client.post(f"/people/{dave.uuid}/roles/", {"role": role.pk, "change": "withdraw"})
    client.post(f"/people/{dave.uuid}/groups/", {"group": group.pk, "change": "remove"})

    assert not verdict(as_(dave), Permission.PROMOTE_VERSION).allowed
    assert not dave.groups.exists()
    assert client.post(f"/people/{dave.uuid}/roles/", {"role": "0", "change": "assign"}).status_code == 400


def test_ones_own_page_offers_no_way_up_and_a_forged_post_finds_none(erin: User, client_for: ClientFor) -> None:
    client, role = client_for(erin), Role.objects.get(name="Release manager")

    page = text(client.get(f"/people/{erin.uuid}/"))
    answer = client.post(f"/people/{erin.uuid}/roles/", {"role": role.pk, "change": "assign"})

    assert "Nobody changes their own roles" in page
    assert "Assign role" not in page
    assert answer.status_code == 409
    assert not verdict(as_(erin), Permission.PROMOTE_VERSION).allowed


def test_deactivating_asks_first(erin: User, dave: User, client_for: ClientFor) -> None:
    client, path = client_for(erin), f"/people/{dave.uuid}/active/"

    assert "Deactivate Dave Novak?" in text(client.get(path))
    assert User.objects.get(pk=dave.pk).is_active
    client.post(path, {"change": "deactivate"})
    assert not User.objects.get(pk=dave.pk).is_active
    assert "Reactivate Dave Novak?" in text(client.get(path))
    client.post(path, {"change": "reactivate"})

    assert User.objects.get(pk=dave.pk).is_active


@pytest.mark.parametrize("path", ["/people/{bob}/roles/", "/people/{bob}/groups/", "/people/{bob}/active/"])
def test_changes_need_a_csrf_token(path: str, erin: User, bob: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(erin, backend="django.contrib.auth.backends.ModelBackend")

    answer = client.post(path.format(bob=bob.uuid), {"change": "deactivate"})

    assert answer.status_code == 403
    assert User.objects.get(pk=bob.pk).is_active


def test_the_table_of_roles_shows_every_role_and_permission(bob: User, client_for: ClientFor) -> None:
    page = text(client_for(bob).get("/roles/"))

    assert all(permission.value in page for permission in Permission)
    assert all(role.name in page for role in Role.objects.all())
    assert "None lets anybody sign" in page


# --- service accounts


def test_a_service_account_gets_a_role_and_a_token_whose_secret_is_shown_once(
    erin: User, dave: User, client_for: ClientFor
) -> None:
    client = client_for(erin)
    client.post(
        "/service-accounts/new/", {"name": "batch", "owner": dave.pk, "description": "Nightly", "is_staff": "on"}
    )
    account = User.objects.get(username="batch")
    assert (account.kind, account.owner, account.is_staff) == ("service", dave, False)
    role = Role.objects.get(name="Service: pull")
    client.post(f"/service-accounts/{account.uuid}/roles/", {"role": role.pk, "change": "assign"})

    answer = client.post(
        f"/service-accounts/{account.uuid}/tokens/",
        {"name": "host 7", "scopes": ["pull_version"], "models": "credit, fraud", "days": "30"},
    )

    page = answer.content.decode()
    secret = re.search(r"cs_[a-z0-9]{8}_[\w-]{43}", page)
    assert secret is not None
    assert "no-store" in answer["Cache-Control"]
    assert secret.group() not in client.get(f"/service-accounts/{account.uuid}/").content.decode()
    token = ServiceToken.objects.get()
    assert (token.objects_scope, token.scopes) == (["credit", "fraud"], ["pull_version"])


@pytest.mark.parametrize(
    "changes", [{"days": "91"}, {"scopes": ["promote_version"]}, {"scopes": []}, {"name": ""}, {"models": "m" * 200}]
)
def test_a_token_with_wrong_fields_is_explained_beside_them(
    changes: dict[str, object], erin: User, scorer: User, client_for: ClientFor
) -> None:
    fields = {"name": "host 7", "scopes": ["pull_version"], "models": "", "days": "30"} | changes

    answer = client_for(erin).post(f"/service-accounts/{scorer.uuid}/tokens/", fields)

    assert answer.status_code == 400
    assert answer.context["form"].errors.keys() == changes.keys()
    assert not ServiceToken.objects.exists()


def test_revoking_asks_first(erin: User, scorer: User, client_for: ClientFor) -> None:
    issued = actions.issue_token(
        scorer, name="host 7", scopes=[Permission.PULL_VERSION], models=[], days=3, by=as_(erin)
    )
    client, path = client_for(erin), f"/service-accounts/{scorer.uuid}/tokens/{issued.token.prefix}/revoke/"

    assert "Revoke the token host 7?" in text(client.get(path))
    assert ServiceToken.objects.get().revoked_at is None
    client.post(path)

    assert ServiceToken.objects.get().revoked_by == erin
    assert "Revoked" in text(client.get(f"/service-accounts/{scorer.uuid}/"))


def test_a_service_account_is_deactivated_only_when_confirmed(erin: User, scorer: User, client_for: ClientFor) -> None:
    client, path = client_for(erin), f"/service-accounts/{scorer.uuid}/active/"

    assert client.post(path, {"change": "deactivate"}).status_code == 409
    assert User.objects.get(pk=scorer.pk).is_active
    client.post(path, {"change": "deactivate", "confirmed": "yes"})
    assert not User.objects.get(pk=scorer.pk).is_active
    client.post(path, {"change": "reactivate"})

    assert User.objects.get(pk=scorer.pk).is_active


def test_a_taken_account_name_is_explained(erin: User, scorer: User, client_for: ClientFor) -> None:
    answer = client_for(erin).post("/service-accounts/new/", {"name": "Scorer", "owner": erin.pk})

    assert answer.status_code == 400
    assert "is taken" in text(answer)


# --- oneself


def test_your_account_says_who_you_are_and_what_you_may_do(carol: User, erin: User, client_for: ClientFor) -> None:
    page = text(client_for(carol).get("/me/"))

    assert "Signed in as carol" in page
    assert "Risk officers" in page
    assert "revoke an approval" in page
    assert "/accounts/password/change/" in page
    assert "/accounts/2fa/" in page
    assert "Roles are given by Erin Osei" in page


def test_your_account_says_when_you_may_do_nothing(root: User, client_for: ClientFor) -> None:
    assert "You hold no role" in text(client_for(root).get("/me/"))


def test_your_account_shows_what_is_on_record_of_you(erin: User, dave: User, client_for: ClientFor) -> None:
    from audit.models import IndexRow

    IndexRow.objects.create(
        seq=0,
        t=1_700_000_000_000_000,
        action="role.assign",
        actor_kind="person",
        actor_id=str(erin.uuid),
        obj_kind="role",
        obj_id="1",
        outcome="ok",
        writer="w",
        n=0,
    )

    assert "role.assign" in text(client_for(erin).get("/me/"))
    assert "role.assign" not in text(client_for(dave).get("/me/"))


def test_nobodys_accounts_cannot_be_asked_for(db: None) -> None:
    from access import queries

    with pytest.raises(Unauthenticated):
        queries.accounts(Principal.anonymous())
