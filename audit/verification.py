"""Decides whether the ledger is what was signed: recomputes it from its bytes and compares with every checkpoint there is.

Full verification rehashes every entry, rebuilds every tile and compares the root at every checkpoint in the database and
every one held outside it. Incremental verification does the same from a size that was verified before. Deep verification
adds what hashes cannot show: repeated and missing entries of a writer, the search index, private data, the clock.

What it cannot detect: that every later entry of one writer was suppressed before it was sequenced; current events that whoever
runs the app makes up; anything at all where no checkpoint is held outside the database.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

from django.conf import settings
from django.db import connection
from django.db.models import Max

from audit import anchors, keys, store, triggers
from audit.deep import DeepCheck
from audit.epochs import Epochs, account_for
from audit.models import Checkpoint, IndexRow, Private, Quarantined, Tile
from audit.problems import Problem, Problems
from audit.recount import Count, Counted, counting, wrong_tile
from audit.tiles import TILE_WIDTH, FullTile, RightEdge, decode_bundle, right_edge
from countersign.proof.merkle import HASH_BYTES
from countersign.proof.note import NoteRefused, TreeHead


@dataclass(frozen=True, slots=True)
class Verification:
    """What was compared and what was found. `since` is the size from which entries were read again.

    `remarks` are sentences about what is no problem and must not go unsaid: a sink that could not be read, a documented loss.
    `remote` is whether the remote sinks were asked, where there are any; `everywhere`, whether every place could be read.
    """

    size: int
    root: str
    since: int
    deep: bool
    checkpoints: int
    outside: int
    quarantined: int
    seconds: float
    problems: tuple[Problem, ...]
    remarks: tuple[str, ...] = ()
    remote: bool = True
    everywhere: bool = True

    @property
    def ok(self) -> bool:
        """Whether everything agrees."""
        return not self.problems

    @property
    def sentence(self) -> str:
        """The result for a person."""
        if not self.ok:
            return f"The ledger is NOT as it was signed: {_count(len(self.problems), 'problem')} found."
        read = f"all {_count(self.size, 'entry', 'entries')}"
        if self.since:
            read = f"{_count(self.size - self.since, 'entry', 'entries')} after the first {self.since:,}"
        what = (
            "hashes, tiles, every writer's links, the index and the private data" if self.deep else "hashes and tiles"
        )
        refused = (
            f" {_count(self.quarantined, 'waiting row')} refused: see `manage.py audit status`."
            if self.quarantined
            else ""
        )
        return (
            f"Verified {read}: {what} agree with {_count(self.checkpoints, 'signed checkpoint')}; "
            f"{self.outside:,} of them held outside the database.{refused}"
        )


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


@dataclass(slots=True)
class _Heads:
    """The signed heads to meet: at each size, the roots that were claimed and where."""

    roots: dict[int, list[tuple[bytes, str]]] = field(default_factory=dict)
    checkpoints: int = 0
    outside: set[int] = field(default_factory=set)
    remarks: list[str] = field(default_factory=list)
    everywhere: bool = True
    epochs: Epochs = field(default_factory=Epochs.read)
    given_up: list[tuple[TreeHead, str]] = field(default_factory=list)
    since: int = 0
    opened: dict[str, TreeHead] = field(default_factory=dict)

    def open(self, note: str, place: str, problems: Problems) -> TreeHead | None:
        """The head that a note signs, checked once however often the note is held; None where its signature does not hold."""
        if (known := self.opened.get(note)) is not None:
            return known
        try:
            head = keys.open_ours(note)
        except NoteRefused as error:
            problems.add("signature", f"The signature of {place} does not hold: {error}.")
            return None
        self.opened[note] = head
        return head

    def unreadable(self, sentence: str) -> None:
        """Say that a place could not be read."""
        self.everywhere = False
        self.remarks.append(sentence)

    def is_old(self, note: str) -> bool:
        """Whether the note speaks of less than what was verified before, so that it was met then."""
        return bool(self.since) and _claimed_size(note) < self.since

    def add(self, head: TreeHead, place: str) -> bool:
        """Whether the head is to be met: not one that a recovery has given up."""
        if self.epochs.given_up_at(head):
            self.given_up.append((head, place))
            return False
        self.roots.setdefault(head.size, []).append((head.root, place))
        return True


def verify(since: int = 0, *, deep: bool = False, processes: int = 1, remote: bool = True) -> Verification:
    """Recompute the ledger from entry `since` on (0: all of it) and compare; deep only together with `since=0`.

    `processes` count the entries side by side; for a command, not for a server that has threads. Without `remote` only the local
    files are read of what is held outside: each remote sink that is out of reach takes ten seconds.
    Reads while the sequencer writes: what is outside is read first and the database's checkpoints after its bundles were
    counted, so that a log that grows meanwhile is no problem and a log that shrank is one.
    """
    if deep and since:
        raise ValueError("deep verification starts at the first entry")
    started, problems = time.monotonic(), Problems()
    remote = remote or not settings.AUDIT_ANCHORS
    heads = _Heads(since=since)
    _read_outside(heads, problems, remote=remote)
    stored = store.stored_size()
    size = _read_checkpoints(heads, problems)
    _compare_extent(heads, stored, size, problems)
    with counting(processes) as count:
        edge = _walk(since, size, heads, DeepCheck(problems) if deep else None, count, problems)
    _check_given_up(heads, problems)
    _check_leftovers(problems)
    _check_triggers(problems)
    return Verification(
        size=size,
        root=edge.root().hex(),
        since=since,
        deep=deep,
        checkpoints=heads.checkpoints,
        outside=len(heads.outside),
        quarantined=Quarantined.objects.count(),
        seconds=time.monotonic() - started,
        problems=problems.found,
        remarks=tuple(heads.remarks),
        remote=remote,
        everywhere=remote and heads.everywhere,
    )


def _read_outside(heads: _Heads, problems: Problems, *, remote: bool) -> None:
    for held in anchors.held_outside(
        damaged=lambda sentence: problems.add("outside-damaged", sentence), unreadable=heads.unreadable, remote=remote
    ):
        if heads.is_old(held.note):
            continue
        if (head := heads.open(held.note, held.place, problems)) is not None and heads.add(head, held.place):
            heads.outside.add(head.size)
    if not heads.outside:
        problems.add(
            "nothing-outside",
            "No checkpoint is held outside the database, so a shortened or rewritten ledger would look whole.",
        )


def _read_checkpoints(heads: _Heads, problems: Problems) -> int:
    """Add the database's checkpoints, of a verification that goes on from another those from there on; the size of the largest."""
    size = 0
    stored = Checkpoint.objects.filter(size__gte=heads.since).order_by("size").values_list("size", "note")
    for claimed, note in stored.iterator():
        heads.checkpoints += 1
        head = heads.open(note, f"the checkpoint over {claimed} entries", problems)
        if head is None:
            continue
        if head.size != claimed:
            problems.add("checkpoint-misplaced", f"The checkpoint filed under {claimed} entries signs {head.size}.")
        heads.add(head, "the database")
        size = max(size, head.size)
    if not heads.checkpoints:
        problems.add(
            "no-checkpoint", "The database holds no checkpoint. Run `manage.py audit init`, or restore the database."
        )
    return size


def _claimed_size(note: str) -> int:
    """The size in a note's second line, unchecked; 0 where there is none, so that it is looked at."""
    lines = note.split("\n", 2)
    return int(lines[1]) if len(lines) == 3 and lines[1].isdecimal() and lines[1].isascii() else 0


def _compare_extent(heads: _Heads, stored: int, size: int, problems: Problems) -> None:
    held = max(heads.outside, default=0)
    if held > size:
        problems.add(
            "cut-short",
            f"The database's ledger ends at {size} entries, but {held} were signed and are held outside it: "
            "it was cut short, or restored from an old backup.",
        )
    if stored > size:
        problems.add("unsigned", f"The database holds {stored - size} entries after the last signed one.")


def _walk(since: int, size: int, heads: _Heads, deep: DeepCheck | None, count: Count, problems: Problems) -> RightEdge:
    """Count the entries from `since` to `size` again, comparing roots and tiles on the way; the edge reached."""
    edge = _starting_edge(since, heads, problems)
    targets = deque(sorted(target for target in heads.roots if edge.size < target <= size))
    first, last = edge.size // TILE_WIDTH, -(-size // TILE_WIDTH)
    for counted in count(range(first, last)) if edge.size < size else ():
        if counted.tile:
            problems.add("tile", f"Tile 0/{counted.n} {counted.tile}.")
        start, end = edge.size, min(size, counted.n * TILE_WIDTH + counted.width)
        if counted.broken or end <= start:
            _report_gap(counted.broken, start, size, problems)
            return edge
        while targets and targets[0] < end:
            part = edge.copy()
            part.append([_leaves(counted, start, targets.popleft())])
            _check_root(part, heads, problems)
        whole = counted.root is not None and end - start == TILE_WIDTH
        tiles = (
            edge.append_tile(counted.hashes, counted.root or b"")
            if whole
            else edge.append([_leaves(counted, start, end)])
        )
        _check_tiles([tile for tile in tiles if tile.level], problems)
        if targets and targets[0] == end:
            targets.popleft()
            _check_root(edge, heads, problems)
        if deep is not None:
            entries = decode_bundle(counted.unpacked) if counted.unpacked else store.read_bundle(counted.n)
            deep.entries(start, entries[start % TILE_WIDTH : end - counted.n * TILE_WIDTH])
        if end < min(size, (counted.n + 1) * TILE_WIDTH):
            break
    if edge.size < size:
        _report_gap("", edge.size, size, problems)
    return edge


def _leaves(counted: Counted, start: int, end: int) -> bytes:
    """The leaf hashes of the entries `start` to `end`, all in this bundle."""
    first = counted.n * TILE_WIDTH
    return counted.hashes[(start - first) * HASH_BYTES : (end - first) * HASH_BYTES]


def _report_gap(broken: str, start: int, size: int, problems: Problems) -> None:
    """Say which entries cannot be counted; what follows them cannot be compared either."""
    if broken:
        problems.add("bundle", f"The entries from {start} on cannot be read: {broken}.")
    else:
        expected = min(TILE_WIDTH - start % TILE_WIDTH, size - start)
        problems.add("missing", f"{expected} entries from {start} on are missing.")


def _starting_edge(since: int, heads: _Heads, problems: Problems) -> RightEdge:
    if since == 0:
        edge = RightEdge()
        _check_root(edge, heads, problems)
        return edge
    if since not in heads.roots:
        problems.add(
            "no-checkpoint-there",
            f"No checkpoint signs exactly the first {since} entries, so verification began at the first one.",
        )
        return RightEdge()
    try:
        edge = right_edge(since, store.recomputed_tile)
    except (LookupError, ValueError) as error:
        problems.add(
            "tile",
            f"The tree of the first {since} entries cannot be read: {error}. Verification began at the first entry.",
        )
        return RightEdge()
    _check_root(edge, heads, problems)
    return edge


def _check_root(edge: RightEdge, heads: _Heads, problems: Problems) -> None:
    root = edge.root()
    for claimed, place in heads.roots.get(edge.size, ()):
        if claimed != root:
            problems.add(
                "root",
                f"The first {edge.size} entries are not the ones that were signed: they hash to {root.hex()[:16]}… "
                f"where {place} says {claimed.hex()[:16]}… instead.",
            )


def _check_tiles(tiles: list[FullTile], problems: Problems) -> None:
    for tile in tiles:
        stored = store.stored_tiles(tile.level, range(tile.n, tile.n + 1)).get(tile.n)
        if wrong := wrong_tile(stored, tile.hashes, tile.root):
            problems.add("tile", f"Tile {tile.level}/{tile.n} {wrong}.")


def _check_given_up(heads: _Heads, problems: Problems) -> None:
    """Say what recoveries have given up, and hold against the ledger what they did not state."""
    stated, silent = account_for(heads.given_up, heads.epochs)
    heads.remarks += stated
    for sentence in silent:
        problems.add("cut-short", sentence)


def _check_leftovers(problems: Problems) -> None:
    """Look for rows that no signed entry accounts for."""
    tiles = list(Tile.objects.values_list("level").annotate(Max("n")))
    last = {
        "search index": IndexRow.objects.aggregate(seq=Max("seq"))["seq"],
        "private data": Private.objects.aggregate(seq=Max("seq"))["seq"],
    }
    # Read after the others: whoever writes them commits a larger checkpoint together with them.
    size: int = Checkpoint.objects.aggregate(size=Max("size"))["size"] or 0
    for level, n in tiles:
        if n >= size >> (8 * (level + 1)):
            problems.add("tile", f"Tile {level}/{n} stands for entries that were never signed.")
    for what, seq in last.items():
        if seq is not None and seq >= size:
            problems.add("leftover", f"The {what} has a row for entry {seq}, which was never signed.")


def _check_triggers(problems: Problems) -> None:
    missing = triggers.missing(connection)
    if missing:
        problems.add(
            "triggers",
            f"The database no longer guards the ledger: {', '.join(sorted(missing))} missing or switched off.",
        )
