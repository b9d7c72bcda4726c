"""A ledger that does not verify is an alarm until it verifies again, and somebody may answer for it in between."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django.fixtures import Settings

from audit import integrity, keys, store
from audit.anchors.protocol import SinkFailed
from audit.checks import verify_ledger, verify_what_is_new, watch
from audit.entries import Entry
from audit.events import Action, Actor
from audit.journal import Line
from audit.models import Pending
from audit.sequencer import Sequencer
from countersign.proof.note import TreeHead, sign_note
from foundation.refusals import Conflict, Forbidden, Invalid
from tests.audit.conftest import ALICE, happen
from tests.audit.test_attacks import delete_a_tile, edit_a_checkpoint, edit_an_entry, put_bundle

NOON = datetime(2031, 3, 3, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Officer:
    """Somebody who may, or may not, answer for the ledger."""

    may: bool = True
    who: Actor = ALICE

    @property
    def actor(self) -> Actor:
        return self.who

    def allows(self, permission: str) -> bool:
        return self.may and permission == "ledger.acknowledge"


def actions_waiting() -> list[str]:
    return [Entry.parse(bytes(row.payload)).action for row in Pending.objects.order_by("id")]


def test_a_ledger_that_was_never_verified_raises_no_alarm(sequencer: Sequencer) -> None:
    assert not integrity.found().is_broken
    integrity.require_sound()


def test_a_sound_ledger_raises_none_either(ledger: Sequencer) -> None:
    verify_ledger(by=ALICE)

    assert integrity.found().size == 600
    assert not integrity.found().is_acknowledged
    integrity.require_sound()


def test_what_a_page_verified_counts_and_is_not_the_verification_of_the_day(
    ledger: Sequencer, asked: list[str]
) -> None:
    verify_what_is_new(by=ALICE)

    assert (integrity.found().size, integrity.found().full_at) == (600, None)


def test_the_banner_of_the_process_that_verified_or_acknowledged_says_so_at_once(ledger: Sequencer) -> None:
    assert not integrity.remembered().is_broken
    delete_a_tile()
    verify_ledger(by=ALICE)
    assert integrity.remembered().stops_promotion

    integrity.acknowledge(["tile"], reason="The disk was repaired.", by=Officer())

    assert not integrity.remembered().stops_promotion


def test_a_damaged_ledger_stops_what_would_go_live(ledger: Sequencer) -> None:
    edit_an_entry()
    verify_ledger(by=ALICE)

    with pytest.raises(Conflict, match="the ledger does not verify") as refused:
        integrity.require_sound()

    assert refused.value.code == "ledger-not-verified"
    assert integrity.remembered().stops_promotion


def test_an_acknowledged_problem_stops_nothing_more_and_is_on_record(ledger: Sequencer) -> None:
    delete_a_tile()
    verify_ledger(by=ALICE)
    Pending.objects.all().delete()

    found = integrity.acknowledge(["tile"], reason="The disk was repaired; the entries are whole.", by=Officer())

    integrity.require_sound()
    assert found.is_acknowledged
    assert found.acknowledged_by == "alice"
    entry = Entry.parse(bytes(Pending.objects.get().payload))
    assert (entry.action, entry.outcome) == (Action.LEDGER_ACKNOWLEDGE, "ok")
    assert entry.after == {"kinds": ["tile"], "reason": "The disk was repaired; the entries are whole."}
    assert "missing" in entry.before["problems"][0]


def test_another_kind_of_problem_needs_another_acknowledgement(ledger: Sequencer) -> None:
    delete_a_tile()
    verify_ledger(by=ALICE)
    integrity.acknowledge(["tile"], reason="Known.", by=Officer())

    edit_a_checkpoint()
    verify_ledger(by=ALICE)

    assert integrity.found().stops_promotion


def test_an_acknowledgement_ends_when_the_ledger_verifies_again(ledger: Sequencer) -> None:
    sound = store.read_bundle(0)
    edit_an_entry()
    verify_ledger(by=ALICE)
    integrity.acknowledge(["root", "tile"], reason="Being restored.", by=Officer())

    put_bundle(0, sound)
    verify_ledger(by=ALICE)
    edit_an_entry()
    verify_ledger(by=ALICE)

    assert integrity.found().stops_promotion


def test_who_may_not_is_refused_and_that_is_on_record(ledger: Sequencer) -> None:
    edit_an_entry()
    verify_ledger(by=ALICE)

    with pytest.raises(Forbidden, match=r"ledger\.acknowledge"):
        integrity.acknowledge(["root"], reason="Never mind.", by=Officer(may=False))

    last = Entry.parse(bytes(Pending.objects.latest("id").payload))
    assert (last.action, last.outcome) == (Action.LEDGER_ACKNOWLEDGE, "denied")
    assert integrity.found().stops_promotion


@pytest.mark.parametrize("reason", ["", "  ", "x" * 2_001])
def test_an_acknowledgement_has_a_reason(ledger: Sequencer, reason: str) -> None:
    edit_an_entry()
    verify_ledger(by=ALICE)

    with pytest.raises(Invalid, match="Give the reason"):
        integrity.acknowledge(["root"], reason=reason, by=Officer())


def test_what_was_not_shown_is_not_acknowledged(ledger: Sequencer) -> None:
    edit_an_entry()
    verify_ledger(by=ALICE)

    with pytest.raises(Conflict, match="Other problems"):
        integrity.acknowledge(["root"], reason="Known.", by=Officer())


def test_who_has_no_name_is_named_by_their_id(ledger: Sequencer) -> None:
    delete_a_tile()
    verify_ledger(by=ALICE)

    found = integrity.acknowledge(["tile"], reason="Known.", by=Officer(who=Actor(kind="person", id="o1", via="api")))

    assert found.acknowledged_by == "o1"


@pytest.mark.parametrize("verified", [True, False])
def test_a_sound_ledger_has_nothing_to_acknowledge(ledger: Sequencer, verified: bool) -> None:
    if verified:
        verify_ledger(by=ALICE)

    with pytest.raises(Conflict, match="nothing to acknowledge"):
        integrity.acknowledge([], reason="Just in case.", by=Officer())


def test_a_verification_of_what_is_new_does_not_lift_an_older_problem(ledger: Sequencer) -> None:
    edit_an_entry()
    verify_ledger(by=ALICE)

    assert verify_ledger(by=ALICE, since=600).ok

    assert integrity.found().stops_promotion


def test_the_banner_knows_for_a_while_and_then_asks_again(ledger: Sequencer, monkeypatch: pytest.MonkeyPatch) -> None:
    moment = [100.0]
    monkeypatch.setattr("audit.integrity.time.monotonic", lambda: moment[0])
    assert not integrity.remembered().is_broken
    edit_an_entry()
    verify_ledger(by=ALICE)
    integrity._remembered[:] = [(100.0, integrity.NEVER)]

    moment[0] += 9
    assert not integrity.remembered().is_broken
    moment[0] += 2

    assert integrity.remembered().is_broken


def test_the_watch_reads_all_once_a_day_and_what_is_new_in_between(ledger: Sequencer) -> None:
    first = watch(NOON)
    happen(3)
    ledger.tick()
    later = watch(NOON + timedelta(minutes=1))
    next_day = watch(NOON + timedelta(days=1))

    assert first is not None
    assert later is not None
    assert next_day is not None
    assert (first.since, first.deep) == (0, True)
    assert later.since == 600
    assert (next_day.since, next_day.deep) == (0, True)


def test_the_watch_writes_when_it_read_all_and_when_something_changed(ledger: Sequencer) -> None:
    watch(NOON)
    watch(NOON + timedelta(minutes=1))
    assert actions_waiting() == [Action.LEDGER_VERIFY]

    edit_the_last_bundle()
    watch(NOON + timedelta(minutes=2))
    watch(NOON + timedelta(minutes=3))

    assert actions_waiting() == [Action.LEDGER_VERIFY] * 2
    assert Entry.parse(bytes(Pending.objects.latest("id").payload)).outcome == "error"


def test_the_watch_goes_on_from_where_the_problem_was_found_until_it_is_gone(ledger: Sequencer) -> None:
    sound = store.read_bundle(0)
    watch(NOON)
    edit_an_entry()
    verify_ledger(by=ALICE)
    again = watch(NOON + timedelta(minutes=1))
    put_bundle(0, sound)
    mended = watch(NOON + timedelta(minutes=2))

    assert again is not None
    assert mended is not None
    assert (again.since, again.ok) == (0, False)
    assert (mended.since, mended.ok) == (0, True)
    assert not integrity.found().is_broken


@pytest.fixture
def asked(ledger: Sequencer, monkeypatch: pytest.MonkeyPatch, settings: Settings) -> list[str]:
    """One remote sink that says another root over 400 entries; each time that it is asked is noted."""
    asked = list[str]()
    other = sign_note(TreeHead(keys.origin(), 400, bytes(32)).text(), keys.load_log_key())

    class Remote:
        name, every_seconds = "remote", 3_600.0

        def publish(self, line: Line) -> str:
            raise SinkFailed("nothing is put here")

        def held(self) -> list[Line]:
            asked.append("held")
            if len(asked) == 2:
                raise SinkFailed("out of reach")
            return [Line(1, 400, other)] if len(asked) == 1 else []

    settings.AUDIT_ANCHORS = [{"sink": "s3", "bucket": "b"}]
    monkeypatch.setattr("audit.anchors.held.configured", lambda: [Remote()])
    return asked


def test_pages_and_the_minute_do_not_wait_for_remote_sinks(ledger: Sequencer, asked: list[str]) -> None:
    asked += ["before"] * 2
    assert verify_what_is_new(by=ALICE).ok
    assert asked == ["before"] * 2
    watch(timezone.now())
    after_a_day = len(asked)
    watch(timezone.now() + timedelta(minutes=1))

    # What a page read is no daily verification; the day's asks every sink, the minute's none.
    assert (after_a_day, len(asked)) == (3, 3)


def test_what_a_remote_sink_showed_is_lifted_only_when_all_could_be_asked_again(
    ledger: Sequencer, asked: list[str]
) -> None:
    watch(NOON)
    assert integrity.found().is_broken
    verify_what_is_new(by=ALICE)
    assert integrity.found().is_broken

    out_of_reach = watch(NOON + timedelta(minutes=1))
    assert out_of_reach is not None
    assert (out_of_reach.ok, integrity.found().is_broken) == (True, True)
    watch(NOON + timedelta(minutes=2))

    assert not integrity.found().is_broken


def test_the_watch_waits_for_a_ledger(db: None) -> None:
    assert watch(NOON) is None


def edit_the_last_bundle() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM audit_index WHERE seq = 599")
        cursor.execute("INSERT INTO audit_private (seq, disclosures) VALUES (9999, %s)", [b"[]"])
