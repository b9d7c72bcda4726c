"""Checkpoints reach every sink without the sequencer waiting for one; what fails is tried again, told, and not hidden."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import CommandError
from django.db import transaction
from pytest_django.fixtures import Settings

from audit import anchors, keys
from audit.alerts import alerts
from audit.anchors.configured import anchor_journal, configured, state_journal
from audit.anchors.protocol import SinkDamaged, SinkFailed, SinkMisconfigured, beside
from audit.anchors.publishing import POLL_SECONDS, Publisher, in_background, publish
from audit.journal import Line
from audit.models import Anchor, SinkState
from audit.moments import LONGEST_PAUSE_SECONDS
from audit.sequencer import Sequencer
from audit.verification import verify
from countersign.proof.note import TreeHead, sign_note
from tests.audit.conftest import happen
from tests.audit.loopback import serving
from tests.audit.test_anchor_git import git
from tests.audit.test_attacks import codes, truncate_to_an_older_head
from tests.audit.test_command import audit
from tests.audit.witnessing import SmallWitness


class Shelf:
    """A sink in memory that can be told to fail, to be slow, and to be damaged."""

    name = "shelf"
    every_seconds = 3_600.0

    def __init__(self) -> None:
        self.lines = list[Line]()
        self.fails, self.damaged = False, False

    def publish(self, line: Line) -> str:
        if self.fails:
            raise SinkFailed("the shelf is full")
        self.lines.append(line)
        return f"shelf {len(self.lines)}"

    def held(self) -> list[Line]:
        if self.damaged:
            raise SinkDamaged("the shelf fell down")
        if self.fails:
            raise SinkFailed("the shelf is out of reach")
        return self.lines


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def on_the_shelf(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    monkeypatch.setattr("audit.anchors.held.configured", lambda: [shelf])
    return shelf


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    return folder


@pytest.fixture
def witness(ledger: Sequencer, settings: Settings) -> Iterator[SmallWitness]:
    witness = SmallWitness(keys.load_log_key().verifier)
    with serving(witness.answer) as url:
        settings.AUDIT_ANCHORS = [{"sink": "witness", "url": url, "key": witness.key}]
        yield witness


def test_the_newest_checkpoint_is_published_and_the_receipt_recorded(ledger: Sequencer, shelf: Shelf) -> None:
    Publisher([shelf]).publish_due()

    assert [line.size for line in shelf.lines] == [600]
    anchor = Anchor.objects.get(sink="shelf")
    assert (anchor.size, anchor.receipt) == (600, "shelf 1")
    assert anchor.t > 0


def test_the_same_checkpoint_is_not_published_again_and_the_next_one_waits_for_its_time(
    ledger: Sequencer, shelf: Shelf
) -> None:
    publisher = Publisher([shelf])
    publisher.publish_due()
    happen()
    ledger.tick()
    publisher.publish_due()
    too_early = len(shelf.lines)

    publisher._turns[0].due = 0.0
    publisher.publish_due()
    publisher._turns[0].due = 0.0
    publisher.publish_due()

    assert too_early == 1
    assert [line.size for line in shelf.lines] == [600, 601]


def test_a_sink_that_fails_is_tried_again_with_growing_pauses_and_recovers(ledger: Sequencer, shelf: Shelf) -> None:
    line = state_journal().lines()[-1]
    shelf.fails = True

    pauses = [publish(shelf, line) for _ in range(12)]
    failing = SinkState.objects.get(name="shelf")
    shelf.fails = False
    again = publish(shelf, line)

    assert pauses[:4] == [2, 4, 8, 16]
    assert pauses[-1] == LONGEST_PAUSE_SECONDS
    assert (failing.attempts, failing.error) == (12, "the shelf is full")
    assert failing.failing_since > 0
    assert again == shelf.every_seconds
    assert SinkState.objects.get(name="shelf").failing_since == 0
    assert publish(shelf, line) == POLL_SECONDS


def test_one_sink_that_fails_does_not_keep_the_others_from_theirs(ledger: Sequencer, shelf: Shelf) -> None:
    broken = Shelf()
    broken.name, broken.fails = "broken", True

    Publisher([broken, shelf]).publish_due()

    assert len(shelf.lines) == 1


def test_signing_goes_on_while_every_sink_fails(ledger: Sequencer, shelf: Shelf) -> None:
    shelf.fails = True
    Publisher([shelf]).publish_due()
    happen()

    assert ledger.tick() == 1
    assert ledger.head.size == 601


def test_an_alert_comes_when_a_sink_has_failed_for_too_long(
    ledger: Sequencer, shelf: Shelf, settings: Settings
) -> None:
    shelf.fails = True
    Publisher([shelf]).publish_due()
    at_once = alerts()

    SinkState.objects.update(failing_since=time.time_ns() // 1_000 - 16 * 60_000_000)

    (alert,) = alerts()
    assert at_once == []
    assert "no longer reach shelf" in alert.title
    assert "the shelf is full" in alert.body
    with pytest.raises(CommandError, match="the shelf is full"):
        audit("status")


def test_status_says_what_each_sink_holds_or_why_it_does_not(ledger: Sequencer, shelf: Shelf) -> None:
    broken = Shelf()
    broken.name, broken.fails = "broken", True
    Publisher([broken, shelf]).publish_due()

    status = audit("status")

    assert "shelf: holds the checkpoint over 600 entries since" in status
    assert "tried 1 time: the shelf is full." in status


def test_status_says_when_an_old_mac_key_can_go(ledger: Sequencer, settings: Settings) -> None:
    happen(2)
    settings.AUDIT_OLD_MAC_KEYS = {"1": settings.AUDIT_MAC_KEY, "0": b"older"}
    settings.AUDIT_MAC_KEY_ID = "2"

    status = audit("status")

    assert "MAC key 1 is still accepted: 2 rows wait under it." in status
    assert "MAC key 0 is still accepted: nothing waits under it" in status


def test_verification_compares_with_what_a_sink_holds(ledger: Sequencer, on_the_shelf: Shelf) -> None:
    other = sign_note(TreeHead(keys.origin(), 400, bytes(32)).text(), keys.load_log_key())

    on_the_shelf.lines.append(Line(1, 400, other))

    result = verify()
    assert codes(result) == {"root"}
    assert "line 1 of shelf says 0000000000000000" in result.problems[0].sentence


def test_a_ledger_cut_short_together_with_its_local_files_shows_by_the_sink(
    ledger: Sequencer, on_the_shelf: Shelf
) -> None:
    on_the_shelf.lines.append(state_journal().lines()[-1])
    truncate_to_an_older_head()
    for journal in (state_journal(), anchor_journal()):
        journal.path.write_bytes(b"".join(journal.path.read_bytes().splitlines(keepends=True)[:-1]))

    assert codes(verify()) == {"cut-short"}


def test_a_checkpoint_in_a_sink_that_is_not_ours_is_a_problem(ledger: Sequencer, on_the_shelf: Shelf) -> None:
    on_the_shelf.lines.append(Line(1, 600, "somebody's log\n600\nAAAA\n\n— somebody AAAAAAAA\n"))

    assert codes(verify()) == {"signature"}


def test_a_sink_that_cannot_be_read_is_said_and_is_no_alarm(ledger: Sequencer, on_the_shelf: Shelf) -> None:
    on_the_shelf.fails = True

    result = verify()

    assert result.ok
    assert result.remarks == (
        "The sink shelf could not be read, so nothing was compared with it: the shelf is out of reach.",
    )
    assert "The sink shelf could not be read" in audit("verify")


def test_a_sink_that_was_changed_is_an_alarm(ledger: Sequencer, on_the_shelf: Shelf) -> None:
    on_the_shelf.damaged = True

    assert codes(verify()) == {"outside-damaged"}


def test_without_the_remote_ones_only_local_files_are_read(ledger: Sequencer, on_the_shelf: Shelf) -> None:
    on_the_shelf.fails = True
    said = list[str]()

    held = list(anchors.held_outside(damaged=said.append, unreadable=said.append, remote=False))

    assert said == []
    assert len(held) == 7


@pytest.mark.django_db(transaction=True)
def test_a_thread_beside_the_sequencer_publishes_until_it_is_stopped(
    sequencer: Sequencer, settings: Settings, repository: Path
) -> None:
    settings.AUDIT_ANCHORS = [{"sink": "git", "repository": str(repository)}]
    happen()
    sequencer.tick()
    stop = threading.Event()

    thread = in_background(stop)
    deadline = time.monotonic() + 20
    while not Anchor.objects.filter(sink="git").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    stop.set()

    assert thread is not None
    thread.join(10)
    assert Anchor.objects.get(sink="git").receipt == git(repository, "rev-parse", "HEAD")


def test_without_sinks_there_is_no_thread(settings: Settings) -> None:
    assert in_background(threading.Event()) is None


def test_the_command_publishes_now_and_shows_what_is_held(
    ledger: Sequencer, settings: Settings, repository: Path
) -> None:
    settings.AUDIT_ANCHORS = [{"sink": "git", "repository": str(repository)}]

    before, after = audit("anchor", "--held"), audit("anchor")

    assert "git holds nothing yet" in before
    assert "state holds 4 checkpoints, the newest over 600 entries." in after
    assert "git holds 1 checkpoint, the newest over 600 entries." in after


def test_the_command_fails_where_a_sink_did(ledger: Sequencer, settings: Settings, tmp_path: Path) -> None:
    settings.AUDIT_ANCHORS = [{"sink": "git", "name": "mirror", "repository": str(tmp_path)}]

    with pytest.raises(CommandError, match="mirror did not take the checkpoint over 600 entries"):
        audit("anchor")


def test_the_witness_command_prints_the_cosigned_checkpoint(witness: SmallWitness) -> None:
    printed = audit("witness")

    assert "\n— witness.test/w1 " in printed
    assert audit("witness", "--held") == printed
    witness.size = 700
    happen()
    beside("witness").path.write_text("{}\n{}\n")
    with pytest.raises(CommandError, match="cannot be read"):
        audit("witness", "--held")


def test_the_witness_command_needs_a_witness(ledger: Sequencer) -> None:
    with pytest.raises(CommandError, match="No witness is configured"):
        audit("witness")


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ([{"sink": "pigeon"}], "there is no sink 'pigeon'"),
        ([{}], "there is no sink ''"),
        ([{"sink": "git"}], "sink 1 of 1 in COUNTERSIGN_ANCHORS: it lacks repository"),
        ([{"sink": "s3"}], "lacks bucket"),
        ([{"sink": "rfc3161", "url": "http://tsa"}], "lacks roots"),
        ([{"sink": "witness"}], "lacks url, key"),
        ([{"sink": "git", "name": "../state", "repository": "r"}], "letters, digits and hyphens"),
        ([{"sink": "git", "name": "state", "repository": "r"}], "two sinks are called state"),
        ([{"sink": "git", "name": "checkpoints", "repository": "r"}], "two sinks are called checkpoints"),
        ([{"sink": "git", "repository": "r"}] * 2, "two sinks are called git"),
        ([{"sink": "git", "repository": "r", "every_seconds": "often"}], "number above zero"),
        ([{"sink": "git", "repository": "r", "every_seconds": "0"}], "number above zero"),
    ],
)
def test_a_sink_without_what_it_needs_is_refused_in_words(
    settings: Settings, entries: list[dict[str, str]], why: str
) -> None:
    settings.AUDIT_ANCHORS = entries

    with pytest.raises(SinkMisconfigured, match=why):
        configured()


def test_recording_is_harmless_where_the_other_sequencer_was_first(ledger: Sequencer, shelf: Shelf) -> None:
    line = state_journal().lines()[-1]
    Anchor.objects.create(size=600, sink="shelf", receipt="first", t=1)

    with transaction.atomic():
        publish(shelf, line)

    assert Anchor.objects.get(sink="shelf").receipt == "first"
