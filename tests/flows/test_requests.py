"""What a request may carry to do harm: addresses to be sent on to, numbers without end, ids of something else, markup, secrets."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from access.models import User
from registry.models import ModelVersion, RegisteredModel
from reviews.actions import open_thread
from reviews.models import Review
from tests.conftest import PASSWORD, as_
from tests.reviews.conftest import candidate, make_candidate, review, sign

__all__ = ["candidate", "make_candidate", "review"]

pytestmark = pytest.mark.django_db

ELSEWHERE = ["https://evil.example/", "//evil.example/", "/\\evil.example/", "javascript:alert(1)", "http:evil.example"]
ENDLESS = "9" * 5_000


@pytest.mark.parametrize("address", ELSEWHERE)
def test_nobody_is_sent_elsewhere_after_logging_in(address: str, client: Client, alice: User) -> None:
    answer = client.post("/accounts/login/", {"login": "alice", "password": PASSWORD, "next": address})

    assert answer.status_code == 302
    assert answer["Location"] == "/"


@pytest.mark.parametrize("address", ELSEWHERE)
def test_nobody_is_sent_elsewhere_by_the_theme(address: str, client: Client) -> None:
    assert client.post("/theme/", {"theme": "dark", "next": address})["Location"] == "/"


@pytest.mark.parametrize(
    ("method", "address", "fields"),
    [
        ("post", "/models/credit/v/1/promote/", {"expected_previous": ENDLESS}),
        ("get", "/policies/production-tier-1/v/1/", {"against": ENDLESS}),
        ("get", "/models/credit/v/1/", {"base": ENDLESS}),
        ("get", "/models/credit/v/1/", {"base": "\u00b2"}),
        ("get", "/models/credit/v/1/card/", {"revision": ENDLESS}),
        ("get", "/models/credit/", {"page": ENDLESS}),
        ("get", "/models/", {"page": ENDLESS, "tier": ENDLESS}),
        ("get", "/audit/", {"page": ENDLESS, "before": ENDLESS, "seq": ENDLESS}),
        ("get", f"/models/credit/v/{ENDLESS}/", {}),
        ("get", f"/api/v1/models/credit/versions/{'9' * 30}/", {}),
        ("get", f"/api/v1/models/credit/versions/1/evidence/{'9' * 30}/", {}),
        ("get", "/api/v1/models/", {"page": ENDLESS}),
        ("get", "/models/credit/v/1/", {"stage": "\0"}),
        ("get", "/search/", {"q": "\0" * 8}),
        ("get", "/?review=not-a-uuid", {}),
        ("post", "/models/credit/v/1/sign-offs/00000000-0000-0000-0000-000000000000/withdraw/", {"reason": "x"}),
    ],
)
def test_what_is_no_number_or_key_is_no_crash(
    method: str,
    address: str,
    fields: dict[str, str],
    review: Review,
    rita: User,
    client_for: Callable[[User], Client],
) -> None:
    assert getattr(client_for(rita), method)(address, fields).status_code < 500


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[click](javascript:alert(1))",
        "![x](https://evil.example/beacon.png)",
        "<svg onload=alert(1)>",
        '<a href="data:text/html,x">x</a>',
        "<form action=https://evil.example><input name=secret></form>",
    ],
)
def test_what_reviewers_write_cannot_run_in_anothers_browser(
    text: str, review: Review, bob: User, carol: User, client_for: Callable[[User], Client]
) -> None:
    open_thread(review, text, by=as_(bob))
    sign(review, "validator", bob, reason=text)

    page = client_for(carol).get(reverse("reviews:version", args=["credit", 1])).content.decode()

    for live in (
        "<script>alert",
        "<img src=x",
        "<svg onload",
        'href="javascript',
        '<a href="data:',
        "<form action=https",
        'src="https://evil',
    ):
        assert live not in page


def test_a_token_is_in_no_answer_and_no_log(
    scorer_token: str,
    model: RegisteredModel,
    api_for: Callable[[User | str], APIClient],
    caplog: pytest.LogCaptureFixture,
) -> None:
    secret = scorer_token.rsplit("_", 1)[1]
    with caplog.at_level(logging.DEBUG):
        answers = [
            api_for(scorer_token).get("/api/v1/me/"),
            api_for(scorer_token).get("/api/v1/models/nowhere/aliases/champion"),
            api_for(scorer_token + "x").get("/api/v1/me/"),
            api_for(scorer_token[:-1]).get("/api/v1/me/"),
        ]

    assert [answer.status_code for answer in answers] == [200, 404, 401, 401]
    assert all(secret[:-1] not in answer.content.decode() for answer in answers)
    assert secret[:-1] not in caplog.text


def test_a_token_in_an_address_lets_nobody_in(scorer_token: str, model: RegisteredModel, client: Client) -> None:
    for name in ("token", "access_token", "api_key"):
        assert client.get("/api/v1/me/", {name: scorer_token}).status_code == 401


def test_absent_and_forbidden_cannot_be_told_apart(
    candidate: ModelVersion,
    erin: User,
    api_for: Callable[[User | str], APIClient],
    client_for: Callable[[User], Client],
) -> None:
    """Of a model that one may not see, no address says more than of one that does not exist."""
    from access.actions import create_person
    from access.principal import Principal

    nobody = create_person(
        "nobody", display_name="N", email="n@example.org", password=PASSWORD, by=Principal.system("operator")
    )
    tails = (
        "",
        "aliases/",
        "versions/",
        "versions/1/",
        "versions/1/evidence/",
        "versions/1/requirements/",
        "promotions/",
    )
    api, pages = api_for(nobody), client_for(nobody)

    for tail in tails:
        there, nowhere = (api.get(f"/api/v1/models/{name}/{tail}") for name in ("credit", "unheard"))
        assert there.status_code == nowhere.status_code == 404
        assert there.content.decode().replace("credit", "unheard") == nowhere.content.decode(), tail
    for tail in ("", "v/1/", "v/1/sign/", "v/1/promote/", "v/1/certificate/", "v/1/files/model.skops"):
        assert (
            pages.get(f"/models/credit/{tail}").status_code == pages.get(f"/models/unheard/{tail}").status_code == 404
        )
