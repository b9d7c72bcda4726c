"""The API about people and tokens: who gets in, what they see, and what cannot be written."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from access import actions
from access.models import ServiceToken, User
from access.permissions import Permission
from access.tokens import IssuedToken
from tests.conftest import PASSWORD, as_

pytestmark = pytest.mark.django_db
ApiFor = Callable[[User | str], APIClient]


def issue(scorer: User, erin: User) -> IssuedToken:
    return actions.issue_token(
        scorer, name="batch", scopes=[Permission.PULL_VERSION], models=["credit"], days=30, by=as_(erin)
    )


def test_me_says_who_the_token_stands_for_and_what_it_may_do(scorer: User, erin: User, api_for: ApiFor) -> None:
    issued = issue(scorer, erin)

    answer = api_for(issued.secret).get("/api/v1/me/").json()

    assert answer["username"] == "scorer"
    assert answer["kind"] == "service"
    assert answer["via"] == f"token:{issued.token.prefix}"
    assert answer["permissions"] == ["pull_version"]
    assert answer["models"] == ["credit"]


def test_me_says_what_a_person_may_do(carol: User, api_for: ApiFor) -> None:
    answer = api_for(carol).get("/api/v1/me/").json()

    assert answer["via"] == "session"
    assert answer["groups"] == ["Risk officers"]
    assert set(answer["roles"]) <= {"Reviewer", "Risk officer"}
    assert {"see_model", "revoke_version"} <= set(answer["permissions"])


@pytest.mark.parametrize("path", ["me/", "people/", "service-accounts/"])
def test_nobody_gets_in_without_signing_in(path: str, db: None) -> None:
    answer = APIClient().get(f"/api/v1/{path}")

    assert answer.status_code == 401
    assert answer["Content-Type"].startswith("application/problem+json")
    assert "token" in answer.json()["detail"]


def test_a_wrong_token_is_not_made_good_by_a_session(bob: User, api_for: ApiFor) -> None:
    client = api_for(bob)

    assert client.get("/api/v1/me/", HTTP_AUTHORIZATION="Bearer cs_wrong").status_code == 401


def test_a_session_changes_nothing_through_the_api_without_a_csrf_token(erin: User, scorer: User) -> None:
    issued = issue(scorer, erin)
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(erin, backend="django.contrib.auth.backends.ModelBackend")
    path = f"/api/v1/tokens/{issued.token.prefix}/revoke/"

    refused = client.post(path)

    assert refused.status_code == 403
    assert "CSRF" in refused.json()["detail"]
    assert ServiceToken.objects.get(pk=issued.token.pk).revoked_at is None
    client.get("/me/")
    csrf = client.get("/me/").cookies.get("csrftoken") or client.cookies["csrftoken"]
    assert client.post(path, HTTP_X_CSRFTOKEN=csrf.value).status_code == 200


def test_people_are_listed_for_whoever_may_see_them(bob: User, erin: User, scorer: User, api_for: ApiFor) -> None:
    answer = api_for(bob).get("/api/v1/people/").json()

    listed = {person["username"]: person for person in answer["results"]}
    assert {"bob", "erin"} <= set(listed)
    assert "scorer" not in listed
    assert listed["bob"]["groups"] == ["Model validation"]
    assert not {"password", "email", "is_staff", "is_superuser"} & set(listed["bob"])


@pytest.mark.parametrize("path", ["people/", "people/{uuid}/"])
def test_people_are_not_listed_for_others(path: str, root: User, bob: User, api_for: ApiFor) -> None:
    answer = api_for(root).get(f"/api/v1/{path.format(uuid=bob.uuid)}")

    assert answer.status_code == 403
    assert answer.json()["permission"] == "people.see"


def test_a_long_list_of_people_takes_as_many_statements_as_a_short_one(erin: User, api_for: ApiFor) -> None:
    client, counts = api_for(erin), []
    for upto in (2, 20):
        for number in range(User.objects.count(), upto):
            actions.create_person(
                f"person{number}",
                display_name=f"P {number}",
                email=f"p{number}@example.org",
                password=PASSWORD,
                by=as_(erin),
            )
        with CaptureQueriesContext(connection) as queries:
            assert client.get("/api/v1/people/").json()["count"] == upto
        counts.append(len(queries))

    assert counts[0] == counts[1]


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
@pytest.mark.parametrize("path", ["people/", "people/{uuid}/", "me/"])
def test_people_cannot_be_written_through_the_api(
    method: str, path: str, erin: User, bob: User, api_for: ApiFor
) -> None:
    fields = {"is_staff": True, "is_superuser": True, "kind": "service", "owner": erin.pk, "username": "x"}

    answer = getattr(api_for(erin), method)(f"/api/v1/{path.format(uuid=bob.uuid)}", fields, format="json")

    assert answer.status_code == 405
    fresh = User.objects.get(pk=bob.pk)
    assert (fresh.is_staff, fresh.is_superuser, fresh.kind, fresh.owner) == (False, False, "person", None)


def test_a_token_is_issued_once_with_the_fields_that_may_be_set(scorer: User, erin: User, api_for: ApiFor) -> None:
    client, path = api_for(erin), f"/api/v1/service-accounts/{scorer.uuid}/tokens/"
    wanted = {"name": "ci", "scopes": ["pull_version"], "days": 7, "models": ["credit"]}
    forged = {
        "digest": "0" * 64,
        "prefix": "aaaaaaaa",
        "user": erin.pk,
        "created_by": scorer.pk,
        "expires_at": "2099-01-01",
    }

    answer = client.post(path, wanted | forged, format="json")

    assert answer.status_code == 201
    assert answer["Cache-Control"] == "no-store"
    token = ServiceToken.objects.get(prefix=answer.json()["prefix"])
    assert token.user == scorer
    assert token.created_by == erin
    assert token.prefix != "aaaaaaaa"
    assert token.expires_at.year < 2099
    secret = answer.json()["secret"]
    assert api_for(secret).get("/api/v1/me/").status_code == 200
    assert secret not in client.get(path).content.decode()
    assert "secret" not in client.get(path).json()[0]


@pytest.mark.parametrize(
    "changes",
    [{"days": 91}, {"days": 0}, {"scopes": []}, {"scopes": ["promote_version"]}, {"scopes": ["x"]}, {"name": ""}],
)
def test_a_token_is_not_issued_with_wrong_fields(
    changes: dict[str, object], scorer: User, erin: User, api_for: ApiFor
) -> None:
    wanted = {"name": "ci", "scopes": ["pull_version"], "days": 7, "models": []}

    answer = api_for(erin).post(f"/api/v1/service-accounts/{scorer.uuid}/tokens/", wanted | changes, format="json")

    assert answer.status_code == 400
    assert changes.keys() <= answer.json()["errors"].keys()
    assert not ServiceToken.objects.exists()


def test_a_token_cannot_issue_tokens(scorer: User, erin: User, api_for: ApiFor) -> None:
    issued = issue(scorer, erin)

    answer = api_for(issued.secret).post(
        f"/api/v1/service-accounts/{scorer.uuid}/tokens/",
        {"name": "more", "scopes": ["register_version"], "days": 90},
        format="json",
    )

    assert answer.status_code == 404
    assert ServiceToken.objects.count() == 1


def test_whose_account_it_is_not_cannot_tell_whether_it_exists(
    scorer: User, erin: User, alice: User, api_for: ApiFor
) -> None:
    issued = issue(scorer, erin)
    client = api_for(alice)
    other = "00000000-0000-0000-0000-000000000000"

    assert client.get("/api/v1/service-accounts/").json()["results"] == []
    for uuid in (scorer.uuid, other):
        answer = client.get(f"/api/v1/service-accounts/{uuid}/tokens/")
        assert answer.status_code == 404
    existing = client.post(f"/api/v1/tokens/{issued.token.prefix}/revoke/")
    absent = client.post("/api/v1/tokens/aaaaaaaa/revoke/")
    assert existing.status_code == absent.status_code == 404
    assert existing.json()["detail"] == absent.json()["detail"]


def test_the_owner_sees_and_revokes_the_tokens_of_the_account(
    scorer: User, erin: User, dave: User, api_for: ApiFor
) -> None:
    User.objects.filter(pk=scorer.pk).update(owner=dave)
    issued = issue(scorer, erin)
    client = api_for(dave)

    assert [one["name"] for one in client.get("/api/v1/service-accounts/").json()["results"]] == ["scorer"]
    answer = client.post(f"/api/v1/tokens/{issued.token.prefix}/revoke/")

    assert answer.json()["state"] == "revoked"
    refused = client.post(
        f"/api/v1/service-accounts/{scorer.uuid}/tokens/",
        {"name": "x", "scopes": ["pull_version"], "days": 1},
        format="json",
    )
    assert refused.status_code == 403


def test_the_openapi_description_names_the_ways_to_sign_in(erin: User, api_for: ApiFor) -> None:
    schema = api_for(erin).get("/api/schema/?format=json").json()

    assert {"ServiceToken", "ServiceTokenAsPassword", "Session"} <= set(schema["components"]["securitySchemes"])
    assert "/api/v1/tokens/{prefix}/revoke/" in schema["paths"]
