"""Every address × who may and who may not: what is read or refused is one entry in the ledger, and nothing is there twice."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import orjson
import pytest
from django.conf import settings
from django.contrib.auth.models import Group
from django.db import OperationalError
from django.http.response import HttpResponseBase
from django.test import Client

from access import actions as access
from access.models import Role, User
from access.principal import Principal
from audit.events import Action
from audit.models import Pending
from config.reads import NOT_READS, READS, REFUSED_AS, beginning_of, read_at
from tests.flows.deeds import BY_THE_ACTION_ALONE, CHANGES_NOTHING, DEEDS
from tests.flows.routes import address, templates
from tests.flows.test_routes import METHODS, newcomer, send, text_of, world
from tests.reviews.conftest import candidate, make_candidate

__all__ = ["candidate", "make_candidate", "world"]

pytestmark = pytest.mark.django_db

OTHER_ROOMS: Final = ("accounts/", "theme/")
"""allauth's pages and the colours of the pages: tests/access holds logins, logouts, passwords and second factors to their entries."""

TWICE: Final = {
    "api/v1/models/<str:name>/versions/<int:number>/download": [("version.pull", "ok"), ("version.pull", "ok")],
    "api/v1/models/<str:name>/versions/<int:number>/files/<path:path>": [
        ("version.pull", "ok"),
        ("version.pull", "ok"),
    ],
}
"""A pull is on record when it begins and when it ends."""

RECORDED_BY_THE_VIEW: Final = {
    "audit/bundle.tar": Action.LEDGER_EXPORT,
    "audit/export.<str:suffix>": Action.LEDGER_EXPORT,
    "models/<str:name>/v/<int:number>/certificate.pdf": Action.CERTIFICATE_ISSUE,
    "models/<str:name>/v/<int:number>/evidence/<int:pk>/chart.svg": Action.EVIDENCE_EXPORT,
    "models/<str:name>/v/<int:number>/evidence/<int:pk>/table.csv": Action.EVIDENCE_EXPORT,
    "models/<str:name>/v/<int:number>/files/<path:path>": Action.VERSION_DOWNLOAD,
    "models/<str:name>/v/<int:number>/review-pack.pdf": Action.REVIEW_PACK_ISSUE,
    "models/<str:name>/v/<int:number>/sections/<slug:section>/chart.svg": Action.EVIDENCE_EXPORT,
    "models/<str:name>/v/<int:number>/sections/<slug:section>/table.csv": Action.EVIDENCE_EXPORT,
}
"""Where the view says more than the address does, and so writes the entry itself."""

ELSEWHERE: Final = {
    "admin/",
    "api/v1/audit/",
    "api/v1/audit/entries/<int:seq>/",
    "api/v1/receipts/",
    "models/<str:name>/v/<int:number>/certificate",
    "policies/<slug:name>/v/<int:number>/rehearsal.csv",
    "service-accounts/<uuid:uuid>/",
}
"""What is not there in this world, in which nothing is signed, or not for this person. The admin, certificates and service accounts
are read in a test of their own, the ledger's API in tests/audit."""

ROUTES: Final = sorted(template for template in templates() if not template.startswith(OTHER_ROOMS))


@pytest.fixture
def everybody(db: None) -> User:
    """Somebody with every role and in every group."""
    person, operator = newcomer(), Principal.system("operator")
    for role in Role.objects.exclude(name__startswith="Service"):
        access.assign_role(role, to=person, by=operator)
    for group in Group.objects.all():
        access.add_to_group(group, person, by=operator)
    return person


def written_by(ask: Callable[[], HttpResponseBase]) -> tuple[HttpResponseBase, list[dict[str, Any]]]:
    """What was answered, to the last byte, and the entries that were written for it."""
    before = set(Pending.objects.values_list("pk", flat=True))
    response = ask()
    text_of(response)
    rows = Pending.objects.exclude(pk__in=before).order_by("pk")
    return response, [orjson.loads(bytes(row.payload)) for row in rows]


def brief(entries: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(entry["action"], entry["outcome"]) for entry in entries]


def test_every_address_says_whether_opening_it_is_on_record() -> None:
    beginnings = {template: beginning_of(template) for template in templates()}

    assert [template for template, beginning in beginnings.items() if beginning is None] == []
    assert {*READS, *NOT_READS} - set(beginnings.values()) == set()
    assert READS.keys() & NOT_READS.keys() == set()


def test_what_is_read_is_on_record_once(
    world: Mapping[str, object], everybody: User, client_for: Callable[[User], Client]
) -> None:
    client, shown = client_for(everybody), set()

    for route in ROUTES:
        path, read = address(route, world), read_at(route)
        response, entries = written_by(partial(client.get, path))

        said = f"{route} as {path}: {response.status_code} {brief(entries)}"
        if response.status_code in {403, 404, 409}:
            assert [outcome for _, outcome in brief(entries)] == ["denied"], said
        elif response.status_code != 200:
            assert entries == [], said
        elif route in TWICE:
            assert brief(entries) == TWICE[route], said
        elif read is None:
            assert entries == [], said
        else:
            assert brief(entries) == [(RECORDED_BY_THE_VIEW.get(route, read.action), "ok")], said
            assert entries[0]["actor"]["id"] == str(everybody.uuid)
            shown.add(beginning_of(route))
    assert READS.keys() - shown == ELSEWHERE


def test_a_certificate_an_account_and_the_admin_are_on_record_when_they_are_read(
    world: Mapping[str, object], everybody: User, scorer: User, root: User, client_for: Callable[[User], Client]
) -> None:
    asked = [
        (everybody, "/models/credit/v/1/certificate/", "certificate.view"),
        (everybody, f"/service-accounts/{scorer.uuid}/", "person.view"),
        (root, "/admin/registry/registeredmodel/", "admin.view"),
    ]

    for who, path, action in asked:
        client = client_for(who)
        response, entries = written_by(partial(client.get, path))

        assert response.status_code == 200, path
        assert brief(entries) == [(action, "ok")]


def test_every_address_that_changes_something_has_a_test_that_does_so(
    world: Mapping[str, object], client_for: Callable[[User], Client]
) -> None:
    """The fixture `_every_action_is_on_record_once` holds each of those tests to a request that is accepted and on record."""
    client, changing = client_for(newcomer()), set()

    for route in ROUTES:
        if route.startswith("admin/"):
            continue  # it changes nothing: tests/access/test_admin.py
        for method in METHODS[1:]:
            if send(client, method, address(route, world)).status_code != 405:
                changing.add(f"{method.upper()} {route}")

    named = [*DEEDS, *CHANGES_NOTHING, *BY_THE_ACTION_ALONE]
    assert changing == set(named)
    assert len(named) == len(set(named))


@pytest.mark.parametrize("test", sorted(set(DEEDS.values())))
def test_the_tests_that_change_something_are_there(test: str) -> None:
    path, name = test.partition("::")[0], test.rpartition("::")[2]

    assert f"def {name}(" in (settings.BASE_DIR / path).read_text()


def test_what_is_refused_is_on_record_once(world: Mapping[str, object], client_for: Callable[[User], Client]) -> None:
    client = client_for(newcomer())

    for route in ROUTES:
        path = address(route, world)
        for method in METHODS:
            response, entries = written_by(partial(send, client, method, path))

            said = f"{method} {route} as {path}: {response.status_code} {brief(entries)}"
            if response.status_code in {403, 404, 409}:
                assert [outcome for _, outcome in brief(entries)] == ["denied"], said
            elif response.status_code >= 400:
                assert len(entries) <= 1, said


def test_nobody_fills_the_ledger_without_signing_in(world: Mapping[str, object], client: Client) -> None:
    for route in ROUTES:
        path = address(route, world)
        for method in ("get", "post"):
            _, entries = written_by(partial(send, client, method, path))

            assert entries == [], f"{method} {route} as {path}: {brief(entries)}"


def test_a_name_that_was_tried_is_on_record_and_the_answer_does_not_say_so(
    world: Mapping[str, object], client_for: Callable[[User], Client]
) -> None:
    client = client_for(newcomer())

    hidden, of_hidden = written_by(lambda: client.get("/models/credit/v/2/"))
    absent, of_absent = written_by(lambda: client.get("/models/nothing/v/2/"))

    assert hidden.status_code == absent.status_code == 404
    (one,), (other,) = of_hidden, of_absent
    assert (one["action"], one["outcome"], one["why"]) == ("version.view", "denied", "not-found")
    assert (one["obj"]["kind"], one["obj"]["name"], one["obj"]["version"]) == ("version", "credit", "2")
    assert other["obj"]["name"] == "nothing"


def test_a_deed_that_the_page_refuses_before_the_action_is_on_record_as_a_request(
    world: Mapping[str, object], client_for: Callable[[User], Client]
) -> None:
    client = client_for(newcomer())

    _, (entry,) = written_by(lambda: client.post("/models/credit/v/2/promote/"))

    assert (entry["action"], entry["outcome"]) == ("address.request", "denied")
    assert entry["d"]["after"] == {"page": "reviews:promote", "method": "POST"}
    assert REFUSED_AS == {"api/v1/serving/authorize": Action.MODEL_SCORE, "api/v1/watch": Action.VERSION_WATCH}


def test_where_a_reading_cannot_be_recorded_nothing_is_shown(
    world: Mapping[str, object], alice: User, client_for: Callable[[User], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_for(alice)
    client.raise_request_exception = False
    assert b"xyzzy" in client.get("/models/credit/").content

    monkeypatch.setattr("config.recording._append", _busy)
    refused = client.get("/models/credit/")

    assert refused.status_code == 503
    assert b"xyzzy" not in refused.content


def _busy(*args: object, **kwargs: object) -> None:
    cause = sqlite3.OperationalError("database is locked")
    cause.sqlite_errorcode = sqlite3.SQLITE_BUSY
    raise OperationalError("database is locked") from cause
