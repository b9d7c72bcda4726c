"""What one person did: for auditors about anybody, and for each person about themselves alone."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import reverse

from access.models import User
from audit import activity
from audit.actions import append_alone
from audit.events import Action, Actor, Obj, Outcome
from audit.sequencer import Sequencer
from tests.audit.conftest import CREDIT, happen
from tests.audit.test_views import ClientFor


def acting(user: User) -> Actor:
    return Actor("person", str(user.uuid), "session", private={"name": user.username, "ip": "192.0.2.7"})


@pytest.fixture
def history(sequencer: Sequencer, alice: User, bob: User) -> Sequencer:
    """Alice signs in, looks three times, is refused once; somebody fails to sign in as her; bob looks once."""
    append_alone(Action.SESSION_START, by=acting(alice), obj=alice.ledger_ref())
    happen(3, by=acting(alice), action=Action.MODEL_VIEW)
    append_alone(Action.VERSION_PROMOTE, by=acting(alice), obj=CREDIT, outcome=Outcome.DENIED, why="forbidden")
    append_alone(
        Action.SESSION_START,
        by=Actor("anonymous", "", "anonymous"),
        obj=Obj("person", str(alice.uuid)),
        outcome=Outcome.DENIED,
        why="wrong-password",
    )
    happen(1, by=acting(bob), obj=Obj("model", "9", "secret-project"), action=Action.MODEL_VIEW)
    sequencer.tick()
    return sequencer


def test_actions_are_counted_by_how_they_ended(history: Sequencer, alice: User) -> None:
    found = activity.of(str(alice.uuid))

    counted = {one.action: (one.ok, one.denied, one.error) for one in found.counts}
    assert counted["model.view"] == (3, 0, 0)
    assert counted["version.promote"] == (0, 1, 0)
    assert found.counts[0].action == "model.view"
    assert (found.complete, found.denied, found.name) == (True, 1, "Alice Moreau")
    assert found.first is not None
    assert found.last is not None
    assert found.first <= found.last


def test_more_entries_than_are_counted_are_said(
    history: Sequencer, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activity, "COUNTED", 3)

    found = activity.of(str(alice.uuid))

    assert (found.complete, sum(one.total for one in found.counts)) == (False, 3)


def test_sessions_and_refused_attempts_stand_apart_also_those_at_the_account(history: Sequencer, alice: User) -> None:
    found = activity.of(str(alice.uuid))

    assert [one.entry.action for one in found.sessions] == ["session.start"]
    assert [one.entry.why for one in found.refused] == ["wrong-password", "forbidden"]


def test_an_auditor_sees_anybody(history: Sequencer, alice: User, dave: User, client_for: ClientFor) -> None:
    page = client_for(dave).get(reverse("audit:activity", args=[alice.uuid])).content.decode()

    assert "Alice Moreau" in page
    assert "wrong-password" in page
    assert "secret-project" not in page
    assert re.search(r'href="/audit/\d+/">[a-z -]+</a>', page)


def test_nobody_by_that_name_is_said(history: Sequencer, dave: User, client_for: ClientFor) -> None:
    assert client_for(dave).get(reverse("audit:activity", args=["nobody"])).status_code == 404


def test_each_person_sees_their_own_entries_only(history: Sequencer, alice: User, client_for: ClientFor) -> None:
    page = client_for(alice).get(reverse("audit:own-activity")).content.decode()

    assert "What is on record of you" in page
    assert "credit" in page
    assert "secret-project" not in page
    assert "wrong-password" not in page
    assert 'href="/audit/' not in page.partition("<main")[2].partition("</main")[0]


def test_the_own_page_is_for_who_is_signed_in(history: Sequencer, client: Client) -> None:
    assert client.get(reverse("audit:own-activity")).status_code == 302


def test_days_stand_under_their_dates(history: Sequencer, alice: User) -> None:
    page = activity.page(str(alice.uuid), size=50, before=None, after=None)

    days = activity.by_day(page.entries)

    assert sum(len(entries) for _, entries in days) == len(page.entries)
    assert [day for day, _ in days] == sorted({one.at.date() for one in page.entries}, reverse=True)
