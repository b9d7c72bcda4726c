"""People find what happened: filtered, newest first, what is not logged yet included."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from audit.actions import append_alone
from audit.events import Action, Actor, Obj, Outcome
from audit.models import Private
from audit.queries import Filter, entries, entries_for, latest_checkpoint, page
from audit.sequencer import Sequencer
from tests.audit.conftest import ALICE, CREDIT, happen
from tests.audit.test_attacks import store_garbage

SCORER = Actor("service", "s1", "token:abc")
FRAUD = Obj("model", "8", "fraud")


@pytest.fixture
def history(sequencer: Sequencer) -> Sequencer:
    """Three logged entries and a pending one."""
    append_alone(Action.MODEL_CREATE, by=ALICE, obj=CREDIT)
    append_alone(Action.VERSION_PULL, by=SCORER, obj=Obj("version", "31", "credit", "3"))
    append_alone(Action.VERSION_PROMOTE, by=ALICE, obj=FRAUD, outcome=Outcome.DENIED, why="unmet")
    sequencer.tick()
    append_alone(Action.MODEL_UPDATE, by=ALICE, obj=CREDIT, before={"tier": 2}, after={"tier": 1})
    return sequencer


def actions(wanted: Filter) -> list[str]:
    return [one.entry.action for one in entries(wanted)]


def test_the_newest_is_first_and_pending_ones_say_so(history: Sequencer) -> None:
    found = list(entries())

    assert [(one.seq, one.entry.action) for one in found] == [
        (None, "model.update"),
        (2, "version.promote"),
        (1, "version.pull"),
        (0, "model.create"),
    ]
    assert [one.is_pending for one in found] == [True, False, False, False]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Filter(action="version."), ["version.promote", "version.pull"]),
        (Filter(action="version.pull"), ["version.pull"]),
        (Filter(action="nothing.such"), []),
        (Filter(actors=frozenset({"s1", "nobody"})), ["version.pull"]),
        (Filter(obj="credit"), ["model.update", "version.pull", "model.create"]),
        (Filter(obj="8"), ["version.promote"]),
        (Filter(obj_kind="model", obj_id="7"), ["model.update", "model.create"]),
        (Filter(outcome="denied"), ["version.promote"]),
        (Filter(action="model.", outcome="denied"), []),
    ],
)
def test_filters_narrow_logged_and_pending_entries_alike(history: Sequencer, wanted: Filter, found: list[str]) -> None:
    assert actions(wanted) == found


def test_dates_narrow(history: Sequencer) -> None:
    now = datetime.now(UTC)

    assert len(entries(Filter(since=now - timedelta(minutes=1), until=now + timedelta(minutes=1)))) == 4
    assert len(entries(Filter(since=now + timedelta(minutes=1)))) == 0
    assert len(entries(Filter(until=now - timedelta(minutes=1)))) == 0


def test_the_history_of_one_object(history: Sequencer) -> None:
    assert [one.entry.action for one in entries_for(CREDIT)] == ["model.update", "model.create"]
    assert len(entries_for(CREDIT, limit=1)) == 1


def test_an_entry_is_shown_in_words(history: Sequencer) -> None:
    update, _, pull, _ = entries()

    assert (update.actor_name, update.obj_label, update.changes) == ("alice", "credit", [("tier", "2 → 1")])
    assert (pull.actor_name, pull.obj_label, pull.changes) == ("service s1", "credit v3", [])
    assert update.at.tzinfo is UTC


def test_an_erased_name_leaves_the_identifier(history: Sequencer) -> None:
    Private.objects.all().delete()

    assert list(entries())[3].actor_name == "person a1"


def test_the_first_page_holds_what_waits_before_what_is_logged(
    ledger: Sequencer, django_assert_max_num_queries: Any
) -> None:
    happen(30)

    with django_assert_max_num_queries(8):
        first = page(Filter(), size=50)
    second = page(Filter(), size=50, before=first.older)
    last = page(Filter(), size=50, before=30)

    assert [one.seq for one in first.entries] == [None] * 30 + list(range(599, 549, -1))
    assert (first.older, first.newer) == (550, None)
    assert ([one.seq for one in second.entries], second.newer) == (list(range(549, 499, -1)), 549)
    assert ([one.seq for one in last.entries], last.older) == (list(range(29, -1, -1)), None)
    assert page(Filter(), size=50, after=549).entries == first.entries


def test_more_that_wait_than_a_page_holds_are_counted(ledger: Sequencer) -> None:
    happen(30)

    assert page(Filter(), size=10).waiting == 20


def test_an_entry_that_cannot_be_read_does_not_hide_the_others(ledger: Sequencer) -> None:
    store_garbage()

    found = list(entries())

    assert len(found) == 512


def test_the_newest_checkpoint_is_told(ledger: Sequencer) -> None:
    head = latest_checkpoint()

    assert head is not None
    assert (head.size, head.root) == (600, ledger.head.root.hex())
    assert datetime.now(UTC) - head.signed_at < timedelta(minutes=1)


def test_before_the_first_checkpoint_there_is_none(db: None) -> None:
    assert latest_checkpoint() is None
