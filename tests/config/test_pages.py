"""What belongs to no room: health, theme, search, and the way errors are told."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import pytest
from django.conf import settings
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from pytest_django.fixtures import Settings

from access.models import User
from audit.models import Pending
from config.middleware import RefusalMiddleware
from foundation.refusals import Conflict, Requirement, RequirementStatus

pytestmark = pytest.mark.django_db


def test_alive_says_so_to_anybody() -> None:
    assert Client().get("/healthz").content == b"ok\n"


def test_ready_names_each_part_that_is_not() -> None:
    answer = Client().get("/readyz")

    assert answer.status_code == 200
    assert answer.json() == {"ready": True, "checks": {"database": "ok", "keys": "ok", "ledger": "ok"}}


def test_not_ready_while_ledger_entries_wait_too_long() -> None:
    Pending.objects.create(mac="1:0", payload=b'{"t": 1000000}', private=b"", prompt=False)

    answer = Client().get("/readyz")

    assert answer.status_code == 503
    assert "is the sequencer running?" in answer.json()["checks"]["ledger"]


def test_metrics_are_for_a_scraper_on_this_machine(settings: Settings) -> None:
    settings.AXES_IPWARE_PROXY_COUNT = 1

    near = Client().get("/metrics")
    far = Client().get("/metrics", headers={"X-Forwarded-For": "127.0.0.1, 203.0.113.7"})

    assert near.status_code == 200
    assert b"django_http_requests" in near.content
    assert far.status_code == 404


def test_the_theme_is_kept_and_sends_nobody_to_another_site() -> None:
    answer = Client().post("/theme/", {"theme": "dark", "next": "https://evil.example/"})

    assert answer.headers["Location"] == "/"
    assert answer.cookies["theme"].value == "dark"


def test_an_unknown_theme_means_as_the_system_says() -> None:
    client = Client()
    client.cookies["theme"] = "dark"

    answer = client.post("/theme/", {"theme": "<script>", "next": "/models/"})

    assert answer.headers["Location"] == "/models/"
    assert answer.cookies["theme"].value == ""


def refuse(request: HttpRequest) -> HttpResponse:
    raise AssertionError("never called")


REFUSAL = Conflict(
    "It cannot go live yet.",
    code="requirements-unmet",
    requirements=(Requirement("auc", "AUC", RequirementStatus.UNSATISFIED, measured="0.70", required="0.75"),),
)


def test_a_refusal_under_the_api_is_problem_json() -> None:
    response = RefusalMiddleware(refuse).process_exception(RequestFactory().get("/api/v1/models/x"), REFUSAL)

    assert response is not None
    assert response.status_code == 409
    assert response["Content-Type"] == "application/problem+json"
    assert b'"urn:countersign:refusal:requirements-unmet"' in response.content
    assert b'"measured": "0.70"' in response.content


def test_a_locked_database_is_told_in_a_sentence() -> None:
    cause = sqlite3.OperationalError("database is locked")
    cause.sqlite_errorcode = sqlite3.SQLITE_BUSY
    error = OperationalError("database is locked")
    error.__cause__ = cause

    response = RefusalMiddleware(refuse).process_exception(RequestFactory().get("/api/v1/models/x"), error)

    assert response is not None
    assert response.status_code == 503
    assert b"Nothing was changed" in response.content


def test_an_absent_page_says_what_to_do(bob: User, client_for: Callable[[User], Client]) -> None:
    answer = client_for(bob).get("/models/there-is-no-such-model/")

    assert answer.status_code == 404
    assert "<h1" in answer.content.decode()


def test_the_api_s_documentation_loads_nothing_from_elsewhere(bob: User, client_for: Callable[[User], Client]) -> None:
    page = client_for(bob).get("/api/docs/").content.decode()

    assert "https://" not in page.replace(settings.PORTAL_URL, "")
    assert "cdn" not in page
