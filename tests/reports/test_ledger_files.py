"""The page /verify/ given a receipt or an offline bundle of the ledger: words for what holds, for what does not, and for hostile files."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile, TemporaryUploadedFile
from django.test import Client

from audit import keys
from audit.bundle import SCRIPT, export_bundle
from audit.receipts import forget_tiles, issue_receipt
from audit.sequencer import Sequencer
from audit.standalone.verify import check_bundle
from countersign.proof.note import TreeHead, sign_note
from foundation.refusals import TooLarge, Unavailable
from reports import ledger_files
from reports.ledger_files import check_receipt, check_uploaded_bundle
from tests.audit.conftest import ALICE, ledger, ledger_of_its_own, sequencer
from tests.audit.test_attacks import (
    all_entries,
    drop_every_row,
    edit_an_entry_and_its_tile,
    rewrite_with_the_stolen_key,
    store_garbage,
    truncate_to_an_older_head,
)
from tests.audit.test_bundle import (
    ATTACKS,
    Files,
    forge_with_the_stolen_key,
    packed,
    unpacked,
)

__all__ = ["ledger", "ledger_of_its_own", "sequencer"]


@pytest.fixture(autouse=True)
def no_tiles_of_another_test() -> None:
    forget_tiles()


def exported() -> bytes:
    return b"".join(export_bundle(by=ALICE, with_disclosures=True).chunks)


def test_a_receipt_is_explained_in_words(ledger: Sequencer) -> None:
    found = check_receipt(issue_receipt(17).encode().decode())

    assert found.good
    assert found.sentence == "This receipt holds: entry 17 is in the ledger, exactly as it is in the file."
    assert [one.holds for one in found.checks] == [True] * 4
    assert "model.update (done) on model credit, by person a1" in found.checks[-1].sentence
    assert found.key == keys.trusted_verifiers()[0].key_id.hex()


def test_an_altered_receipt_does_not_hold(ledger: Sequencer) -> None:
    found = check_receipt(issue_receipt(17).encode().decode().replace("index 17", "index 18"))

    assert not found.good
    assert "does not lead from the entry" in found.sentence


@pytest.mark.parametrize(
    ("attack", "sentence"),
    [
        (edit_an_entry_and_its_tile, "no longer gives what was signed"),
        (rewrite_with_the_stolen_key, "no longer gives what was signed"),
        (truncate_to_an_older_head, "it was cut short"),
        (drop_every_row, "it was cut short"),
    ],
)
def test_a_receipt_tells_on_a_ledger_that_was_changed_since(
    ledger: Sequencer, attack: Callable[[], None], sentence: str
) -> None:
    receipt = issue_receipt(7).encode().decode()
    attack()

    found = check_receipt(receipt)

    assert not found.good
    assert "no longer gives what it signed" in found.sentence
    assert sentence in found.checks[2].sentence


def test_a_good_bundle_holds(ledger: Sequencer) -> None:
    tar = exported()

    found = check_uploaded_bundle(io.BytesIO(tar), len(tar))

    assert found.good
    assert found.sentence == "This bundle holds: 600 entries, all as they were signed."
    assert "still gives this root" in found.checks[-1].sentence


@pytest.mark.parametrize(("attack", "sentence"), ATTACKS, ids=lambda value: getattr(value, "__name__", None))
def test_the_page_says_of_an_altered_bundle_what_verify_py_says(
    ledger: Sequencer, attack: Callable[[Files], Files], sentence: str
) -> None:
    tar = packed(attack(unpacked(exported())))

    found = check_uploaded_bundle(io.BytesIO(tar), len(tar))

    assert not found.good
    assert any(sentence in one.sentence for one in found.checks)


def test_a_bundle_made_with_the_stolen_key_is_not_this_ledger(ledger: Sequencer) -> None:
    tar = packed(forge_with_the_stolen_key(unpacked(exported())))

    found = check_uploaded_bundle(io.BytesIO(tar), len(tar))

    assert not found.good
    assert "no longer gives what was signed" in found.checks[-1].sentence


def test_a_ledger_that_cannot_be_read_today_is_said_to_be_that(ledger: Sequencer) -> None:
    tar = exported()
    store_garbage()

    found = check_uploaded_bundle(io.BytesIO(tar), len(tar))

    assert not found.good
    assert "This installation's ledger cannot be read: a bundle cannot be unpacked" in found.checks[-1].sentence


def test_without_public_keys_nothing_is_said_to_hold(ledger: Sequencer) -> None:
    tar, receipt = exported(), issue_receipt(17).encode().decode()
    keys.key_file().with_suffix(".pub").unlink()

    with pytest.raises(Unavailable, match=r"public key ledger-key\.pub is missing"):
        check_receipt(receipt)
    with pytest.raises(Unavailable):
        check_uploaded_bundle(io.BytesIO(tar), len(tar))
    assert Client().get("/verify/ledger.pub").status_code == 503


def test_more_than_a_page_should_check_is_refused_unread(ledger: Sequencer) -> None:
    with pytest.raises(TooLarge, match="up to 32 MB"):
        check_uploaded_bundle(io.BytesIO(), ledger_files.LARGEST_BUNDLE_BYTES + 1)


def test_anybody_may_paste_a_receipt_or_upload_it(ledger: Sequencer) -> None:
    receipt = issue_receipt(17).encode()

    pasted = Client().post("/verify/", {"text": receipt.decode().replace("\n", "\r\n")})
    uploaded = Client().post("/verify/", {"file": SimpleUploadedFile("17.tlog-proof", receipt)})

    for page in (pasted, uploaded):
        assert page.status_code == 200
        assert "This receipt holds: entry 17" in page.content.decode()


def test_a_bundle_is_uploaded_to_a_file_and_not_kept(ledger: Sequencer, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    tar = exported() + bytes(3_000_000)

    def look(file: Any, *rest: Any) -> Any:
        seen.append(file)
        return check_bundle(file, *rest)

    monkeypatch.setattr(ledger_files, "check_bundle", look)

    page = Client().post("/verify/", {"file": SimpleUploadedFile("ledger.tar", tar)})

    assert "This bundle holds: 600 entries" in page.content.decode()
    assert isinstance(seen[0], TemporaryUploadedFile)
    assert seen[0].closed


def test_a_hostile_archive_is_said_to_be_one(ledger: Sequencer) -> None:
    tar = packed({"../../etc/cron.d/x": b"x"})

    page = Client().post("/verify/", {"file": SimpleUploadedFile("ledger.tar", tar)})

    assert page.status_code == 200
    assert "which is not a plain file of a bundle" in page.content.decode()


def test_the_script_and_the_keys_can_be_had_without_an_account(ledger: Sequencer) -> None:
    script, public = Client().get("/verify/verify.py"), Client().get("/verify/ledger.pub")

    assert script.content == SCRIPT.read_bytes()
    assert str(keys.trusted_verifiers()[0]) in public.content.decode()


def test_a_receipt_under_a_root_that_this_ledger_never_had_is_said_to_be_false(ledger: Sequencer) -> None:
    """Signed with the real key over a ledger of one forged entry: the signature holds, the ledger does not."""
    from countersign.proof.merkle import leaf_hash
    from countersign.proof.receipts import EntryReceipt

    payload = all_entries()[3]
    note = sign_note(TreeHead(keys.origin(), 1, leaf_hash(payload)).text(), keys.load_log_key())

    found = check_receipt(EntryReceipt(0, payload, (), note).encode().decode())

    assert not found.good
    assert [one.holds for one in found.checks] == [True, True, False, True]
