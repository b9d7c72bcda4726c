"""A key is replaced without a gap, and the replaced one is good for nothing that comes after."""

from __future__ import annotations

import threading
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from io import StringIO

import orjson
import pytest
import time_machine
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from audit import keys, store
from audit.actions import append_alone
from audit.commands import OPERATOR
from audit.entries import Entry
from audit.events import Action
from audit.keys import KeyRefused
from audit.models import IndexRow, Pending, Private
from audit.rotation import BOTH_SIGN_FOR, destroy_replaced_keys, record_mac_key, rotate_log_key
from audit.sequencer import Sequencer
from audit.verification import verify
from countersign.proof.note import NoteRefused, Signer, TreeHead, Verifier, open_checkpoint, open_note, sign_note
from tests.audit.conftest import ALICE, CREDIT, happen
from tests.audit.test_attacks import all_entries, codes, edited, rewrite_everything
from tests.audit.test_command import audit


def newest_note() -> str:
    latest = store.latest_checkpoint()
    assert latest is not None
    return latest.note


def entries_of(action: Action) -> list[Entry]:
    found = IndexRow.objects.filter(action=action).order_by("seq").values_list("seq", flat=True)
    return [Entry.parse(store.read_entry(seq) or b"") for seq in found]


def rotate(sequencer: Sequencer) -> tuple[Verifier, Verifier]:
    """The old and the new key, after a tick that signs with both."""
    old = keys.load_log_key().verifier
    new = rotate_log_key(by=OPERATOR, operator="Erin Osei")
    sequencer.tick()
    return old, new


def seven_days_later() -> datetime:
    return datetime.now(UTC) + BOTH_SIGN_FOR + timedelta(seconds=2)


def test_a_running_sequencer_signs_with_both_keys_from_the_next_checkpoint_on(ledger: Sequencer) -> None:
    old, new = rotate(ledger)

    assert TreeHead.parse(open_note(newest_note(), [old])).size == 601
    assert TreeHead.parse(open_note(newest_note(), [new])).size == 601
    assert newest_note().count("\n— ") == 2
    assert verify(deep=True).ok


def test_a_sequencer_that_starts_later_signs_with_both_too(ledger: Sequencer) -> None:
    rotate_log_key(by=OPERATOR, operator="Erin Osei")
    other = Sequencer(keys.load_log_key())
    other.start()

    other.tick()

    assert newest_note().count("\n— ") == 2


def test_the_rotation_is_an_entry_that_names_both_keys_and_conceals_who(ledger: Sequencer) -> None:
    old, new = rotate(ledger)

    (entry,) = entries_of(Action.KEY_ROTATE)
    assert entry.before == {"key": str(old), "until": 600}
    assert entry.after == {"key": str(new), "from": 601, "lost": False}
    assert b"Erin Osei" in bytes(Private.objects.get(seq=600).disclosures)


def test_old_checkpoints_count_by_the_old_key_and_later_ones_do_not(ledger: Sequencer) -> None:
    stolen = keys.load_log_key()
    rotate(ledger)
    at = [TreeHead(keys.origin(), size, bytes(32)) for size in (600, 601)]
    last, forged = (sign_note(head.text(), stolen) for head in at)

    assert keys.open_ours(last) == at[0]
    with pytest.raises(NoteRefused, match="no trusted key has signed"):
        keys.open_ours(forged)


def test_a_later_tree_signed_with_a_replaced_and_stolen_key_does_not_verify(ledger: Sequencer) -> None:
    stolen = keys.load_log_key()
    rotate(ledger)
    entries = all_entries()

    rewrite_everything([*entries[:-1], edited(entries[-1])], stolen)

    assert "signature" in codes(verify())


def test_the_new_key_signs_no_tree_from_before_its_time(ledger: Sequencer) -> None:
    rotate(ledger)
    backdated = sign_note(TreeHead(keys.origin(), 600, bytes(32)).text(), keys.load_log_key())

    with pytest.raises(NoteRefused, match="no trusted key"):
        keys.open_ours(backdated)


def test_a_key_with_a_range_counts_within_it_only(ledger: Sequencer) -> None:
    signer = keys.load_log_key()
    public = signer.verifier.public_key
    note = sign_note(TreeHead(keys.origin(), 7, bytes(32)).text(), signer)

    assert open_checkpoint(note, keys.origin(), [Verifier(keys.origin(), public, 7, 7)]).size == 7
    for first, last in ((0, 6), (8, None)):
        with pytest.raises(NoteRefused, match="no trusted key signs trees of 7"):
            open_checkpoint(note, keys.origin(), [Verifier(keys.origin(), public, first, last)])


def test_after_seven_days_the_old_key_is_destroyed_and_an_entry_says_so_once(ledger: Sequencer) -> None:
    old, _ = rotate(ledger)
    path = keys.replaced_file(old)
    before = (destroy_replaced_keys(), path.exists())

    with time_machine.travel(seven_days_later(), tick=False):
        destroyed = destroy_replaced_keys()
    ledger._minded_keys_at = float("-inf")
    ledger._mind_keys()
    ledger.tick()

    assert before == ([], True)
    assert destroyed == [old.key_id.hex()]
    assert not path.exists()
    (entry,) = entries_of(Action.KEY_DESTROY)
    assert (entry.obj_id, entry.actor_id) == (old.key_id.hex(), "sequencer")
    assert entry.after == {"key": str(old), "until": 600, "existed": True}
    with time_machine.travel(seven_days_later(), tick=False):
        assert destroy_replaced_keys() == []


@pytest.mark.django_db(transaction=True)
def test_the_sequencer_itself_destroys_the_key_and_then_signs_alone(sequencer: Sequencer) -> None:
    old, new = rotate(sequencer)
    stop = threading.Event()
    stop.set()

    with time_machine.travel(seven_days_later(), tick=False):
        sequencer._mind_keys()
    sequencer.run(stop)

    assert not keys.replaced_file(old).exists()
    assert newest_note().count("\n— ") == 1
    assert keys.open_ours(newest_note()).size == 2
    assert TreeHead.parse(open_note(newest_note(), [new])).size == 2


def test_a_second_rotation_waits_until_the_first_is_over(ledger: Sequencer) -> None:
    rotate(ledger)

    with pytest.raises(KeyRefused, match="still signs beside"):
        rotate_log_key(by=OPERATOR, operator="Erin Osei")


def test_a_rotation_killed_before_its_last_step_is_finished_by_whoever_loads_the_key(ledger: Sequencer) -> None:
    old_pem = keys.key_file().read_bytes()
    new = rotate_log_key(by=OPERATOR, operator="Erin Osei")
    keys.key_file().rename(keys.next_file())
    keys.key_file().write_bytes(old_pem)
    keys.key_file().chmod(0o600)

    assert keys.load_log_key().verifier.public_key == new.public_key
    assert not keys.next_file().exists()


def test_a_rotation_killed_before_its_public_line_changes_nothing(
    ledger: Sequencer, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = keys.load_log_key().verifier

    def killed(_lines: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(keys, "write_public_lines", killed)
        with pytest.raises(KeyboardInterrupt):
            rotate_log_key(by=OPERATOR, operator="Erin Osei")

    assert keys.load_log_key().verifier == old
    assert Pending.objects.count() == 0
    rotate(ledger)
    assert verify(deep=True).ok


def test_a_lost_key_is_replaced_only_when_it_is_said_to_be_lost(ledger: Sequencer) -> None:
    with pytest.raises(KeyRefused, match="leave --lost out"):
        rotate_log_key(by=OPERATOR, operator="Erin Osei", lost=True)
    keys.key_file().unlink()
    with pytest.raises(KeyRefused, match="is missing"):
        rotate_log_key(by=OPERATOR, operator="Erin Osei")

    rotate_log_key(by=OPERATOR, operator="Erin Osei", lost=True)
    ledger.tick()

    assert newest_note().count("\n— ") == 1
    assert verify(deep=True).ok


def test_the_command_says_the_new_key(ledger: Sequencer) -> None:
    out = StringIO()

    call_command("audit", "rotate-key", "--by", "erin", stdout=out)

    assert f"The new public key is {keys.load_log_key().verifier}" in out.getvalue()
    assert "beside it for 7 days" in out.getvalue()
    with pytest.raises(CommandError, match="still signs beside"):
        call_command("audit", "rotate-key")


def test_rows_under_an_old_mac_key_drain_and_the_change_is_recorded_once(ledger: Sequencer, settings: Settings) -> None:
    append_alone(Action.MODEL_UPDATE, by=ALICE, obj=CREDIT)
    settings.AUDIT_OLD_MAC_KEYS = {"1": settings.AUDIT_MAC_KEY}
    settings.AUDIT_MAC_KEY, settings.AUDIT_MAC_KEY_ID = b"another key", "2"
    happen()

    record_mac_key()
    ledger.tick()
    record_mac_key()

    assert Pending.objects.count() == 0
    (entry,) = entries_of(Action.KEY_ROTATE)
    assert (entry.obj_kind, entry.before, entry.after) == ("mac_key", {"id": "1"}, {"id": "2"})
    assert verify(deep=True).ok


def test_the_public_key_that_is_printed_is_the_whole_key(ledger: Sequencer) -> None:
    signer: Signer = keys.load_log_key()

    assert b64encode(b"\x01" + signer.verifier.public_key).decode() in str(signer.verifier)


# The first key.


def test_making_the_keys_is_the_ledgers_first_entry(db: None) -> None:
    audit("init")
    audit("init")
    happen(2)
    sequencer = Sequencer(keys.load_log_key())
    sequencer.start()

    assert sequencer.tick() == 3

    (first,) = entries_of(Action.KEY_CREATE)
    (key,) = keys.trusted_verifiers()
    assert IndexRow.objects.get(action=Action.KEY_CREATE).seq == 0
    assert first.obj_id == key.key_id.hex()
    assert first.after == {"key": str(key), "mac_key": "1"}
    assert verify(deep=True).problems == ()


def test_a_ledger_from_before_stays_as_it_is(ledger: Sequencer) -> None:
    audit("init")

    assert Pending.objects.count() == 0


def test_what_happened_before_the_ledger_began_does_not_keep_the_first_key_off_the_record(db: None) -> None:
    happen(1)
    audit("init")

    actions = [orjson.loads(bytes(row.payload))["action"] for row in Pending.objects.order_by("id")]
    assert actions == ["model.update", "key.create"]
