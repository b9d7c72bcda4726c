"""Decides the order of the ledger and signs it: drains what is pending into the tree and publishes checkpoints.

One sequencer leads at a time; each tick is one transaction, so that a kill at any moment loses nothing and logs nothing
twice. Before it signs anything it compares the database with its own last checkpoint and with the state file outside
the database: where the database is behind or differs, it refuses and says so, because a signature would make the loss final.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import structlog
from django.db import InterfaceError, OperationalError, connection, transaction

from audit import intake, keys, rotation, store
from audit.anchors.configured import FILE_SINK, anchor_journal, state_journal
from audit.intake import Accepted, Row
from audit.journal import Line
from audit.leader import is_leader
from audit.models import Anchor, Checkpoint
from audit.moments import now_us
from audit.tiles import TILE_WIDTH, FullTile, RightEdge, right_edge
from countersign.proof.merkle import EMPTY_ROOT, leaf_hash
from countersign.proof.note import NoteRefused, Signer, TreeHead, sign_note

log = structlog.get_logger(__name__)

MAX_ROWS: Final = 20_000
POLL_SECONDS: Final = 0.025
SIGN_EVERY_SECONDS: Final = 1.0
RETRY_SECONDS: Final = 1.0
MIND_KEYS_SECONDS: Final = 60.0


class RefusesToSign(RuntimeError):
    """The database and what is held outside it do not agree; the sentence says how, and what an operator can do."""


def initialise() -> TreeHead:
    """Make the keys, sign the empty tree and open the state file, where that has not been done; the current head.

    Raises `RefusesToSign` where the ledger that the state file knows is not the one in this database.
    """
    keys.create_log_key()
    signer, journal = keys.load_log_key(), state_journal()
    with transaction.atomic():
        latest, outside = store.latest_checkpoint(), journal.largest(keys.origin())
        if latest is None and outside is None:
            latest = _sign_empty_tree(signer)
        if latest is not None and latest.size == 0 and outside is None:
            journal.append(Line(latest.t, 0, latest.note))
    sequencer = Sequencer(signer)
    sequencer.start()
    return sequencer.head


def _sign_empty_tree(signer: Signer) -> Checkpoint:
    head = TreeHead(keys.origin(), 0, EMPTY_ROOT)
    return Checkpoint.objects.create(size=0, t=now_us(), note=sign_note(head.text(), signer))


@dataclass(slots=True)
class _Position:
    """Where the log ends: the edge of its tree, the entries of its last partial bundle, and the checkpoint that covers it."""

    edge: RightEdge
    tail: list[bytes]
    note: str


class Sequencer:
    """Drains, orders and signs. Not shared between threads."""

    def __init__(self, signer: Signer) -> None:
        self._signers: tuple[Signer, ...] = (signer,)
        self._key_stamp: tuple[int, int, int] | None = None
        self._minded_keys_at = float("-inf")
        self._journal = state_journal()
        self._anchor = anchor_journal()
        self._position = _Position(RightEdge(), [], "")
        self._unrecorded: dict[int, int] = {}
        self._signed_at = float("-inf")

    @property
    def head(self) -> TreeHead:
        """The tree head that was last signed or read."""
        return TreeHead(keys.origin(), self._position.edge.size, self._position.edge.root())

    def start(self) -> None:
        """Read where the log ends and check it against the checkpoint and the state file; raises `RefusesToSign`."""
        self._follow_keys()
        latest = store.latest_checkpoint()
        outside = self._journal.largest(keys.origin())
        if latest is None:
            raise RefusesToSign(_NEW_DATABASE.format(size=outside.size) if outside else _NOT_INITIALISED)
        head = self._open(latest.note, "the database's newest checkpoint")
        edge = _edge_at(head.size)
        if head.size != latest.size or edge.root() != head.root or store.stored_size() != head.size:
            raise RefusesToSign(_DIFFERS_FROM_ITS_CHECKPOINT.format(size=head.size))
        self._compare_with(outside, head)
        tail = store.read_bundle(head.size // TILE_WIDTH) if head.size % TILE_WIDTH else []
        self._position = _Position(edge, tail, latest.note)
        if outside is not None and outside.size < head.size:
            # Killed between the commit and the state file: the checkpoint is ours and consistent, so it is put outside now.
            self.publish(Line(latest.t, latest.size, latest.note))

    def tick(self) -> int:
        """Log up to 20,000 pending entries and sign; how many rows were taken (0 also where another sequencer leads)."""
        with transaction.atomic():
            if not is_leader():
                return 0
            self._follow_keys()
            self._follow()
            with _collector_resting():
                rows = intake.take(MAX_ROWS)
                if not rows:
                    return 0
                position, line = self._log(rows)
        self._position = position
        self._unrecorded.clear()
        self._signed_at = time.monotonic()
        if line is not None:
            self.publish(line)
        return len(rows)

    def continue_with(self, row: Row, size: int) -> Line:
        """Log one row right after the first `size` entries, without asking the state file: only for a recovery, which has.

        The caller holds the transaction and publishes the line after its commit.
        """
        self._follow_keys()
        tail = store.read_bundle(size // TILE_WIDTH) if size % TILE_WIDTH else []
        self._position = _Position(_edge_at(size), tail, "")
        self._position, line = self._log([row])
        if line is None:
            raise RefusesToSign(f"The ledger's sequencer refused the entry of the recovery. {_INVESTIGATE}")
        return line

    def run(self, stop: threading.Event) -> None:
        """Tick until `stop` is set: at once when a caller waits for a receipt, else at most once a second."""
        self.start()
        rotation.record_mac_key()
        log.info("ledger.sequencer_started", size=self._position.edge.size)
        while not stop.is_set():
            try:
                self._mind_keys()
                while self.is_due() and self.tick() == MAX_ROWS:
                    continue
                stop.wait(POLL_SECONDS)
            except (OperationalError, InterfaceError) as error:
                log.warning("ledger.database_unavailable", error=str(error))
                connection.close()
                stop.wait(RETRY_SECONDS)
        self.tick()
        with transaction.atomic():
            self._record_anchors()
        log.info("ledger.sequencer_stopped", size=self._position.edge.size)

    def is_due(self) -> bool:
        """Whether there is something to log that cannot wait, or that has waited long enough."""
        waiting, prompt = intake.waiting()
        return prompt or (waiting and time.monotonic() - self._signed_at >= SIGN_EVERY_SECONDS)

    def _follow_keys(self) -> None:
        """Read the keys again where they were rotated since: under the lock that a rotation holds, so never in the middle of one."""
        found = keys.stamp()
        if found != self._key_stamp:
            self._signers, self._key_stamp = keys.load_signers(), found

    def _mind_keys(self) -> None:
        """Once a minute, destroy the keys that were replaced long enough ago."""
        if time.monotonic() - self._minded_keys_at >= MIND_KEYS_SECONDS:
            self._minded_keys_at = time.monotonic()
            if rotation.destroy_replaced_keys():
                self._signers = keys.load_signers()

    def _follow(self) -> None:
        """Read the log's end again where another sequencer has signed since, or where somebody has changed it."""
        latest = store.latest_checkpoint()
        if latest is None or latest.note != self._position.note:
            self.start()

    def _log(self, rows: Sequence[Row]) -> tuple[_Position, Line | None]:
        accepted = intake.admit(rows)
        self._record_anchors()
        if not accepted:
            return self._position, None
        old, edge = self._position, self._position.edge.copy()
        payloads = [one.payload for one in accepted]
        tiles = edge.append(leaf_hash(payload) for payload in payloads)
        tail = _write_bundles(old.edge.size, old.tail, payloads)
        _write_tiles(tiles)
        intake.write_index(old.edge.size, accepted)
        head = TreeHead(keys.origin(), edge.size, edge.root())
        note, now = sign_note(head.text(), *self._signers), now_us()
        Checkpoint.objects.create(size=head.size, t=now, note=note)
        log.info(
            "ledger.signed",
            size=head.size,
            entries=len(accepted),
            root=head.root.hex(),
            oldest_ms=_age_ms(accepted, now),
        )
        return _Position(edge, tail, note), Line(now, head.size, note)

    def publish(self, line: Line) -> None:
        """Put a checkpoint outside the database; only ever after the commit that it covers."""
        self._journal.append(line)
        self._anchor.append(line)
        self._unrecorded[line.size] = line.t

    def _record_anchors(self) -> None:
        """Note in the database what was put outside it since the last tick, unless a sequencer that took over has."""
        noted = Anchor.objects.filter(sink=FILE_SINK, size__in=self._unrecorded).values_list("size", flat=True)
        name, new = self._anchor.path.name, sorted(self._unrecorded.keys() - set(noted))
        Anchor.objects.bulk_create(
            Anchor(size=size, sink=FILE_SINK, receipt=name, t=self._unrecorded[size]) for size in new
        )

    def _open(self, note: str, what: str) -> TreeHead:
        try:
            head = keys.open_ours(note)
            if head.origin != keys.origin():
                raise NoteRefused(f"it is of {head.origin}, which this log continues")
        except NoteRefused as error:
            raise RefusesToSign(
                f"The ledger's sequencer does not sign: {what} is not ours ({error}). {_INVESTIGATE}"
            ) from error
        return head

    def _compare_with(self, outside: Line | None, head: TreeHead) -> None:
        if outside is None:
            raise RefusesToSign(_NO_STATE_FILE.format(name=self._journal.path.name))
        held = self._open(outside.note, f"the newest line of {self._journal.path.name}")
        if held.size > head.size:
            raise RefusesToSign(_BEHIND.format(size=head.size, held=held.size))
        if _edge_at(held.size).root() != held.root:
            raise RefusesToSign(_DIFFERS_FROM_OUTSIDE.format(held=held.size))


_INVESTIGATE: Final = "Run `manage.py audit verify` and find out what happened to the database before anything else."
_NOT_INITIALISED: Final = "This ledger has not been initialised. Run `manage.py audit init`."
_NEW_DATABASE: Final = (
    "The ledger's sequencer does not sign: this database holds no checkpoint, but the state file outside it knows a ledger of {size} "
    "entries. Restore that database; for a deliberately new ledger, move the old state file and anchors away first."
)
_NO_STATE_FILE: Final = (
    "The ledger's sequencer does not sign: its state file {name} is missing although the database holds checkpoints. Restore it from a "
    "backup or an anchor; without it a shortened database would look complete. Where it is lost, run `manage.py audit recover`."
)
_DIFFERS_FROM_ITS_CHECKPOINT: Final = (
    f"The ledger's sequencer does not sign: the entries in the database do not give the root that its checkpoint over {{size}} entries "
    f"signs. {_INVESTIGATE}"
)
_BEHIND: Final = (
    "The ledger's sequencer does not sign: the database holds {size} entries, but {held} were signed before. It has been cut short or "
    "restored from an old backup: restore a newer one. Where there is none, run `manage.py audit recover`."
)
_DIFFERS_FROM_OUTSIDE: Final = (
    "The ledger's sequencer does not sign: the first {held} entries in the database are not the ones that were signed before. "
    f"{_INVESTIGATE}"
)


@contextmanager
def _collector_resting() -> Iterator[None]:
    """Thousands of rows live for one tick and hold no cycles: looking for them would take a fifth of its time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _edge_at(size: int) -> RightEdge:
    try:
        return right_edge(size, store.recomputed_tile)
    except (LookupError, ValueError) as error:
        raise RefusesToSign(f"The ledger's sequencer does not sign: {error}. {_INVESTIGATE}") from error


def _write_bundles(size: int, tail: Sequence[bytes], payloads: Iterable[bytes]) -> list[bytes]:
    """Store the entries from position `size` on, `tail` being those of the partial bundle before it; the new tail."""
    pending = [*tail, *payloads]
    first = size // TILE_WIDTH
    chunks = [pending[start : start + TILE_WIDTH] for start in range(0, len(pending), TILE_WIDTH)]
    rows = [(first + position, len(chunk), store.compress(chunk)) for position, chunk in enumerate(chunks)]
    store.insert_many("audit_bundle", ("n", "w", "entries"), rows)
    if tail:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM audit_bundle WHERE n = %s AND w < %s", [first, len(chunks[0])])
    return chunks[-1] if len(chunks[-1]) < TILE_WIDTH else []


def _write_tiles(tiles: Iterable[FullTile]) -> None:
    rows = [(tile.level, tile.n, tile.hashes, tile.root) for tile in tiles]
    store.insert_many("audit_tile", ("level", "n", "hashes", "root"), rows)


def _age_ms(accepted: Sequence[Accepted], now: int) -> int:
    return (now - min(one.entry.t for one in accepted)) // 1_000
