"""After a loss the ledger goes on only in exact words, under another name, and never stops telling what was lost."""

from __future__ import annotations

import pytest
from django.core.management import CommandError
from django.db.models import Model

from audit import keys, store, writer
from audit.anchors.configured import anchor_journal, state_journal
from audit.commands import OPERATOR
from audit.entries import Entry
from audit.journal import Line
from audit.models import Anchor, Bundle, Checkpoint, IndexRow, Pending, Private, Tile
from audit.recovery import NotRecoverable, assess, recover
from audit.rotation import rotate_log_key
from audit.sequencer import RefusesToSign, Sequencer
from audit.verification import verify
from countersign.proof.note import NoteRefused, TreeHead, sign_note
from tests.audit.conftest import happen
from tests.audit.test_attacks import (
    codes,
    database_owner,
    delete_a_tile,
    drop_every_row,
    edit_the_newest_entry,
    edited,
    put_bundle,
    rewrite_with_the_stolen_key,
    truncate_to_an_older_head,
)
from tests.audit.test_command import audit

REASON = "The disk of the database died; the newest backup is of last night."


TABLES = (Bundle, Tile, Checkpoint, Anchor, IndexRow, Private, Pending)


def restore_an_old_backup() -> None:
    """The database ends at 400 entries, where 600 were signed; every process was restarted."""
    truncate_to_an_older_head()
    restart()


def restart() -> None:
    """New processes write under new names."""
    writer._thread.__dict__.clear()
    writer._free.clear()


def back_up() -> list[list[Model]]:
    """Every row of the ledger."""
    return [list(table._default_manager.all()) for table in TABLES]


def restore(backup: list[list[Model]]) -> None:
    """The rows as they were, and nothing since."""
    with database_owner() as run:
        for table, rows in zip(TABLES, backup, strict=True):
            run(f"DELETE FROM {table._meta.db_table}")
            table._default_manager.bulk_create(rows)
    restart()


def recovered(size: int = 400) -> Sequencer:
    recover(accept_loss=size, reason=REASON, operator="Erin Osei", by=OPERATOR)
    sequencer = Sequencer(keys.load_log_key())
    sequencer.start()
    return sequencer


def test_looking_changes_nothing_and_says_what_is_lost(ledger: Sequencer) -> None:
    root = ledger.head.root.hex()
    restore_an_old_backup()

    told = audit("recover")

    assert "The database holds 400 entries, whole and signed" in told
    assert (
        f"Lost: 200 entries of countersign.test/ledger; line 4 of state holds the head over 600 of them, root {root}."
        in told
    )
    assert "manage.py audit recover --accept-loss 400 --reason" in told
    with pytest.raises(RefusesToSign):
        Sequencer(keys.load_log_key()).start()


def test_the_ledger_goes_on_under_another_name_and_signs(ledger: Sequencer) -> None:
    restore_an_old_backup()

    sequencer = recovered()
    happen(3)
    sequencer.tick()

    assert sequencer.head.origin == "countersign.test/ledger/continued-2"
    assert sequencer.head.size == 404
    assert verify(deep=True).ok


def test_the_first_entry_of_the_continuation_states_the_old_head_and_why(ledger: Sequencer) -> None:
    old = state_journal().lines()[-1]
    restore_an_old_backup()
    happen(2)

    recovered()

    entry = Entry.parse(store.read_entry(400) or b"")
    assert entry.action == "ledger.recover"
    assert entry.after["reason"] == REASON
    assert entry.after["lost"] == [
        {
            "origin": "countersign.test/ledger",
            "size": 600,
            "root": TreeHead.parse(old.note.partition("\n\n")[0] + "\n").root.hex(),
            "note": old.note,
        }
    ]
    assert Pending.objects.count() == 2


def test_verification_tells_the_gap_ever_after(ledger: Sequencer) -> None:
    restore_an_old_backup()
    sequencer = recovered()
    happen(300)
    sequencer.tick()

    result = verify(deep=True)

    assert result.ok
    assert result.remarks == (
        "The ledger was recovered at 400 entries; given up: 200 entries of countersign.test/ledger, up to 600. "
        f"Entry 400 states it and why: {REASON}",
    )
    assert "given up: 200 entries" in audit("verify")
    assert "given up: 200 entries" in verify(since=400).remarks[0]


@pytest.mark.parametrize("size", [0, 399, 401, 600, 200])
def test_only_the_exact_size_is_accepted(ledger: Sequencer, size: int) -> None:
    restore_an_old_backup()

    with pytest.raises(CommandError, match=f"the number of entries that are kept, 400, not {size}"):
        audit("recover", "--accept-loss", str(size), "--reason", REASON)
    assert keys.origin() == "countersign.test/ledger"
    assert Pending.objects.count() == 0


@pytest.mark.parametrize("reason", ["", "   ", "oops", "          .    "])
def test_a_reason_is_asked_for(ledger: Sequencer, reason: str) -> None:
    restore_an_old_backup()

    with pytest.raises(CommandError, match="at least 10 characters"):
        audit("recover", "--accept-loss", "400", "--reason", reason)


def test_the_command_recovers_and_says_the_new_name_and_key(ledger: Sequencer) -> None:
    restore_an_old_backup()

    told = audit("recover", "--accept-loss", "400", "--reason", REASON, "--by", "erin")

    assert "continues as countersign.test/ledger/continued-2; its entry 400 states what was lost" in told
    assert str(keys.trusted_verifiers()[-1]) in told
    assert "continued-2 is ready; it holds 401 entries" in audit("init")


def test_where_the_sequencer_signs_there_is_nothing_to_recover(ledger: Sequencer) -> None:
    with pytest.raises(CommandError, match="there is nothing to recover"):
        audit("recover")


def test_a_ledger_that_never_was_is_not_recovered(db: None) -> None:
    keys.create_log_key()

    with pytest.raises(NotRecoverable, match="has not been initialised"):
        assess()


@pytest.mark.parametrize("attack", [edit_the_newest_entry, delete_a_tile, rewrite_with_the_stolen_key])
def test_what_was_changed_is_not_made_good_by_a_recovery(ledger: Sequencer, attack: object) -> None:
    assert callable(attack)
    attack()

    with pytest.raises(NotRecoverable, match="restore a backup"):
        assess()


def test_a_lost_state_file_is_recovered_from_and_said(ledger: Sequencer) -> None:
    state_journal().path.unlink()

    assert "No checkpoint outside the database covers more" in audit("recover")
    recovered(600)

    result = verify(deep=True)
    assert result.ok
    assert "it is not known whether anything was lost" in result.remarks[0]


def test_with_the_state_file_and_entries_lost_the_other_sinks_say_how_much(ledger: Sequencer) -> None:
    restore_an_old_backup()
    state_journal().path.unlink()

    (lost,) = assess().lost

    assert (lost.head.size, lost.place) == (600, "line 3 of checkpoints")


def test_an_empty_database_is_continued_from_nothing(ledger: Sequencer) -> None:
    drop_every_row()
    restart()

    sequencer = recovered(0)

    assert sequencer.head.size == 1
    assert verify(deep=True).ok
    assert "given up: 600 entries" in verify().remarks[0]


def test_a_head_larger_than_what_was_stated_is_a_problem(ledger: Sequencer) -> None:
    forgotten = state_journal().lines()[-1]
    happen(10)
    ledger.tick()
    newest = state_journal().lines()[-1]
    restore_an_old_backup()
    for journal in (state_journal(), anchor_journal()):
        journal.path.write_bytes(b"".join(journal.path.read_bytes().splitlines(keepends=True)[:-1]))
    recovered()

    anchor_journal().append(forgotten)
    fine = verify()
    anchor_journal().append(newest)

    assert fine.ok
    # Signed with the old name for more entries than it is known to have had: its key does not count there.
    assert codes(verify()) == {"signature"}


def test_the_old_name_signs_nothing_more_not_even_with_its_key(ledger: Sequencer) -> None:
    signer = keys.load_log_key()
    restore_an_old_backup()
    recovered()

    with pytest.raises(NoteRefused):
        keys.open_ours(sign_note(TreeHead(signer.name, 601, bytes(32)).text(), signer))


def test_a_loss_whose_statement_is_gone_is_not_passed_over(ledger: Sequencer) -> None:
    restore_an_old_backup()
    recovered()
    entries = store.read_bundle(1)
    put_bundle(1, [*entries[:-1], edited(entries[-1]).replace(b"ledger.recover", b"model.updatedx")])

    assert {"cut-short", "root"} <= codes(verify())


def test_a_statement_of_another_root_does_not_cover_the_head(ledger: Sequencer) -> None:
    signer = keys.load_log_key()
    other = sign_note(TreeHead(keys.origin(), 600, bytes(32)).text(), signer)
    restore_an_old_backup()
    recovered()

    anchor_journal().append(Line(1, 600, other))

    assert codes(verify()) == {"cut-short"}


def test_a_second_loss_that_takes_the_first_statement_with_it_states_both(sequencer: Sequencer) -> None:
    backups = []
    for count in (100, 300, 200):
        happen(count)
        sequencer.tick()
        backups.append(back_up())
    restore(backups[1])
    sequencer = recovered(400)
    happen(20)
    sequencer.tick()
    restore(backups[0])

    sequencer = recovered(100)

    result = verify(deep=True)
    assert result.ok
    assert sequencer.head.origin.endswith("/continued-3")
    assert (
        "500 entries of countersign.test/ledger, up to 600; 321 entries of countersign.test/ledger/continued-2"
        in (result.remarks[0])
    )


def test_a_recovery_killed_after_the_keys_were_written_is_repeated_under_the_next_name(
    ledger: Sequencer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(_sequencer: Sequencer, _row: object, _size: int) -> None:
        raise KeyboardInterrupt

    restore_an_old_backup()
    with monkeypatch.context() as patch:
        patch.setattr(Sequencer, "continue_with", killed)
        with pytest.raises(KeyboardInterrupt):
            recovered()
    before = (Checkpoint.objects.count(), Pending.objects.count(), Bundle.objects.count())

    sequencer = recovered()

    assert before[1] == 0
    assert sequencer.head.origin.endswith("/continued-3")
    assert verify(deep=True).ok


def test_keys_are_rotated_after_a_recovery_as_before(ledger: Sequencer) -> None:
    restore_an_old_backup()
    sequencer = recovered()

    rotate_log_key(by=OPERATOR, operator="Erin Osei")
    sequencer.tick()

    assert verify(deep=True).ok
    assert keys.origin().endswith("/continued-2")
