"""The sequencer puts every committed entry into the tree once, whoever else sequences and whenever it is killed."""

from __future__ import annotations

import threading

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from pytest_django.fixtures import Settings

from audit import intake, keys, store
from audit import sequencer as sequencing
from audit.actions import append, wait_until_sequenced
from audit.anchors.configured import anchor_journal, state_journal
from audit.entries import Entry
from audit.events import Action, Actor
from audit.intake import Row
from audit.leader import LEADER_LOCK
from audit.models import Anchor, Bundle, Checkpoint, IndexRow, Pending, Private, Tile
from audit.sequencer import RefusesToSign, Sequencer, initialise
from audit.verification import verify
from countersign.proof.merkle import leaf_hash
from countersign.proof.note import open_checkpoint
from tests.audit.conftest import ALICE, CREDIT, happen


def test_entries_are_logged_in_the_order_in_which_they_were_written(sequencer: Sequencer) -> None:
    receipts = happen(5)

    sequencer.tick()

    logged = [leaf_hash(payload) for payload in store.read_bundle(0)]
    assert logged == [receipt.leaf for receipt in receipts]
    assert not Pending.objects.exists()


def test_a_tick_signs_what_it_logged(sequencer: Sequencer) -> None:
    happen(3)

    sequencer.tick()

    head = open_checkpoint(Checkpoint.objects.latest("size").note, keys.origin(), keys.trusted_verifiers())
    assert head == sequencer.head
    assert head.size == 3


def test_a_tick_without_entries_signs_nothing(sequencer: Sequencer) -> None:
    assert sequencer.tick() == 0
    assert Checkpoint.objects.count() == 1


def test_a_tick_without_entries_writes_nothing_at_all(sequencer: Sequencer) -> None:
    happen()
    sequencer.tick()

    assert sequencer.tick() == 0
    assert not Anchor.objects.exists()


def test_a_tick_asks_only_for_the_checkpoint_that_the_last_one_put_outside(
    sequencer: Sequencer,
) -> None:
    for _ in range(4):
        happen()
        sequencer.tick()
    happen()

    with CaptureQueriesContext(connection) as captured:
        sequencer.tick()

    (asked,) = [
        query["sql"] for query in captured if query["sql"].startswith("SELECT") and "audit_anchor" in query["sql"]
    ]
    assert "IN (4)" in asked
    assert list(Anchor.objects.order_by("size").values_list("size", flat=True)) == [1, 2, 3, 4]


def test_an_entry_without_private_data_has_none_stored_beside_it(sequencer: Sequencer) -> None:
    happen(by=Actor(kind="system", id="operator", via="command"))
    happen()

    sequencer.tick()

    assert list(IndexRow.objects.order_by("seq").values_list("seq", flat=True)) == [0, 1]
    assert list(Private.objects.values_list("seq", flat=True)) == [1]


def test_the_index_and_the_private_data_stand_beside_each_entry(sequencer: Sequencer) -> None:
    (receipt,) = happen()

    sequencer.tick()

    row = IndexRow.objects.get()
    assert (row.seq, row.writer, row.n, row.action, row.obj_name) == (0, receipt.writer, 0, "model.update", "credit")
    assert b"192.0.2.7" in bytes(Private.objects.get(seq=0).disclosures)
    assert b"192.0.2.7" not in store.read_bundle(0)[0]


def test_only_the_widest_partial_bundle_is_kept(sequencer: Sequencer) -> None:
    for count in (10, 20, 300):
        happen(count)
        sequencer.tick()

    assert list(Bundle.objects.order_by("n").values_list("n", "w")) == [(0, 256), (1, 74)]
    assert list(Tile.objects.values_list("level", "n")) == [(0, 0)]


def test_more_than_one_tick_holds_is_logged_by_the_next_ones(
    sequencer: Sequencer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequencing, "MAX_ROWS", 100)
    happen(250)

    assert [sequencer.tick() for _ in range(4)] == [100, 100, 50, 0]
    assert verify(deep=True).ok


def test_checkpoints_are_held_outside_and_the_database_notes_where(sequencer: Sequencer) -> None:
    for _ in range(2):
        happen()
        sequencer.tick()

    assert [line.size for line in state_journal().lines()] == [0, 1, 2]
    assert [line.size for line in anchor_journal().lines()] == [1, 2]
    assert list(Anchor.objects.values_list("size", "sink")) == [(1, "file")]


def test_a_checkpoint_that_a_kill_kept_from_the_state_file_is_put_there_at_the_next_start(ledger: Sequencer) -> None:
    path = state_journal().path
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]) + lines[-1][:20])

    Sequencer(keys.load_log_key()).start()

    assert [line.size for line in state_journal().lines()] == [0, 100, 400, 600]


def test_two_sequencers_follow_each_other(sequencer: Sequencer) -> None:
    other = Sequencer(keys.load_log_key())
    other.start()

    for turn in (sequencer, other, other, sequencer):
        happen(100)
        assert turn.tick() == 100

    assert sequencer.head.size == 400
    assert verify(deep=True).ok


def test_a_sequencer_that_finds_the_database_emptied_under_it_does_not_sign(ledger: Sequencer) -> None:
    from tests.audit.test_attacks import drop_every_row

    drop_every_row()
    happen()

    with pytest.raises(RefusesToSign, match="knows a ledger of 600 entries"):
        ledger.tick()
    assert not Checkpoint.objects.exists()


def test_what_a_rolled_back_action_recorded_is_not_logged(sequencer: Sequencer) -> None:
    with transaction.atomic():
        append(Action.MODEL_UPDATE, by=ALICE, obj=CREDIT)
        transaction.set_rollback(True)

    assert sequencer.tick() == 0


def test_an_action_whose_caller_waits_is_due_at_once(sequencer: Sequencer) -> None:
    happen()
    sequencer.tick()
    happen()
    waits = sequencer.is_due()

    happen(action=Action.VERSION_PROMOTE)

    assert (waits, sequencer.is_due()) == (False, True)


def test_initialising_twice_is_harmless(ledger: Sequencer) -> None:
    head = initialise()

    assert head == ledger.head
    assert verify(deep=True).ok


def test_an_empty_ledger_whose_state_file_was_never_written_is_initialised_again(sequencer: Sequencer) -> None:
    state_journal().path.unlink()

    assert initialise().size == 0
    assert [line.size for line in state_journal().lines()] == [0]


def test_initialising_does_not_make_a_lost_state_file_up_from_the_database(ledger: Sequencer) -> None:
    state_journal().path.unlink()

    with pytest.raises(RefusesToSign, match=r"state file .* is missing"):
        initialise()

    assert list(state_journal().lines()) == []


def test_initialising_an_empty_ledger_twice_writes_its_state_once(sequencer: Sequencer) -> None:
    initialise()

    assert [line.size for line in state_journal().lines()] == [0]


def test_a_new_database_beside_an_old_state_file_is_refused(ledger: Sequencer) -> None:
    old = state_journal().path.read_bytes()
    from tests.audit.test_attacks import drop_every_row

    drop_every_row()

    with pytest.raises(RefusesToSign, match="knows a ledger of 600 entries"):
        initialise()
    assert state_journal().path.read_bytes() == old


def test_a_sequencer_under_another_name_does_not_sign(ledger: Sequencer, settings: Settings) -> None:
    settings.AUDIT_LOG_ORIGIN = "countersign.test/another"

    with pytest.raises(RefusesToSign):
        Sequencer(keys.load_log_key()).start()


def test_a_checkpoint_that_covers_another_size_than_its_row_says_is_not_continued(ledger: Sequencer) -> None:
    newest = Checkpoint.objects.latest("size")
    Checkpoint.objects.create(size=601, t=newest.t, note=newest.note)

    with pytest.raises(RefusesToSign, match="do not give the root"):
        Sequencer(keys.load_log_key()).start()


def test_a_recovery_whose_entry_is_not_the_apps_signs_nothing(ledger: Sequencer) -> None:
    with transaction.atomic(), pytest.raises(RefusesToSign, match="refused the entry of the recovery"):
        ledger.continue_with(Row(1, "forged", b"{}", b"[]"), 600)

    assert Checkpoint.objects.latest("size").size == 600


def test_without_initialisation_there_is_a_sentence(db: None) -> None:
    keys.create_log_key()

    with pytest.raises(RefusesToSign, match="has not been initialised"):
        Sequencer(keys.load_log_key()).start()


@pytest.mark.django_db(transaction=True)
def test_a_caller_gets_the_place_of_its_entry_and_a_checkpoint_over_it() -> None:
    initialise()
    sequencer = Sequencer(keys.load_log_key())
    happen(3)
    (receipt,) = happen(action=Action.VERSION_PROMOTE)
    before = wait_until_sequenced(receipt, timeout_seconds=0)

    sequencer.start()
    sequencer.tick()

    placed = wait_until_sequenced(receipt)
    assert before is None
    assert placed is not None
    assert (placed.seq, placed.size) == (3, 4)
    assert open_checkpoint(placed.checkpoint, keys.origin(), keys.trusted_verifiers()).size == 4


@pytest.mark.django_db(transaction=True)
def test_waiting_inside_a_transaction_answers_at_once() -> None:
    with transaction.atomic():
        receipt = append(Action.VERSION_PROMOTE, by=ALICE, obj=CREDIT)

        assert wait_until_sequenced(receipt, timeout_seconds=60) is None


@pytest.mark.django_db(transaction=True)
def test_it_runs_until_it_is_told_to_stop_and_logs_what_is_left() -> None:
    initialise()
    happen(5)
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()

    Sequencer(keys.load_log_key()).run(stop)

    assert verify(deep=True).size == 5
    assert list(Anchor.objects.values_list("size", flat=True)) == [5]


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_only_one_of_two_sequencers_leads() -> None:
    initialise()
    happen(10)
    taken = list[int]()

    def tick() -> None:
        sequencer = Sequencer(keys.load_log_key())
        sequencer.start()
        taken.append(sequencer.tick())
        connection.close()

    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LEADER_LOCK])
        second = threading.Thread(target=tick)
        second.start()
        second.join()
    tick()

    assert taken == [0, 10]


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_an_entry_that_commits_late_is_logged_late_and_not_lost() -> None:
    initialise()
    sequencer = Sequencer(keys.load_log_key())
    sequencer.start()
    written, may_commit = threading.Event(), threading.Event()

    def slow() -> None:
        with transaction.atomic():
            append(Action.MODEL_UPDATE, by=ALICE, obj=CREDIT, why="slow")
            written.set()
            may_commit.wait(10)
        connection.close()

    thread = threading.Thread(target=slow)
    thread.start()
    written.wait(10)
    happen()
    first = sequencer.tick()
    may_commit.set()
    thread.join()

    assert (first, sequencer.tick()) == (1, 1)
    assert [Entry.parse(payload).why for payload in store.read_bundle(0)] == ["", "slow"]
    assert verify(deep=True).ok


def test_postgresql_takes_a_backlog_without_comparing_each_row_with_each_other(sequencer: Sequencer) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite takes the rows in two statements")
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE audit_pending")
    happen(300)

    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {intake._TAKE}", [200])
        plan = "\n".join(line for (line,) in cursor.fetchall())

    assert "Join" not in plan
    assert "Loop" not in plan
    ids = list(Pending.objects.order_by("id").values_list("id", flat=True))
    assert [row.id for row in intake.take(200)] == ids[:200]
