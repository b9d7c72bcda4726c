"""Ending sessions before their time: all others of one's own, and everybody's for who manages people."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from access.models import User
from access.sessions import end_sessions
from audit.events import Action
from foundation.refusals import Forbidden
from tests.access.ledger import entries, outcomes
from tests.conftest import as_

pytestmark = pytest.mark.django_db


def signed_in(client: Client) -> bool:
    return client.get("/me/").status_code == 200


def test_logging_out_everywhere_else_asks_first_and_keeps_this_session(
    bob: User, client_for: Callable[[User], Client]
) -> None:
    here, there = client_for(bob), client_for(bob)
    assert b"Log out everywhere else?" in here.get("/me/sessions/").content
    assert signed_in(there)

    here.post("/me/sessions/")

    assert signed_in(here)
    assert not signed_in(there)
    assert outcomes(Action.SESSION_END_ALL) == [("ok", "")]


def test_an_administrator_ends_a_persons_sessions_when_confirmed(
    bob: User, erin: User, client_for: Callable[[User], Client]
) -> None:
    theirs, browser = client_for(bob), client_for(erin)
    assert b"Log Bob Lindqvist out everywhere?" in browser.get(f"/people/{bob.uuid}/sessions/").content
    assert signed_in(theirs)

    browser.post(f"/people/{bob.uuid}/sessions/")

    assert not signed_in(theirs)
    assert signed_in(browser)
    (entry,) = entries(Action.SESSION_END_ALL)
    assert (entry["actor"]["id"], entry["obj"]["id"]) == (str(erin.uuid), str(bob.uuid))


def test_nobody_else_ends_a_persons_sessions(bob: User, carol: User, client_for: Callable[[User], Client]) -> None:
    theirs = client_for(bob)

    with pytest.raises(Forbidden):
        end_sessions(bob, by=as_(carol))

    assert client_for(carol).post(f"/people/{bob.uuid}/sessions/").status_code in {403, 404}
    assert signed_in(theirs)
