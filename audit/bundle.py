"""Decides what an auditor takes away: the whole ledger as one tar that can be checked without us, and without a network.

Its heart is the tlog-tiles tree (`checkpoint`, `tile/…`) as any tool for C2SP logs reads it; beside it lie every signed
checkpoint, what is anchored outside the database, the public keys, the stand-alone `verify.py`, and on request the openings
of disclosures. The same state of the ledger gives the same bytes, and memory does not grow with the ledger.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import chain
from pathlib import Path
from tarfile import BLOCKSIZE, GNU_FORMAT, TarInfo
from tempfile import TemporaryFile
from typing import BinaryIO, Final

import orjson

from audit import keys, standalone, store
from audit.actions import append_alone
from audit.anchors.configured import FILE_SINK, anchor_journal, state_journal
from audit.events import Action, HasActor
from audit.integrity import LEDGER
from audit.models import Anchor, Checkpoint, Private
from audit.payload import decode_disclosures
from audit.tiles import TILE_WIDTH, BrokenBundle, bundle_path, encode_bundle, tile_path
from countersign.proof.merkle import HASH_BYTES
from countersign.proof.note import TreeHead

FORMAT: Final = "countersign.ledger-bundle@v1"
SCRIPT: Final = Path(standalone.__file__).with_name("verify.py")
_CHUNK: Final = 1 << 20
_ROWS: Final = 1_000

_README: Final = """The ledger {origin}: {size:,} entries, from number {since:,} on.

Newest root (SHA-256, RFC 6962): {root}

To check it you need Python 3.9 or newer with the package `cryptography`, the log's public key from a channel that whoever
gave you this file cannot change, and, better, a checkpoint that you kept from before:

    python3 -I verify.py bundle THIS_FILE.tar --key "NAME+ID+BASE64" --held YOUR_CHECKPOINT

Take verify.py from the product's own release rather than from this file, or read it: it is one short file. This one has
the SHA-256 {script}.

checkpoint         the newest signed head (C2SP tlog-checkpoint)
checkpoints.jsonl  every signed head in the database
anchors/           what is held outside the database: heads, and receipts of other sinks
tile/              the tree and the entries (C2SP tlog-tiles); any tool for such logs reads them
keys, policy       the public keys as the operator has them: do not trust them, compare them with yours
disclosures.jsonl  where asked for: the openings of personal data that the entries commit to
"""


class NotExportable(RuntimeError):
    """There is no bundle to be had; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that is about to be written: the head that it ends with, and its bytes piece by piece."""

    head: TreeHead
    since: int
    chunks: Iterator[bytes]

    @property
    def name(self) -> str:
        """A file name."""
        return f"ledger-{self.since}-{self.head.size}.tar" if self.since else f"ledger-{self.head.size}.tar"


@dataclass(frozen=True, slots=True)
class _Member:
    """A file of the tar: its name, and how to get its size and content when its turn comes."""

    name: str
    content: Callable[[], bytes | BinaryIO]


def export_bundle(*, by: HasActor, since: int = 0, with_disclosures: bool = False) -> Bundle:
    """The ledger up to its newest checkpoint as a bundle; that it was taken is recorded first.

    `since` leaves out the entries before a size that has a checkpoint. The chunks raise `NotExportable` where the database
    does not hold what it signed, so that a bundle is whole or unfinished.
    """
    # What is outside is read before the newest checkpoint: a ledger that grows meanwhile never looks cut short.
    outside = [
        _journal_member(journal.path) for journal in (state_journal(), anchor_journal()) if journal.path.exists()
    ]
    latest = store.latest_checkpoint()
    if latest is None:
        raise NotExportable("This ledger has not been initialised. Run `manage.py audit init`.")
    if since and not Checkpoint.objects.filter(size=since).exists():
        raise NotExportable(f"No checkpoint signs exactly the first {since} entries; name a size that one signs.")
    head = keys_head(latest.note)
    members = [*outside, *_texts(latest.note, head, since)]
    members.append(_Member("checkpoints.jsonl", lambda: _spool(_checkpoints(since, head.size))))
    if Anchor.objects.exclude(sink=FILE_SINK).filter(size__lte=head.size).exists():
        members.append(_Member("anchors/receipts.jsonl", lambda: _spool(_receipts(head.size))))
    if with_disclosures:
        members.append(_Member("disclosures.jsonl", lambda: _spool(_disclosures(since, head.size))))
    append_alone(
        Action.LEDGER_EXPORT,
        by=by,
        obj=LEDGER,
        after={"size": head.size, "root": head.root.hex(), "since": since, "disclosures": with_disclosures},
    )
    members.sort(key=lambda member: member.name)
    script = _Member(SCRIPT.name, SCRIPT.read_bytes)
    return Bundle(head, since, _tar(chain(members, _tree(head.size, since), [script])))


def write_bundle(bundle: Bundle, path: Path) -> None:
    """Write a bundle to a file that appears when it is whole, and not before."""
    unfinished = path.with_name(f"{path.name}.part")
    try:
        with unfinished.open("wb") as file:
            for chunk in bundle.chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def keys_head(note: str) -> TreeHead:
    """What the database's newest checkpoint says; whether it is signed is for whoever checks the bundle to say."""
    return TreeHead.parse(note.rpartition("\n\n")[0] + "\n")


def _texts(note: str, head: TreeHead, since: int) -> list[_Member]:
    said = {"origin": head.origin, "size": head.size, "since": since, "root": head.root.hex()}
    lines = keys.public_lines()
    texts = {
        "README.txt": _README.format(**said, script=sha256(SCRIPT.read_bytes()).hexdigest()).encode(),
        "bundle.json": orjson.dumps({"format": FORMAT, "since": since, "size": head.size}) + b"\n",
        "checkpoint": note.encode(),
        "keys": "".join(f"{line}\n" for line in lines).encode(),
        "policy": ("".join(f"log {line.verifier}\n" for line in lines) + "quorum none\n").encode(),
    }
    return [_Member(name, partial(bytes, content)) for name, content in texts.items()]


def _journal_member(path: Path) -> _Member:
    """The whole lines of a file that only grows, as long as it is now."""
    size = path.stat().st_size
    return _Member(f"anchors/{path.name}.jsonl", partial(_whole_lines, path, size))


def _whole_lines(path: Path, size: int) -> BinaryIO:
    with path.open("rb") as journal:
        spooled = _spool(_pieces(journal, size))
    end = spooled.seek(0, os.SEEK_END)
    while end and os.pread(spooled.fileno(), 1, end - 1) != b"\n":
        end -= 1
    spooled.truncate(end)
    return spooled


def _pieces(file: BinaryIO, size: int) -> Iterator[bytes]:
    while size > 0 and (piece := file.read(min(size, _CHUNK))):
        size -= len(piece)
        yield piece


def _checkpoints(since: int, size: int) -> Iterator[bytes]:
    rows = Checkpoint.objects.filter(size__gte=since, size__lte=size).order_by("size").values_list("t", "size", "note")
    for t, covered, note in rows.iterator(_ROWS):
        yield orjson.dumps({"t": t, "size": covered, "note": note}) + b"\n"


def _receipts(size: int) -> Iterator[bytes]:
    rows = Anchor.objects.exclude(sink=FILE_SINK).filter(size__lte=size).order_by("size", "sink")
    for row in rows.values("size", "sink", "t", "receipt").iterator(_ROWS):
        yield orjson.dumps(row, option=orjson.OPT_SORT_KEYS) + b"\n"


def _disclosures(since: int, size: int) -> Iterator[bytes]:
    rows = Private.objects.filter(seq__gte=since, seq__lt=size).order_by("seq").values_list("seq", "disclosures")
    for seq, stored in rows.iterator(_ROWS):
        try:
            opened = [[one.salt, one.name, one.value] for one in decode_disclosures(bytes(stored))]
        except ValueError as error:
            raise NotExportable(
                f"The private data beside entry {seq} cannot be read. Run `manage.py audit verify --deep`."
            ) from error
        yield orjson.dumps({"seq": seq, "disclosures": opened}) + b"\n"


def _tree(size: int, since: int) -> Iterator[_Member]:
    """The tiles and then the entry bundles of a tree of `size` entries, without those that lie wholly before `since`."""
    level = 0
    while size >> 8 * level:
        for n, width in _parts(level, size, since):
            yield _Member(tile_path(level, n, width), partial(_tile, level, n, width))
        level += 1
    for n, width in _parts(0, size, since):
        yield _Member(bundle_path(n, width), partial(_entries, n, width))


def _parts(level: int, size: int, since: int) -> Iterator[tuple[int, int]]:
    """The number and the width of each tile of a level."""
    full, last = divmod(size >> 8 * level, TILE_WIDTH)
    for n in range(since >> 8 * (level + 1), full + (last > 0)):
        yield n, last if n == full else TILE_WIDTH


def _tile(level: int, n: int, width: int) -> bytes:
    try:
        hashes = store.read_tile(level, n)[: width * HASH_BYTES]
    except BrokenBundle as error:
        raise NotExportable(f"Tile {level}/{n} cannot be derived: {error}. Run `manage.py audit verify`.") from error
    if len(hashes) != width * HASH_BYTES:
        raise NotExportable(f"Tile {level}/{n} is not whole. Run `manage.py audit verify`.")
    return hashes


def _entries(n: int, width: int) -> bytes:
    try:
        entries = store.read_bundle(n)[:width]
    except BrokenBundle as error:
        raise NotExportable(
            f"The entries from {n * TILE_WIDTH} on cannot be read: {error}. Run `manage.py audit verify`."
        ) from error
    if len(entries) != width:
        raise NotExportable(
            f"Entries from {n * TILE_WIDTH + len(entries)} on are missing. Run `manage.py audit verify`."
        )
    return encode_bundle(entries)


def _spool(pieces: Iterable[bytes]) -> BinaryIO:
    """The pieces in a nameless file on the disk, since a tar says a file's size before its content."""
    file: BinaryIO = TemporaryFile()  # noqa: SIM115 - handed on; it is gone when nobody holds it  # type: ignore[assignment]
    for piece in pieces:
        file.write(piece)
    return file


def _tar(members: Iterable[_Member]) -> Iterator[bytes]:
    for member in members:
        content = member.content()
        if isinstance(content, bytes):
            yield _header(member.name, len(content)) + content + bytes(-len(content) % BLOCKSIZE)
            continue
        with content:
            size = content.seek(0, os.SEEK_END)
            content.seek(0)
            yield _header(member.name, size)
            yield from _pieces(content, size)
            yield bytes(-size % BLOCKSIZE)
    yield bytes(2 * BLOCKSIZE)


def _header(name: str, size: int) -> bytes:
    """The tar header of a plain file whose owner, time and rights say nothing."""
    member = TarInfo(name)
    member.size, member.mode, member.mtime = size, 0o444, 0
    return member.tobuf(GNU_FORMAT)
