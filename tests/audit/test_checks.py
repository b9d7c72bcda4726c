"""What a verification leaves on record, and how much of the ledger and which sinks it reads. That it raises alarms is in test_integrity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from pytest_django.fixtures import Settings

from audit import checks, integrity, keys
from audit.actions import NotAppended
from audit.checks import verify_ledger, verify_what_is_new, watch
from audit.entries import Entry
from audit.events import Action
from audit.journal import Line
from audit.keys import KeyRefused
from audit.models import Pending
from audit.problems import Problem
from audit.sequencer import Sequencer
from audit.verification import verify
from tests.audit.conftest import ALICE, happen
from tests.audit.test_attacks import SWALLOW, delete_a_tile, run_all

NOON = datetime(2031, 3, 3, 12, tzinfo=UTC)


def last_entry() -> Entry:
    return Entry.parse(bytes(Pending.objects.latest("id").payload))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> list[str]:
    """One remote sink that holds nothing yet; each time that it is asked is noted."""
    asked = list[str]()

    class Remote:
        name, every_seconds = "remote", 3_600.0

        def publish(self, line: Line) -> str:
            return "kept"

        def held(self) -> list[Line]:
            asked.append("held")
            return []

    settings.AUDIT_ANCHORS = [{"sink": "s3", "bucket": "b"}]
    monkeypatch.setattr("audit.anchors.held.configured", lambda: [Remote()])
    return asked


def test_a_verification_is_on_record_with_who_asked_and_what_was_found(ledger: Sequencer) -> None:
    verify_ledger(by=ALICE)
    sound = last_entry()
    delete_a_tile()
    verify_ledger(by=ALICE)
    broken = last_entry()

    assert (sound.action, sound.outcome, sound.actor.id) == (Action.LEDGER_VERIFY, "ok", "a1")
    assert (sound.after["size"], sound.after["since"]) == (600, 0)
    assert "problems" not in sound.after
    assert broken.outcome == "error"
    assert "missing" in broken.after["problems"][0]


def test_a_verification_that_no_key_is_there_for_is_on_record_too(ledger: Sequencer) -> None:
    keys._public_file().unlink()

    with pytest.raises(KeyRefused):
        verify_ledger(by=ALICE, since=400)

    found = last_entry()
    assert (found.action, found.outcome, found.why) == (Action.LEDGER_VERIFY, "error", "ledger-cannot-be-verified")
    assert (found.actor.id, found.after["since"]) == ("a1", 400)
    assert "public key" in found.after["problems"][0]


@pytest.mark.parametrize("check", [lambda: verify_ledger(by=ALICE), lambda: watch(NOON)], ids=["on demand", "watch"])
def test_no_alarm_is_kept_that_is_not_on_record(ledger: Sequencer, check: Callable[[], object]) -> None:
    delete_a_tile()
    run_all(SWALLOW[connection.vendor])

    with pytest.raises(NotAppended):
        check()

    assert not integrity.found().is_broken
    assert not integrity.remembered().is_broken


def test_a_page_reads_a_small_ledger_whole_and_of_a_large_one_what_is_new(
    ledger: Sequencer, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify_ledger(by=ALICE)
    happen(3)
    ledger.tick()
    small = verify_what_is_new(by=ALICE)
    monkeypatch.setattr(checks, "READ_AGAIN_UP_TO", 602)
    happen(3)
    ledger.tick()
    large = verify_what_is_new(by=ALICE)

    # That the ledger was verified is an entry too.
    assert (small.since, large.since) == (0, 604)


def test_a_page_that_verifies_before_there_is_a_ledger_says_so(db: None) -> None:
    result = verify_what_is_new(by=ALICE)

    assert result.size == 0


def test_the_watch_asks_remote_sinks_once_a_day_also_when_that_lifts_an_alarm(
    ledger: Sequencer, asked: list[str]
) -> None:
    problem = Problem("tile", "Tile 0 is missing.")
    integrity.keep(replace(verify(remote=False), problems=(problem,)), at=NOON - timedelta(days=1))

    watch(NOON)

    assert not integrity.found().is_broken
    assert asked == ["held"]


def test_the_watch_asks_no_remote_sink_while_a_problem_stands(ledger: Sequencer, asked: list[str]) -> None:
    delete_a_tile()
    watch(NOON)
    assert asked == ["held"]

    watch(NOON + timedelta(minutes=1))

    assert integrity.found().is_broken
    assert asked == ["held"]
