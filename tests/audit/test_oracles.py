"""Implementations that are not ours, and the specifications' own examples, against what we export.

pymerkle stands beside the modules that it checks, in test_merkle.py and test_receipts.py.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tarfile
from base64 import b64decode
from hashlib import sha256
from pathlib import Path

import pytest

from audit import keys
from audit.anchors.configured import state_journal
from audit.bundle import export_bundle
from audit.receipts import issue_receipt
from audit.sequencer import Sequencer
from audit.standalone import verify as standalone
from audit.tiles import bundle_path, tile_path
from countersign.proof.note import NoteRefused, Signer, TreeHead, Verifier, open_checkpoint, open_note
from tests.audit.conftest import ALICE, happen

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def oracle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the package aics-tlog, at the version and hashes of oracle.txt; skips where it cannot be fetched."""
    cache = getattr(request.config, "cache", None)  # none where pytest's cache is switched off
    folder = Path(cache.mkdir("aics-tlog-0.2.1")) if cache else tmp_path_factory.mktemp("aics-tlog")
    if not (folder / "aics_tlog").exists():
        uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
        if uv is None:
            pytest.skip("uv is not installed, so the independent verifier aics-tlog cannot be fetched")
        # For 3.12, which the package asks for; it has no compiled code and runs on this Python as well.
        words = [uv, "pip", "install", "--quiet", "--target", str(folder), "--python-version", "3.12", "--no-deps"]
        words += ["--require-hashes", "--only-binary", ":all:", "-r", str(HERE / "oracle.txt")]
        try:
            subprocess.run(words, check=True, capture_output=True, text=True, timeout=60)
        except (subprocess.SubprocessError, OSError) as error:
            pytest.skip(f"the independent verifier aics-tlog cannot be fetched here ({type(error).__name__})")
    return folder


class Mirror:
    """The log as a mirror would serve it, with an older checkpoint and a receipt beside it."""

    def __init__(self, folder: Path, package: Path) -> None:
        self.log, self.older, self.receipt, self.package = folder / "log", folder / "older", folder / "receipt", package
        with tarfile.open(fileobj=io.BytesIO(b"".join(export_bundle(by=ALICE).chunks))) as archive:
            archive.extractall(self.log, filter="data")
        self.older.write_text(next(line.note for line in state_journal().lines() if line.size == 400))
        self.receipt.write_bytes(issue_receipt(300).encode())

    def verify(self) -> tuple[int, str]:
        script, key = HERE / "oracle_script.py", str(keys.trusted_verifiers()[-1])
        words = [sys.executable, str(script), str(self.log), key, str(self.older), str(self.receipt)]
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=60, check=False, env={"PYTHONPATH": str(self.package)}
        )
        return done.returncode, done.stdout + done.stderr

    def flip(self, name: str) -> None:
        path = self.log / name
        path.chmod(0o644)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(bytes(content))


@pytest.fixture
def mirror(ledger: Sequencer, tmp_path: Path, oracle: Path) -> Mirror:
    return Mirror(tmp_path, oracle)


def test_an_independent_verifier_agrees_with_the_whole_log(mirror: Mirror) -> None:
    assert mirror.verify() == (0, "countersign.test/ledger 600 4 tiles 3 bundles\n")


@pytest.mark.parametrize("name", ["tile/entries/000", "tile/entries/002.p/88", "tile/0/001", "tile/1/000.p/2"])
def test_an_independent_verifier_catches_a_flipped_bit(mirror: Mirror, name: str) -> None:
    mirror.flip(name)

    code, said = mirror.verify()

    assert code == 1
    assert "TileVerificationError" in said


def test_an_independent_verifier_refuses_another_log(mirror: Mirror) -> None:
    mirror.older.write_text(mirror.older.read_text().replace("\n400\n", "\n401\n"))

    assert mirror.verify()[0] == 1


# The examples of the specifications.

# golang.org/x/mod/sumdb/note and tlog-checkpoint use this key and note in their documentation (BSD-3-Clause).
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def test_the_published_note_opens_and_no_other() -> None:
    verifier = Verifier.parse(PETER)

    assert open_note(NOTE, [verifier]) == NOTE.rpartition("\n\n")[0] + "\n"
    assert str(verifier) == PETER
    with pytest.raises(NoteRefused):
        open_note(NOTE.replace("answer", "Answer"), [verifier])


def test_verify_py_reads_published_keys_alike() -> None:
    name, raw = "PeterNeumann", b64decode(PETER.rpartition("+")[2])[1:]

    assert standalone.parse_key(PETER) == standalone.Key(name, raw, 0, None)
    with pytest.raises(standalone.Broken, match="id has to be its own"):
        standalone.parse_key(PETER.replace("c74f20a3", "c74f20a4"))


def test_the_key_id_is_the_specifications_formula() -> None:
    verifier = Verifier.parse(PETER)

    assert verifier.key_id == sha256(b"PeterNeumann\n\x01" + verifier.public_key).digest()[:4]


@pytest.mark.parametrize("path", [tile_path, lambda level, n, width=256: standalone.tile_name(str(level), n, width)])
def test_tiles_are_where_tlog_tiles_puts_them(path: object) -> None:
    """The example of the specification: index 1234067; and a tree of 70,000 with its partial tiles."""
    assert path(0, 1_234_067) == "tile/0/x001/x234/067"  # type: ignore[operator]  # both are functions of a path
    assert path(2, 0, 1) == "tile/2/000.p/1"  # type: ignore[operator]  # as above
    assert (
        bundle_path(1_234_067, 3) == standalone.tile_name("entries", 1_234_067, 3) == "tile/entries/x001/x234/067.p/3"
    )
    tar = standalone.Tar(io.BytesIO(bytes(1_024)))
    names = list(standalone.Tree(tar, 0, 70_000).names())
    tiles = [name for name in names if "entries" not in name]
    assert sum(name.startswith("tile/0/") and ".p/" not in name for name in tiles) == 273
    assert [name for name in tiles if not name.startswith("tile/0/")] == [
        "tile/1/000",
        "tile/1/001.p/17",
        "tile/2/000.p/1",
    ]
    assert "tile/0/273.p/112" in tiles
    assert list(standalone.Tree(tar, 0, 256).names()) == ["tile/entries/000", "tile/0/000", "tile/1/000.p/1"]


def test_unknown_signatures_are_ignored_and_a_false_one_of_a_known_key_refuses_the_note(ledger: Sequencer) -> None:
    """signed-note: verifiers MUST ignore signatures from unknown keys, and MUST verify those of known ones."""
    ours, head = keys.load_log_key(), ledger.head
    stranger = Signer("witness.example/w1", Signer(ours.name, ours.private_key).private_key)
    note = issue_receipt(1).checkpoint
    cosigned = note + stranger.signature_line(head.text())
    false = note + ours.signature_line(TreeHead(head.origin, head.size, bytes(32)).text())
    trusted = keys.trusted_verifiers()

    assert open_checkpoint(cosigned, head.origin, trusted) == head
    assert standalone.open_checkpoint(cosigned, [standalone.parse_key(str(trusted[0]))]).root == head.root
    with pytest.raises(NoteRefused):
        open_checkpoint(false, head.origin, trusted)
    with pytest.raises(standalone.Broken, match="does not fit"):
        standalone.open_checkpoint(false, [standalone.parse_key(str(trusted[0]))])


def test_verify_py_and_the_ledger_agree_on_every_size(sequencer: Sequencer) -> None:
    roots = dict[int, bytes]()
    for count in (1, 1, 1, 4, 57, 192, 1, 255, 1):
        happen(count)
        sequencer.tick()
        seen = sequencer.head.size
        roots[seen] = sequencer.head.root
        tar = standalone.Tar(io.BytesIO(b"".join(export_bundle(by=ALICE).chunks)))

        assert {size: standalone.Tree(tar, 0, seen).root(size) for size in roots} == roots
