"""Decides how old entries leave the database: into files that are on the disk, read again and proven, and only then.

What stays is the minimum that answers without the files: tiles, checkpoints and the whole search index (about 400 bytes an entry, no
personal data), so that search, pages and as-of questions go on as before; an entry's own bytes, its receipt, verification and export
read the file. Openings of personal data stay too unless told otherwise. The newest bundle never leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from typing import Final

import structlog
from django.db import transaction
from django.db.models import Max, Min, Sum
from django.db.models.functions import Length

from audit import archive, keys, store
from audit.actions import append
from audit.archive import FileDiffers
from audit.events import Action, HasActor
from audit.integrity import LEDGER
from audit.leader import lead
from audit.merkle import inclusion_proof, root_of
from audit.models import Archived, Bundle, IndexRow, Private
from audit.tiles import TILE_WIDTH, BrokenBundle, ReadTile, TileNodes, leaf_hashes
from countersign.proof.merkle import HASH_BYTES, verify_inclusion
from countersign.proof.note import NoteRefused, TreeHead

log = structlog.get_logger(__name__)

BUNDLES_AT_ONCE: Final = 512


class NotArchivable(RuntimeError):
    """Nothing more leaves the database; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Due:
    """The bundles that may leave: full, wholly before a size, and not the newest; and their bytes in the database."""

    bundles: tuple[int, ...]
    end: int
    bytes: int
    openings: int

    @property
    def entries(self) -> int:
        """How many entries they hold."""
        return len(self.bundles) * TILE_WIDTH


def size_at(moment: datetime) -> int:
    """How many entries come before the first one of that moment or later."""
    later = IndexRow.objects.filter(t__gte=int(moment.timestamp() * 1_000_000)).aggregate(seq=Min("seq"))["seq"]
    return store.stored_size() if later is None else int(later)


def due(before: int) -> Due:
    """What may leave of the first `before` entries."""
    newest = Bundle.objects.aggregate(n=Max("n"))["n"] or 0
    end = min(before // TILE_WIDTH, newest)
    rows = Bundle.objects.filter(n__lt=end)
    return Due(
        bundles=tuple(rows.filter(w=TILE_WIDTH).order_by("n").values_list("n", flat=True)),
        end=end * TILE_WIDTH,
        bytes=rows.aggregate(bytes=Sum(Length("entries")))["bytes"] or 0,
        openings=Private.objects.filter(seq__lt=end * TILE_WIDTH).count(),
    )


def archive_entries(before: int, *, operator: str, by: HasActor, drop_disclosures: bool = False) -> Due:
    """Move the entries before a size to files, a run of bundles at a time, each run an entry `ledger.archive`; what was moved.

    Can be killed anywhere and run again: rows go in the transaction that records it, after their files are durable, read again
    and proven to be under the newest signed root. Raises `NotArchivable`.
    """
    found, head = due(before), _signed_head()
    upper = lru_cache(maxsize=256)(store.read_tile)
    runs = [found.bundles[at : at + BUNDLES_AT_ONCE] for at in range(0, len(found.bundles), BUNDLES_AT_ONCE)]
    if not runs and drop_disclosures and found.openings:
        runs = [()]
    for run in runs:
        filed = [_file(n, head, upper) for n in run]
        _let_go(filed, head, found.end if drop_disclosures else 0, operator, by)
        log.info("ledger.archived", bundles=len(filed))
    return found


def _signed_head() -> TreeHead:
    latest = store.latest_checkpoint()
    if latest is None:
        raise NotArchivable("This ledger has not been initialised. Run `manage.py audit init`.")
    try:
        return keys.open_ours(latest.note)
    except NoteRefused as error:
        raise NotArchivable(
            f"The newest checkpoint is not this ledger's: {error}. Run `manage.py audit verify`."
        ) from error


def _file(n: int, head: TreeHead, upper: ReadTile) -> Archived:
    """Write a bundle to its file, read it again and prove it; what the database has to know of it."""
    stored = bytes(Bundle.objects.filter(n=n, w=TILE_WIDTH).values_list("entries", flat=True).get())
    try:
        archive.write_file(n, stored)
        content = archive.read_file(n)
        hashes = leaf_hashes(store.unpack(content))
        proven = _is_signed(n, hashes, head, upper)
    except (OSError, FileDiffers, BrokenBundle, LookupError) as error:
        raise NotArchivable(f"The entries from {n * TILE_WIDTH} on stay in the database: {error}") from error
    if not proven:
        raise NotArchivable(
            f"The entries from {n * TILE_WIDTH} on stay in the database: they are not the ones that were signed. "
            "Run `manage.py audit verify`."
        )
    return Archived(n=n, root=root_of(hashes), sha256=sha256(content).digest())


def _is_signed(n: int, hashes: bytes, head: TreeHead, upper: ReadTile) -> bool:
    """Whether these 256 leaf hashes are the n-th under the signed root: the first one's proof has the others in it."""

    def read_tile(level: int, number: int) -> bytes:
        return hashes if (level, number) == (0, n) else upper(level, number)

    first = n * TILE_WIDTH
    if len(hashes) != TILE_WIDTH * HASH_BYTES or first + TILE_WIDTH > head.size:
        return False
    proof = inclusion_proof(TileNodes(read_tile), first, head.size)
    return verify_inclusion(hashes[:HASH_BYTES], first, head.size, proof, head.root)


def _let_go(filed: Sequence[Archived], head: TreeHead, openings_before: int, operator: str, by: HasActor) -> None:
    """Let the rows go whose files are proven, and the openings before a position, and record that, in one transaction."""
    with transaction.atomic():
        lead()
        numbers = [one.n for one in filed]
        known = {one.n: (bytes(one.root), bytes(one.sha256)) for one in Archived.objects.filter(n__in=numbers)}
        if any(known.get(one.n, (one.root, one.sha256)) != (one.root, one.sha256) for one in filed):
            raise NotArchivable("The database says that other entries were archived. Run `manage.py audit verify`.")
        Archived.objects.bulk_create(one for one in filed if one.n not in known)
        gone, _ = Bundle.objects.filter(n__in=numbers).delete()
        openings, _ = Private.objects.filter(seq__lt=openings_before).delete()
        if not gone and not openings:
            return  # somebody else has just done it
        append(
            Action.LEDGER_ARCHIVE,
            by=by,
            obj=LEDGER,
            after={
                "first": numbers[0] * TILE_WIDTH if numbers else 0,
                "end": (numbers[-1] + 1) * TILE_WIDTH if numbers else openings_before,
                "bundles": len(numbers),
                "disclosures_dropped": openings,
                "size": head.size,
                "root": head.root.hex(),
            },
            private={"operator": operator},
        )
