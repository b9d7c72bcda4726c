"""Old entries leave the database for files and stay part of the ledger; what is missing or changed there is said in words."""

from __future__ import annotations

import io
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import Settings

from access.models import User
from audit import archive, archiving, keys, store
from audit.archiving import NotArchivable, archive_entries, due
from audit.bundle import NotExportable, export_bundle
from audit.commands import OPERATOR
from audit.entries import Entry
from audit.merkle import root_of
from audit.models import Archived, Bundle, IndexRow, Pending, Private, Tile
from audit.receipts import NotProvable, forget_tiles, issue_receipt
from audit.sequencer import Sequencer
from audit.standalone import verify as standalone
from audit.tiles import decode_bundle
from audit.verification import verify
from countersign.proof.merkle import leaf_hash
from countersign.proof.receipts import verify_receipt
from tests.audit.conftest import ALICE, happen
from tests.audit.test_attacks import (
    codes,
    database_owner,
    delete_a_tile,
    edit_an_entry,
    edit_an_entry_and_its_tile,
)
from tests.audit.test_command import audit
from tests.audit.test_crash import ROOT, environment, python
from tests.audit.test_triggers import refused


@pytest.fixture(autouse=True)
def no_tiles_of_another_test() -> None:
    forget_tiles()


def file_of(n: int) -> Path:
    return archive.folder() / archive.name_of(n)


def archived(before: int = 600, *, drop_disclosures: bool = False) -> None:
    archive_entries(before, operator="Erin Osei", by=OPERATOR, drop_disclosures=drop_disclosures)


def in_the_database() -> list[int]:
    return list(Bundle.objects.order_by("n").values_list("n", flat=True))


def forge_the_row(n: int, root: bytes) -> None:
    Archived.objects.create(n=n, root=root, sha256=bytes(32))


# What moves, and what stays.


def test_entries_move_to_files_and_are_the_same_entries(ledger: Sequencer) -> None:
    before = [store.read_entry(seq) for seq in range(600)]

    archived()

    assert in_the_database() == [2]
    assert [store.read_entry(seq) for seq in range(600)] == before
    assert (Tile.objects.count(), IndexRow.objects.count(), Private.objects.count()) == (2, 600, 600)


def test_the_folder_is_a_logs_tree_of_entries_once_unpacked(ledger: Sequencer) -> None:
    entries = store.read_bundle(1)

    archived()

    files = sorted(
        path.relative_to(archive.folder()).as_posix() for path in archive.folder().rglob("*") if path.is_file()
    )
    assert files == ["tile/entries/000.zst", "tile/entries/001.zst"]
    assert decode_bundle(store.unpack(file_of(1).read_bytes())) == entries


@pytest.mark.parametrize(("before", "left"), [(0, 3), (255, 3), (256, 2), (511, 2), (600, 1), (10**9, 1)])
def test_only_full_bundles_before_the_size_leave_and_never_the_newest(
    ledger: Sequencer, before: int, left: int
) -> None:
    archived(before)

    assert len(in_the_database()) == left
    assert verify(deep=True).ok


def test_the_newest_bundle_stays_also_where_it_is_full(sequencer: Sequencer) -> None:
    happen(512)
    sequencer.tick()

    archived()
    happen(1)
    sequencer.tick()

    assert in_the_database() == [1, 2]
    assert verify(deep=True).ok


def test_the_ledger_grows_and_is_archived_on(ledger: Sequencer) -> None:
    archived()
    happen(300)
    ledger.tick()
    archived(10**9)
    restarted = Sequencer(keys.load_log_key())

    restarted.start()

    assert restarted.head.size == 901
    assert in_the_database() == [3]
    assert verify(deep=True).ok
    assert verify(since=400).ok


def test_archiving_is_an_entry_that_says_what_was_moved(ledger: Sequencer) -> None:
    archived()

    entry = Entry.parse(bytes(Pending.objects.get().payload))
    assert (entry.action, entry.actor_id) == ("ledger.archive", "operator")
    assert entry.after == {
        "first": 0,
        "end": 512,
        "bundles": 2,
        "disclosures_dropped": 0,
        "size": 600,
        "root": ledger.head.root.hex(),
    }
    assert b"Erin" not in bytes(Pending.objects.get().payload)


def test_a_second_time_moves_and_records_nothing(ledger: Sequencer) -> None:
    archived()

    archived()

    assert Pending.objects.count() == 1


def test_two_at_once_record_it_once(ledger: Sequencer, monkeypatch: pytest.MonkeyPatch) -> None:
    def after_another(*arguments: Any) -> None:
        monkeypatch.setattr(archiving, "_let_go", let_go)
        archived()
        let_go(*arguments)

    let_go = archiving._let_go
    monkeypatch.setattr(archiving, "_let_go", after_another)

    archived()

    assert (in_the_database(), Pending.objects.count()) == ([2], 1)


def test_personal_data_beside_it_stays_unless_it_is_to_go(ledger: Sequencer) -> None:
    archived()
    assert Private.objects.count() == 600

    archived(drop_disclosures=True)

    assert Private.objects.count() == 88
    assert [Entry.parse(bytes(row.payload)).after["disclosures_dropped"] for row in Pending.objects.order_by("id")] == [
        0,
        512,
    ]
    assert verify(deep=True).ok


# What reads entries reads the files.


def test_receipts_exports_and_pages_cover_what_was_archived(
    ledger: Sequencer, client_for: Callable[[User], Client], dave: User
) -> None:
    whole = b"".join(export_bundle(by=ALICE, with_disclosures=True).chunks)
    receipt = issue_receipt(17).encode()

    archived()

    forget_tiles()
    assert issue_receipt(17).encode() == receipt
    assert verify_receipt(receipt, keys.trusted_verifiers()).seq == 17
    assert b"".join(export_bundle(by=ALICE, with_disclosures=True).chunks) == whole
    report, _ = standalone.check_bundle(io.BytesIO(whole), [standalone.parse_key(str(keys.trusted_verifiers()[0]))], [])
    assert report.problems == []
    assert "model.update" in client_for(dave).get(reverse("audit:entry", args=[17])).content.decode()


def test_the_index_is_rebuilt_from_the_files(ledger: Sequencer) -> None:
    archived()
    IndexRow.objects.filter(seq=3).delete()

    audit("reindex")

    assert verify(deep=True).ok


# A file that is missing or changed.


def lose_the_file() -> None:
    file_of(0).unlink()


def lose_the_folder() -> None:
    shutil.rmtree(archive.folder())


def empty_the_file() -> None:
    file_of(0).write_bytes(b"")


def damage_the_file() -> None:
    content = bytearray(file_of(0).read_bytes())
    content[100] ^= 1
    file_of(0).write_bytes(content)


def put_another_bundle_there() -> None:
    file_of(0).write_bytes(file_of(1).read_bytes())


def put_a_folder_there() -> None:
    file_of(0).unlink()
    file_of(0).mkdir()


LOSSES = [
    (lose_the_file, "the archive file tile/entries/000.zst is missing"),
    (lose_the_folder, "the archive file tile/entries/000.zst is missing"),
    (empty_the_file, "the archive file tile/entries/000.zst is not what was archived"),
    (damage_the_file, "the archive file tile/entries/000.zst is not what was archived"),
    (put_another_bundle_there, "the archive file tile/entries/000.zst is not what was archived"),
    (put_a_folder_there, "the archive file tile/entries/000.zst cannot be read"),
]


@pytest.mark.parametrize(("deed", "words"), LOSSES, ids=lambda value: getattr(value, "__name__", None))
def test_a_file_that_is_missing_or_changed_is_a_problem_in_words(
    ledger: Sequencer, client_for: Callable[[User], Client], dave: User, deed: Callable[[], None], words: str
) -> None:
    archived()
    deed()

    result = verify(deep=True)

    assert codes(result) == {"bundle"}
    assert words in result.problems[0].sentence
    with pytest.raises(NotProvable, match=words):
        issue_receipt(17)
    with pytest.raises(NotExportable, match=words):
        b"".join(export_bundle(by=ALICE).chunks)
    with pytest.raises(CommandError, match=words):
        audit("reindex")
    assert client_for(dave).get(reverse("audit:log")).status_code == 200
    assert client_for(dave).get(reverse("audit:entry", args=[17])).status_code == 404


def test_a_changed_file_whose_row_was_changed_too_does_not_give_the_signed_root(ledger: Sequencer) -> None:
    archived()
    entries = store.read_bundle(0)
    forged = store.compress([*entries[:7], entries[8], entries[7], *entries[9:]])
    file_of(0).write_bytes(forged)
    with database_owner() as run:
        run("UPDATE audit_archived SET sha256 = %s WHERE n = 0", sha256(forged).digest())

    assert "root" in codes(verify())


def test_a_row_without_a_file_does_not_hide_that_entries_are_gone(ledger: Sequencer) -> None:
    root = root_of(b"".join(leaf_hash(entry) for entry in store.read_bundle(0)))
    forge_the_row(0, root)

    assert not refused("DELETE FROM audit_bundle WHERE n = 0")

    result = verify()
    assert codes(result) == {"bundle"}
    assert "is missing" in result.problems[0].sentence


# What does not leave.


@pytest.mark.parametrize("attack", [edit_an_entry, edit_an_entry_and_its_tile, delete_a_tile])
def test_what_is_not_as_it_was_signed_stays(ledger: Sequencer, attack: Callable[[], None]) -> None:
    attack()

    with pytest.raises(NotArchivable, match=r"from 0 on stay in the database"):
        archived()
    assert in_the_database() == [0, 1, 2]


def test_a_full_bundle_is_not_deleted_unless_it_is_archived(ledger: Sequencer) -> None:
    assert refused("DELETE FROM audit_bundle WHERE n = 0")

    forge_the_row(0, bytes(32))

    assert refused("DELETE FROM audit_bundle WHERE n = 0")
    assert refused("DELETE FROM audit_archived")
    assert refused("UPDATE audit_archived SET n = n")
    assert refused("DELETE FROM audit_bundle WHERE n = 1")


def test_each_bundle_goes_by_its_own_row_and_its_own_root(ledger: Sequencer) -> None:
    root = root_of(b"".join(leaf_hash(entry) for entry in store.read_bundle(0)))
    archived(256)

    assert in_the_database() == [1, 2]
    assert refused("DELETE FROM audit_bundle WHERE n = 1")

    forge_the_row(1, root)

    assert refused("DELETE FROM audit_bundle WHERE n = 1")


def test_what_the_database_says_was_archived_is_not_contradicted(ledger: Sequencer) -> None:
    forge_the_row(0, bytes(32))

    with pytest.raises(NotArchivable, match="says that other entries were archived"):
        archived()


def test_another_file_under_the_name_is_not_overwritten(ledger: Sequencer) -> None:
    file_of(1).parent.mkdir(parents=True)
    file_of(1).write_bytes(b"somebody's")

    with pytest.raises(NotArchivable, match=r"001\.zst is in the archive already and holds something else"):
        archived()
    assert file_of(1).read_bytes() == b"somebody's"
    assert in_the_database() == [0, 1, 2]


def test_what_was_read_again_counts_and_not_what_was_written(
    ledger: Sequencer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that returns something else than it took."""
    write_file = archive.write_file

    def write_and_rot(n: int, content: bytes) -> None:
        write_file(n, content)
        file_of(n).write_bytes(store.compress(store.read_bundle(1 - n)))

    monkeypatch.setattr(archive, "write_file", write_and_rot)

    with pytest.raises(NotArchivable, match="not the ones that were signed"):
        archived()
    assert in_the_database() == [0, 1, 2]


def test_a_full_disk_leaves_everything_as_it_was(ledger: Sequencer, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "no-folder").write_bytes(b"")
    settings.AUDIT_ARCHIVE_DIR = tmp_path / "no-folder"

    with pytest.raises(NotArchivable, match="from 0 on stay in the database"):
        archived()
    assert in_the_database() == [0, 1, 2]


# The command.


def test_without_yes_nothing_moves(ledger: Sequencer) -> None:
    said = audit("archive", "--before", "600")

    assert "To move, with --yes: 512 entries in 2 files" in said
    assert "600 rows" not in said
    assert "512 rows of personal data kept" in said
    assert in_the_database() == [0, 1, 2]
    assert not archive.folder().exists()


def test_the_command_moves_and_says_so(ledger: Sequencer) -> None:
    assert "Moved: 512 entries in 2 files" in audit(
        "archive", "--before", "600", "--to", str(archive.folder()), "--yes"
    )
    assert "Nothing to archive before entry 600" in audit("archive", "--before", "600", "--yes")
    assert verify(deep=True).ok


def test_a_folder_that_nobody_would_read_from_is_refused(ledger: Sequencer, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="Set COUNTERSIGN_LEDGER_ARCHIVE="):
        audit("archive", "--before", "600", "--to", str(tmp_path / "elsewhere"), "--yes")
    assert in_the_database() == [0, 1, 2]


def test_a_day_means_the_entries_before_it(ledger: Sequencer) -> None:
    today = datetime.now(UTC)

    assert "Nothing to archive before entry 0" in audit("archive", "--before", f"{today:%Y-%m-%d}", "--yes")
    assert due(600).entries == 512
    assert "512 entries" in audit("archive", "--before", f"{today + timedelta(days=1):%Y-%m-%d}")
    with pytest.raises(CommandError, match="a number of entries, or a day"):
        audit("archive", "--before", "yesterday")


def test_a_ledger_that_was_never_initialised_has_nothing_to_archive(db: None) -> None:
    with pytest.raises(CommandError, match="has not been initialised"):
        audit("archive", "--before", "600", "--yes")


# Killed anywhere, it is done again.

POINTS = ("unfinished", "named", "filed", "gone", "appended", "committed")


@pytest.mark.story
@pytest.mark.django_db(transaction=True)
def test_killed_at_any_point_it_is_run_again_and_nothing_is_lost(tmp_path: Path) -> None:
    python(tmp_path, "django", "migrate", "audit", "-v0")
    python(tmp_path, "tests.audit.archive_killed", "fill")

    for point in POINTS:
        done = subprocess.run(
            [sys.executable, "-m", "tests.audit.archive_killed", point],
            env=environment(tmp_path),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr

    assert "left 1 3 1\n" in python(tmp_path, "tests.audit.archive_killed", "left")


def test_status_says_what_is_archived_and_which_file_is_not_there(ledger: Sequencer) -> None:
    before = audit("status")
    archived()
    after = audit("status")
    file_of(1).unlink()

    assert "archived" not in before
    assert f"Entries up to 512 were archived in {archive.folder()}." in after
    with pytest.raises(CommandError, match=r"Missing from the archive .*: tile/entries/001.zst\."):
        audit("status")
    shutil.rmtree(archive.folder())
    with pytest.raises(CommandError, match=r"tile/entries/000.zst and 1 more\."):
        audit("status")
