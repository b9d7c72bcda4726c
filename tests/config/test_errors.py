"""The page of an error of ours: a reference, a way to try again, and nothing that it cannot know."""

from __future__ import annotations

from django.test import RequestFactory

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
