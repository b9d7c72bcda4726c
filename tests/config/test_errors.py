"""The page of an error of ours: a reference, a way to try again, and nothing that it cannot know."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client, RequestFactory
from rest_framework.test import APIClient

from access.models import User
from access.principal import Principal
from config.errors import server_error


def test_the_page_of_an_error_has_a_reference_and_a_way_to_try_again(rf: RequestFactory) -> None:
    request = rf.get("/models/?q=<b>")
    request.principal = Principal.anonymous(request_id="ab-12")  # type: ignore[attr-defined]  # as the middleware does

    response = server_error(request)

    page = response.content.decode()
    assert response.status_code == 500
    assert "ab-12" in page
    assert 'href="/models/?q=%3Cb%3E"' in page
    assert "Log in" not in page, "it does not know whether somebody is signed in"


def test_what_was_sent_is_not_asked_for_again_by_a_link(rf: RequestFactory) -> None:
    page = server_error(rf.post("/models/new/")).content.decode()

    assert "Try again</a>" not in page
    assert "Start page" in page


@pytest.mark.django_db
@(pytest.mark.postgres if connection.vendor == "postgresql" else pytest.mark.timeout(60))
@pytest.mark.parametrize(
    "address",
    [
        *("/models/cre%00dit/", "/models/?q=%00", "/%00", "/api/v1/models/cre%00dit/aliases/champion"),
        *("/api/v1/models/?search=a%00b", "/api/v1/models/credit/versions/1?stage=%00"),
    ],
)
def test_a_nul_in_an_address_is_an_ordinary_refusal_on_every_database(
    client: Client, alice: User, address: str
) -> None:
    client.force_login(alice)

    answer = client.get(address)
    anonymous = APIClient().get(address)

    assert (answer.status_code, "NUL" in answer.content.decode()) == (400, True)
    assert anonymous.status_code in {302, 400, 401}
