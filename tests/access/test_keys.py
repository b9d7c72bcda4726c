"""Single keys on or off: a choice of the person, on record, the same on every page and in every browser."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from access.actions import set_single_keys
from access.models import User
from audit.events import Action
from foundation.refusals import Forbidden
from tests.access.ledger import entries
from tests.conftest import as_

pytestmark = pytest.mark.django_db
ClientFor = Callable[[User], Client]


def test_a_choice_is_kept_and_on_record(bob: User) -> None:
    set_single_keys(bob, False, by=as_(bob))

    bob.refresh_from_db()
    assert not bob.single_keys
    entry = entries(Action.PERSON_SET_KEYS)[-1]
    assert entry["obj"]["id"] == str(bob.uuid)
    assert "bob" not in str(entry).lower()


def test_saying_it_again_is_no_second_entry(bob: User) -> None:
    set_single_keys(bob, False, by=as_(bob))
    set_single_keys(bob, False, by=as_(bob))

    assert len(entries(Action.PERSON_SET_KEYS)) == 1


def test_nobody_chooses_for_somebody_else(bob: User, erin: User) -> None:
    with pytest.raises(Forbidden, match="their own shortcuts"):
        set_single_keys(bob, False, by=as_(erin))

    bob.refresh_from_db()
    assert bob.single_keys


def test_the_page_keeps_it_and_every_page_says_so(bob: User, carol: User, client_for: ClientFor) -> None:
    browser, another = client_for(bob), client_for(bob)

    answer = browser.post("/me/keys/", {"off": "1"})

    assert answer.headers["Location"] == "/me/#keys"
    assert 'data-keys="off"' in another.get("/models/").content.decode()
    assert "single keys are off" in another.get("/me/").content.decode()
    assert 'data-keys="on"' in client_for(carol).get("/models/").content.decode()
    browser.post("/me/keys/", {})
    assert 'data-keys="on"' in another.get("/models/").content.decode()


def test_the_dialog_is_answered_with_what_was_kept(bob: User, client_for: ClientFor) -> None:
    answer = client_for(bob).post("/me/keys/", {"off": "1"}, headers={"HX-Request": "true"})

    assert answer.status_code == 200
    assert 'data-keys="off"' in answer.content.decode()
    assert "<html" not in answer.content.decode()


def test_it_is_asked_of_nobody_who_is_not_signed_in(client: Client) -> None:
    assert client.post("/me/keys/", {"off": "1"}).headers["Location"].startswith("/accounts/login/")
