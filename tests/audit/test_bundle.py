"""The offline bundle and `verify.py`, run as an outsider runs it: its own process, no site-packages but `cryptography`."""

from __future__ import annotations

import ast
import io
import json
import random
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import cryptography
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.management import CommandError
from django.test import Client
from django.urls import reverse

from access.models import User
from audit import keys
from audit.anchors.configured import state_journal
from audit.bundle import SCRIPT, NotExportable, export_bundle
from audit.models import Pending, Private
from audit.receipts import issue_receipt
from audit.sequencer import Sequencer
from audit.standalone import verify as standalone
from audit.tiles import RightEdge, bundle_path, decode_bundle, encode_bundle, tile_path
from countersign.proof.merkle import leaf_hash
from countersign.proof.note import Signer, TreeHead, sign_note
from tests.audit.conftest import ALICE, happen
from tests.audit.test_attacks import (
    all_entries,
    delete_a_bundle,
    edited,
    rewrite_everything,
    store_garbage,
)
from tests.audit.test_command import audit

Files = dict[str, bytes]
NEEDED = ("cryptography", "cffi", "_cffi_backend*", "pycparser", "typing_extensions.py")


@pytest.fixture(scope="session")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[int, str]]:
    """Runs verify.py with nothing importable but the standard library and `cryptography`; the exit code and what it says."""
    folder, installed = tmp_path_factory.mktemp("outside"), Path(cryptography.__file__).parent.parent
    for pattern in NEEDED:
        for path in installed.glob(pattern):
            (folder / path.name).symlink_to(path)
    script = folder / "verify.py"
    script.write_bytes(SCRIPT.read_bytes())
    start = "import runpy, sys; sys.path.append(sys.argv.pop(1)); sys.argv.pop(0); runpy.run_path(sys.argv[0], run_name='__main__')"

    def run(*arguments: str | Path) -> tuple[int, str]:
        words = [sys.executable, "-I", "-S", "-c", start, str(folder), str(script), *map(str, arguments)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout + done.stderr

    return run


def key() -> str:
    return str(keys.trusted_verifiers()[-1])


def exported(since: int = 0, *, with_disclosures: bool = True) -> bytes:
    return b"".join(export_bundle(by=ALICE, since=since, with_disclosures=with_disclosures).chunks)


def unpacked(tar: bytes) -> Files:
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]  # plain files only


def packed(files: Files) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def entries_of(files: Files) -> list[bytes]:
    names = sorted(name for name in files if name.startswith("tile/entries/"))
    return [entry for name in names for entry in decode_bundle(files[name])]


def with_tree(files: Files, entries: list[bytes]) -> Files:
    """The same bundle with another tree in it, all tiles made to fit."""
    kept = {name: content for name, content in files.items() if not name.startswith("tile/")}
    edge = RightEdge()
    for tile in edge.append(leaf_hash(entry) for entry in entries):
        kept[tile_path(tile.level, tile.n)] = tile.hashes
    for level, hashes in enumerate(edge.levels):
        if hashes:
            kept[tile_path(level, len(entries) >> 8 * (level + 1), len(hashes) // 32)] = bytes(hashes)
    for start in range(0, len(entries), 256):
        chunk = entries[start : start + 256]
        kept[bundle_path(start // 256, len(chunk))] = encode_bundle(chunk)
    return kept


def signed_by(files: Files, entries: list[bytes], signer: Signer) -> Files:
    """A whole other ledger, signed: tree, checkpoint, and no anchor that would contradict it."""
    edge = RightEdge()
    edge.append(leaf_hash(entry) for entry in entries)
    note = sign_note(TreeHead(keys.origin(), len(entries), edge.root()).text(), signer)
    kept = {name: content for name, content in files.items() if not name.startswith("anchors/")}
    return with_tree(kept, entries) | {"checkpoint": note.encode(), "checkpoints.jsonl": b""}


# A good bundle.


def test_a_good_bundle_gives_no_alarm(
    ledger: Sequencer, outside: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    tar, held = tmp_path / "ledger.tar", tmp_path / "held"
    held.write_text(state_journal().lines()[1].note)
    audit("export", "--to", str(tar), "--with-disclosures")

    code, said = outside("bundle", tar, "--key", key(), "--held", held)

    assert (code, said.split("\n")[0]) == (0, "It holds.")
    assert "600 entries of countersign.test/ledger were read" in said
    assert f"root over 600 is {ledger.head.root.hex()}" in said
    assert "1,200 disclosures were compared" in said
    assert "No checkpoint of your own" not in said


def test_the_same_ledger_gives_the_same_bytes_in_order_and_without_a_clock(ledger: Sequencer) -> None:
    first, second = exported(), exported()

    assert first == second
    with tarfile.open(fileobj=io.BytesIO(first)) as archive:
        members = archive.getmembers()
    names = [member.name for member in members]
    assert names == sorted(names)
    assert {(member.mtime, member.uid, member.uname, member.mode) for member in members} == {(0, 0, "", 0o444)}
    assert "disclosures.jsonl" not in unpacked(exported(with_disclosures=False))
    assert b"alice" not in exported(with_disclosures=False)


@pytest.mark.parametrize("sizes", [(), (1,), (255,), (256,), (256, 1), (512,)])
def test_every_width_of_the_edge_is_exported_and_verified(sequencer: Sequencer, sizes: tuple[int, ...]) -> None:
    for count in sizes:
        happen(count)
        sequencer.tick()

    report, head = standalone.check_bundle(io.BytesIO(exported()), [standalone.parse_key(key())], [])

    assert report.problems == []
    assert head is not None
    assert head.size == sum(sizes)


def test_an_export_is_recorded(ledger: Sequencer, tmp_path: Path) -> None:
    audit("export", "--to", str(tmp_path / "ledger.tar"))

    recorded = orjson.loads(bytes(Pending.objects.get().payload))
    assert recorded["action"] == "ledger.export"
    assert recorded["d"]["after"] == {
        "size": 600,
        "root": ledger.head.root.hex(),
        "since": 0,
        "disclosures": False,
    }


def test_a_ledger_that_grows_during_the_export_does_not_spoil_it(ledger: Sequencer) -> None:
    bundle = export_bundle(by=ALICE)
    chunks = [next(bundle.chunks)]
    happen(300)
    ledger.tick()

    tar = b"".join([*chunks, *bundle.chunks])

    report, head = standalone.check_bundle(io.BytesIO(tar), [standalone.parse_key(key())], [])
    assert report.problems == []
    assert head is not None
    assert head.size == 600


def test_a_bundle_of_what_is_new_begins_at_a_signed_size(
    ledger: Sequencer, outside: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    tar = tmp_path / "new.tar"
    tar.write_bytes(exported(since=400))

    code, said = outside("bundle", tar, "--key", key())

    assert code == 0
    assert "200 entries of countersign.test/ledger were read, from number 400 on" in said
    assert "tile/entries/000" not in unpacked(tar.read_bytes())
    with pytest.raises(NotExportable, match="No checkpoint signs exactly the first 401"):
        export_bundle(by=ALICE, since=401)


def test_an_erased_person_is_not_disclosed_and_the_bundle_holds(ledger: Sequencer) -> None:
    Private.objects.filter(seq__lt=300).delete()

    tar = exported()

    report, _ = standalone.check_bundle(io.BytesIO(tar), [standalone.parse_key(key())], [])
    assert report.problems == []
    assert any("600 disclosures" in fact for fact in report.facts)


@pytest.mark.parametrize(
    ("attack", "sentence"),
    [(store_garbage, "cannot be derived"), (delete_a_bundle, "Entries from 256 on are missing")],
)
def test_what_the_database_no_longer_holds_is_not_exported(
    ledger: Sequencer, tmp_path: Path, attack: Callable[[], None], sentence: str
) -> None:
    attack()

    with pytest.raises(CommandError, match=sentence):
        audit("export", "--to", str(tmp_path / "ledger.tar"))
    assert list(tmp_path.glob("ledger.tar*")) == []


def test_a_ledger_that_was_never_initialised_is_not_exported(db: None, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="has not been initialised"):
        audit("export", "--to", str(tmp_path / "ledger.tar"))


# Attacks on the file: a name, the deed, and words of the sentence that says so.


def edit_an_entry(files: Files) -> Files:
    entries = decode_bundle(files["tile/entries/000"])
    return files | {"tile/entries/000": encode_bundle([*entries[:7], edited(entries[7]), *entries[8:]])}


def edit_an_entry_and_every_tile(files: Files) -> Files:
    entries = entries_of(files)
    return with_tree(files, [*entries[:7], edited(entries[7]), *entries[8:]])


def delete_an_entry(files: Files) -> Files:
    entries = decode_bundle(files["tile/entries/001"])
    return files | {"tile/entries/001": encode_bundle([*entries[:7], *entries[8:]])}


def delete_an_entry_and_close_the_gap(files: Files) -> Files:
    entries = entries_of(files)
    del entries[300]
    return with_tree(files, entries)


def reorder_two_entries(files: Files) -> Files:
    first, second, *rest = entries_of(files)
    return with_tree(files, [second, first, *rest])


def append_an_entry(files: Files) -> Files:
    entries = entries_of(files)
    return with_tree(files, [*entries, edited(entries[-1])])


def remove_a_bundle(files: Files) -> Files:
    return {name: content for name, content in files.items() if name != "tile/entries/001"}


def tamper_with_a_tile(files: Files) -> Files:
    return files | {"tile/0/001": bytes(8_192)}


def tamper_with_an_upper_tile(files: Files) -> Files:
    return files | {"tile/1/000.p/2": bytes(64)}


def add_a_tile(files: Files) -> Files:
    return files | {"tile/2/000.p/1": bytes(32)}


def truncate_to_an_older_head(files: Files) -> Files:
    note = next(line.note for line in state_journal().lines() if line.size == 400)
    return with_tree(files, entries_of(files)[:400]) | {"checkpoint": note.encode()}


def raise_the_size_in_the_checkpoint(files: Files) -> Files:
    return files | {"checkpoint": files["checkpoint"].replace(b"\n600\n", b"\n601\n")}


def sign_with_another_key(files: Files) -> Files:
    return signed_by(files, entries_of(files), Signer(keys.origin(), Ed25519PrivateKey.generate()))


def tamper_with_an_anchor(files: Files) -> Files:
    return files | {"anchors/state.jsonl": files["anchors/state.jsonl"].replace(b"\\n400\\n", b"\\n401\\n")}


def damage_an_anchor(files: Files) -> Files:
    return files | {"anchors/state.jsonl": files["anchors/state.jsonl"][:-40]}


def rewrite_before_an_anchor(files: Files) -> Files:
    """With the stolen key, but what is anchored is still in the bundle."""
    entries = entries_of(files)
    forged = signed_by(files, [*entries[:7], edited(entries[7]), *entries[8:]], keys.load_log_key())
    return forged | {name: content for name, content in files.items() if name.startswith("anchors/")}


def tamper_with_a_disclosure(files: Files) -> Files:
    return files | {"disclosures.jsonl": files["disclosures.jsonl"].replace(b"alice", b"malin", 1)}


def move_a_disclosure(files: Files) -> Files:
    return files | {"disclosures.jsonl": files["disclosures.jsonl"].replace(b'"seq":17,', b'"seq":18,', 1)}


def disclose_what_is_not_there(files: Files) -> Files:
    return files | {"disclosures.jsonl": files["disclosures.jsonl"] + b'{"seq":600,"disclosures":[["s","name","x"]]}\n'}


def skip_the_beginning(files: Files) -> Files:
    """Claim that the bundle begins later, without the right to."""
    kept = {name: content for name, content in files.items() if name not in ("tile/0/000", "tile/entries/000")}
    return kept | {"bundle.json": b'{"format":"countersign.ledger-bundle@v1","since":300}'}


def climb_out(files: Files) -> Files:
    return files | {"../../etc/cron.d/x": b"x"}


def climb_out_of_the_tiles(files: Files) -> Files:
    return files | {"tile/0/../../x": b"x"}


def name_an_absolute_path(files: Files) -> Files:
    return files | {"/tmp/x": b"x"}  # noqa: S108 - a hostile name, never opened


def nest_too_deeply(files: Files) -> Files:
    return files | {"bundle.json": b"[" * 5_000}


ATTACKS: list[tuple[Callable[[Files], Files], str]] = [
    (edit_an_entry, "tile/0/000 is not what the entries give"),
    (edit_an_entry_and_every_tile, "The first 100 entries are not the ones that were signed"),
    (delete_an_entry, "tile/entries/001 does not hold 256 whole entries"),
    (delete_an_entry_and_close_the_gap, "is missing from the bundle"),
    (reorder_two_entries, "The first 100 entries are not the ones that were signed"),
    (append_an_entry, "does not belong to its tree"),
    (remove_a_bundle, "tile/entries/001 is missing"),
    (tamper_with_a_tile, "tile/0/001 is not what the entries give"),
    (tamper_with_an_upper_tile, "tile/1/000.p/2 is not what the entries give"),
    (add_a_tile, "tile/2/000.p/1 does not belong to its tree"),
    (truncate_to_an_older_head, "The bundle ends at 400 entries, but"),
    (raise_the_size_in_the_checkpoint, "the signature of countersign.test/ledger does not fit"),
    (sign_with_another_key, "no key that you gave has signed it"),
    (tamper_with_an_anchor, "Line 3 of anchors/state.jsonl is not to be believed"),
    (damage_an_anchor, "anchors/state.jsonl cannot be read"),
    (rewrite_before_an_anchor, "The first 100 entries are not the ones that were signed"),
    (tamper_with_a_disclosure, "What is disclosed of entry 0 is not what the entry commits to"),
    (move_a_disclosure, "What is disclosed of entry 18 is not"),
    (disclose_what_is_not_there, "is of no entry of this bundle"),
    (skip_the_beginning, "nothing in it signs exactly those"),
    (climb_out, "'../../etc/cron.d/x', which is not a plain file of a bundle"),
    (climb_out_of_the_tiles, "'tile/0/../../x', which is not"),
    (name_an_absolute_path, "'/tmp/x', which is not"),
    (nest_too_deeply, "bundle.json does not say where"),
]


@pytest.mark.parametrize(("attack", "sentence"), ATTACKS, ids=lambda value: getattr(value, "__name__", None))
def test_verify_py_says_so(
    ledger: Sequencer,
    outside: Callable[..., tuple[int, str]],
    tmp_path: Path,
    attack: Callable[[Files], Files],
    sentence: str,
) -> None:
    tar = tmp_path / "ledger.tar"
    tar.write_bytes(packed(attack(unpacked(exported()))))

    code, said = outside("bundle", tar, "--key", key())

    assert (code, said.split("\n")[0]) == (1, "IT DOES NOT HOLD.")
    assert sentence in said


def test_repacking_alone_is_no_attack(ledger: Sequencer, tmp_path: Path) -> None:
    files = unpacked(exported())

    for same in (files, with_tree(files, entries_of(files))):
        report, _ = standalone.check_bundle(io.BytesIO(packed(same)), [standalone.parse_key(key())], [])
        assert report.problems == []


def test_a_flipped_bit_anywhere_in_the_evidence_is_caught(ledger: Sequencer) -> None:
    files, trusted = unpacked(exported()), [standalone.parse_key(key())]
    chance = random.Random(1)
    for name in [name for name in files if name.startswith("tile/")] + ["checkpoint"] * 5 + ["disclosures.jsonl"] * 5:
        altered = bytearray(files[name])
        altered[chance.randrange(len(altered))] ^= 1 << chance.randrange(8)

        report, _ = standalone.check_bundle(io.BytesIO(packed(files | {name: bytes(altered)})), trusted, [])

        assert report.problems != [], name


def test_garbage_in_the_lines_is_a_sentence_and_no_crash(ledger: Sequencer) -> None:
    files, trusted = unpacked(exported()), [standalone.parse_key(key())]
    for name in ("checkpoints.jsonl", "disclosures.jsonl", "anchors/state.jsonl"):
        for line in (
            b"[]",
            b"7",
            b'{"seq":0,"disclosures":7}',
            b'{"note":"\\ud800"}',
            b'{"note":[]}',
            b"\xff",
            b"[" * 9_000,
        ):
            report, _ = standalone.check_bundle(io.BytesIO(packed(files | {name: line + b"\n"})), trusted, [])

            assert len(report.problems) == 1, (name, line)


def test_a_signed_size_that_no_file_could_hold_is_refused_at_once(ledger: Sequencer) -> None:
    note = sign_note(TreeHead(keys.origin(), 10**18, bytes(32)).text(), keys.load_log_key())
    files = unpacked(exported()) | {"checkpoint": note.encode()}

    report, _ = standalone.check_bundle(io.BytesIO(packed(files)), [standalone.parse_key(key())], [])

    assert "too small to hold" in report.problems[0]


def hostile(member: tarfile.TarInfo) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(member, io.BytesIO(bytes(member.size)) if member.size else None)
    return out.getvalue()


def member(kind: bytes, name: str = "checkpoint", size: int = 0) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname, found.size = kind, "/etc/passwd", size
    return found


@pytest.mark.parametrize(
    ("tar", "sentence"),
    [
        (hostile(member(tarfile.SYMTYPE)), "not a plain file"),
        (hostile(member(tarfile.LNKTYPE)), "not a plain file"),
        (hostile(member(tarfile.CHRTYPE)), "not a plain file"),
        (hostile(member(tarfile.DIRTYPE)), "not a plain file"),
        (hostile(member(tarfile.REGTYPE, "x" * 300)), "not a plain file"),
        (hostile(member(tarfile.REGTYPE, size=9))[:515], "ends within checkpoint"),
        (hostile(member(tarfile.REGTYPE))[:512] * 2 + bytes(1024), "holds checkpoint twice"),
        (hostile(member(tarfile.REGTYPE)).replace(b"checkpoint", b"checkpoinT"), "is damaged"),
        (hostile(member(tarfile.REGTYPE)) + b"more", "goes on after its end"),
        (hostile(member(tarfile.REGTYPE, "checkpoint", 2_000_000)), "larger than it can be"),
        (hostile(member(tarfile.REGTYPE, "keys")), "checkpoint is missing"),
        (b"", "not a whole, uncompressed tar"),
        (b"\x1f\x8b" + bytes(2_000), "not a whole, uncompressed tar"),
    ],
)
def test_a_hostile_tar_is_refused_without_unpacking_anything(db: None, tar: bytes, sentence: str) -> None:
    keys.create_log_key()

    report, head = standalone.check_bundle(io.BytesIO(tar), [standalone.parse_key(key())], [])

    assert head is None
    assert any(sentence in problem for problem in report.problems)


# Attacks by who has the log's key: only what the auditor holds can tell.


def forge_with_the_stolen_key(files: Files) -> Files:
    entries = entries_of(files)
    return signed_by(files, [*entries[:7], edited(entries[7]), *entries[8:]], keys.load_log_key()) | {
        "disclosures.jsonl": b""
    }


def test_a_rewritten_ledger_is_caught_by_the_checkpoint_that_the_auditor_kept(
    ledger: Sequencer, outside: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    files = unpacked(exported())
    tar, held, journal = tmp_path / "ledger.tar", tmp_path / "held", tmp_path / "held.jsonl"
    held.write_bytes(files["checkpoint"])
    journal.write_bytes(files["anchors/state.jsonl"])
    tar.write_bytes(packed(forge_with_the_stolen_key(files)))

    alone = outside("bundle", tar, "--key", key())
    with_note = outside("bundle", tar, "--key", key(), "--held", held)
    with_lines = outside("bundle", tar, "--key", key(), "--held", journal)

    assert alone[0] == 0
    assert "No checkpoint of your own was compared" in alone[1]
    assert with_note[0] == with_lines[0] == 1
    assert "The first 600 entries are not the ones that were signed: What you hold in" in with_note[1]


def test_two_bundles_of_a_split_view_do_not_compare(
    ledger: Sequencer, outside: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    older, newer, forged = (tmp_path / name for name in ("older.tar", "newer.tar", "forged.tar"))
    older.write_bytes(exported())
    happen(100)
    ledger.tick()
    newer.write_bytes(exported(since=400))
    forged.write_bytes(packed(forge_with_the_stolen_key(unpacked(exported()))))

    good, bad = (outside("compare", older, file, "--key", key()) for file in (newer, forged))
    same_size = outside("compare", forged, forged, "--key", key())

    assert good[0] == 0
    assert "continues the smaller one's 600 entries" in good[1]
    assert bad[0] == 1
    assert "The first 600 entries are not the ones that were signed: The checkpoint of the other bundle" in bad[1]
    assert same_size[0] == 0


def test_two_bundles_of_one_size_with_different_entries_do_not_compare(
    ledger: Sequencer, outside: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    one, other = tmp_path / "one.tar", tmp_path / "other.tar"
    one.write_bytes(exported())
    other.write_bytes(packed(forge_with_the_stolen_key(unpacked(one.read_bytes()))))

    assert outside("compare", one, other, "--key", key())[0] == 1
    assert outside("compare", other, one, "--key", key())[0] == 1


def test_bundles_that_do_not_overlap_are_not_said_to_agree(ledger: Sequencer, tmp_path: Path) -> None:
    small = unpacked(exported())
    note = next(line.note for line in state_journal().lines() if line.size == 100)
    anchors = {name: b"" for name in small if name.startswith("anchors/")} | {"checkpoints.jsonl": b""}
    small = (
        with_tree(small, entries_of(small)[:100]) | anchors | {"checkpoint": note.encode(), "disclosures.jsonl": b""}
    )

    report = standalone.compare(
        io.BytesIO(packed(small)), io.BytesIO(exported(since=400)), [standalone.parse_key(key())], []
    )

    assert report.problems == [
        "The larger bundle begins after the 100 entries of the smaller one: they cannot be compared."
    ]


def test_a_ledger_cut_short_shows_in_what_is_anchored(
    ledger: Sequencer, outside: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    rewrite_everything(all_entries()[:400], keys.load_log_key())
    tar = tmp_path / "ledger.tar"
    tar.write_bytes(exported())

    code, said = outside("bundle", tar, "--key", key())

    assert code == 1
    assert "The bundle ends at 400 entries, but" in said


def test_what_writers_and_clocks_say_is_read(ledger: Sequencer) -> None:
    entries = all_entries()
    repeated = [*entries, entries[-1]]
    removed = entries[:-2] + entries[-1:]
    fields = orjson.loads(entries[-1])
    dated_back = orjson.dumps(fields | {"t": fields["t"] - 601_000_000}, option=orjson.OPT_SORT_KEYS)
    for forged, sentence in (
        (repeated, "repeats number"),
        (removed, "which is not in the ledger"),
        ([*entries[:-1], dated_back], "is dated 10 minutes before"),
        ([*entries[:-1], b"{}"], "Entry 599 cannot be read"),
        ([*entries[:-1], b"[" * 5_000], "Entry 599 cannot be read"),
    ):
        files = signed_by(unpacked(exported(with_disclosures=False)), forged, keys.load_log_key())

        report, _ = standalone.check_bundle(io.BytesIO(packed(files)), [standalone.parse_key(key())], [])

        assert len(report.problems) == 1
        assert sentence in report.problems[0]


# Keys, receipts and words.


def test_a_replaced_key_counts_only_up_to_its_size(ledger: Sequencer) -> None:
    tar, narrowed = exported(), standalone.parse_key(f"{key()} from=0 until=599 replaced=2026-11-23T16:00:00+00:00")

    report, _ = standalone.check_bundle(io.BytesIO(tar), [narrowed], [])

    assert "no key that you gave has signed it, or may sign it" in report.problems[0]


def test_a_receipt_is_checked_without_us(
    ledger: Sequencer, outside: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    file, altered, held = tmp_path / "17.tlog-proof", tmp_path / "altered", tmp_path / "held"
    file.write_bytes(issue_receipt(17).encode())
    altered.write_bytes(file.read_bytes().replace(b"index 17", b"index 18"))
    forged = TreeHead(keys.origin(), 600, bytes(32))
    held.write_text(sign_note(forged.text(), keys.load_log_key()))
    stranger = Signer(keys.origin(), Ed25519PrivateKey.generate()).verifier

    good = outside("receipt", file, "--key", key())
    bad = outside("receipt", altered, "--key", key())
    unknown = outside("receipt", file, "--key", str(stranger))
    split = outside("receipt", file, "--key", key(), "--held", held)

    assert good[0] == 0
    assert "This is entry 17 of the 600 that countersign.test/ledger signed" in good[1]
    assert '"action":"model.update"' in good[1]
    assert (bad[0], "does not lead from the entry" in bad[1]) == (1, True)
    assert (unknown[0], "no key that you gave" in unknown[1]) == (1, True)
    assert (split[0], "another root than the one that you hold" in split[1]) == (1, True)


@pytest.mark.parametrize("data", [b"", b"c2sp.org/tlog-proof@v1\n\n", b"\xff" * 40, b"x" * 2_000_000])
def test_what_is_no_receipt_is_said_to_be_none(data: bytes) -> None:
    report, _ = standalone.check_receipt(data, [], [])

    assert "this is no receipt" in report.problems[0]


def test_without_a_file_or_a_key_nothing_is_checked(
    ledger: Sequencer, outside: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    missing = outside("bundle", tmp_path / "none.tar", "--key", key())
    no_key = outside("bundle", tmp_path / "none.tar", "--key", "x+y")
    nothing = outside("bundle", tmp_path / "none.tar")

    assert (missing[0], "Nothing was checked" in missing[1]) == (2, True)
    assert (no_key[0], "a key is its name" in no_key[1]) == (2, True)
    assert nothing[0] == 2


def test_verify_py_runs_on_python_3_9_and_imports_nothing_of_ours() -> None:
    tree = ast.parse(SCRIPT.read_text(), feature_version=(3, 9))

    imported = {
        (node.module or "").partition(".")[0] if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert imported - set(sys.stdlib_module_names) == {"cryptography"}


def test_an_operator_checks_a_bundle_without_leaving(ledger: Sequencer, tmp_path: Path) -> None:
    tar = tmp_path / "ledger.tar"
    said = audit("export", "--to", str(tar))

    assert key() in said
    assert "The bundle holds." in audit("verify-bundle", str(tar))
    stranger = Signer(keys.origin(), Ed25519PrivateKey.generate()).verifier
    with pytest.raises(CommandError, match="no key that you gave"):
        audit("verify-bundle", str(tar), "--key", str(stranger))
    with pytest.raises(CommandError, match="Nothing was checked"):
        audit("verify-bundle", str(tmp_path / "none.tar"))


def test_the_readme_and_the_keys_are_those_of_the_ledger(ledger: Sequencer) -> None:
    files = unpacked(exported())

    assert ledger.head.root.hex() in files["README.txt"].decode()
    assert files["policy"].decode() == f"log {key()}\nquorum none\n"
    assert json.loads(files["bundle.json"]) == {"format": "countersign.ledger-bundle@v1", "since": 0, "size": 600}
    assert files["verify.py"] == SCRIPT.read_bytes()


# The download.


def test_an_auditor_downloads_the_bundle_and_others_are_refused_on_record(
    ledger: Sequencer, client_for: Callable[[User], Client], dave: User, alice: User
) -> None:
    page = client_for(dave).get(reverse("audit:bundle"))
    tar = b"".join(page.streaming_content)  # type: ignore[attr-defined]  # a streamed answer has it

    report, _ = standalone.check_bundle(io.BytesIO(tar), [standalone.parse_key(key())], [])
    assert report.problems == []
    assert page["Content-Disposition"] == 'attachment; filename="ledger-600.tar"'
    assert "disclosures.jsonl" not in unpacked(tar)
    assert client_for(alice).get(reverse("audit:bundle")).status_code == 403
    recorded = [orjson.loads(bytes(row.payload)) for row in Pending.objects.order_by("id")]
    taken = [(one["action"], one["outcome"]) for one in recorded if one["action"] == "ledger.export"]
    assert taken == [("ledger.export", "ok"), ("ledger.export", "denied")]


def test_a_bundle_that_cannot_be_had_is_no_file_but_a_sentence(
    db: None, client_for: Callable[[User], Client], dave: User
) -> None:
    page = client_for(dave).get(reverse("audit:bundle"))

    assert page.status_code == 503
    assert "This ledger has not been initialised" in page.content.decode()


def test_without_public_keys_a_download_says_so(
    ledger: Sequencer, client_for: Callable[[User], Client], dave: User
) -> None:
    keys.key_file().with_suffix(".pub").unlink()

    for page in (reverse("audit:bundle"), reverse("audit:receipt", args=[17])):
        answer = client_for(dave).get(page)
        assert answer.status_code == 503
        assert "public key ledger-key.pub is missing" in answer.content.decode()


def test_an_auditor_downloads_a_receipt(
    ledger: Sequencer, client_for: Callable[[User], Client], dave: User, alice: User
) -> None:
    page = client_for(dave).get(reverse("audit:receipt", args=[17]))

    assert page.content == issue_receipt(17).encode()
    assert client_for(dave).get(reverse("audit:receipt", args=[10**15])).status_code == 404
    assert client_for(alice).get(reverse("audit:receipt", args=[17])).status_code == 403
