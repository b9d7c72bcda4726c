"""Decides how the tree is read back: bundles (from the archive's files where they have left the database), tiles (full ones stored,
partial ones derived), checkpoints.

What comes from the database is not believed here: callers compare it with signed roots.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import zstandard
from django.db import connection
from django.db.models import Max, QuerySet
from django.db.models.functions import Coalesce

from audit.archive import Stored, archived_bundles
from audit.merkle import HASH_BYTES, leaf_hash, root_of
from audit.models import Bundle, Checkpoint, Tile
from audit.tiles import MAX_BUNDLE_BYTES, TILE_WIDTH, BrokenBundle, decode_bundle, encode_bundle

_LEVEL: Final = 3
_BUNDLES: Final = "SELECT n, w, entries FROM audit_bundle WHERE n >= %s AND n < %s ORDER BY n, w"
_TILES: Final = "SELECT n, hashes, root FROM audit_tile WHERE level = %s AND n >= %s AND n < %s"


def compress(entries: list[bytes]) -> bytes:
    """The stored form of up to 256 entries."""
    return zstandard.ZstdCompressor(level=_LEVEL).compress(encode_bundle(entries))


def unpack(stored: Stored) -> bytes:
    """The bytes of a stored bundle; raises `BrokenBundle`, also for one that would unpack to more than a bundle can hold."""
    if isinstance(stored, BrokenBundle):
        raise stored
    try:
        if not 0 <= zstandard.frame_content_size(stored) <= MAX_BUNDLE_BYTES:
            raise BrokenBundle("a bundle does not say its size or is too large")
        return zstandard.ZstdDecompressor().decompress(stored)
    except zstandard.ZstdError as error:
        raise BrokenBundle(f"a bundle cannot be unpacked: {error}") from error


def decompress(stored: Stored) -> list[bytes]:
    """The entries of a stored bundle; raises `BrokenBundle`."""
    return decode_bundle(unpack(stored))


def stored_bundles(bundles: range) -> dict[int, Stored]:
    """The widest stored form of each of these bundles, in one statement, and another where some are archived."""
    with connection.cursor() as cursor:
        cursor.execute(_BUNDLES, [bundles.start, bundles.stop])
        found: dict[int, Stored] = {n: bytes(entries) for n, _, entries in cursor.fetchall()}
    return found if len(found) == len(bundles) else archived_bundles(bundles) | found


def stored_tiles(level: int, tiles: range) -> dict[int, tuple[bytes, bytes | None]]:
    """The hashes of each of these tiles, and their root where it is stored beside them, in one statement."""
    with connection.cursor() as cursor:
        cursor.execute(_TILES, [level, tiles.start, tiles.stop])
        return {n: (bytes(hashes), None if root is None else bytes(root)) for n, hashes, root in cursor.fetchall()}


def read_bundle(n: int) -> list[bytes]:
    """The widest n-th bundle's entries; empty where there is none."""
    stored = stored_bundles(range(n, n + 1)).get(n)
    return [] if stored is None else decompress(stored)


def read_entry(seq: int) -> bytes | None:
    """The payload at position `seq`, or None where the log is shorter."""
    n, offset = divmod(seq, TILE_WIDTH)
    entries = read_bundle(n)
    return entries[offset] if offset < len(entries) else None


def read_tile(level: int, n: int) -> bytes:
    """The hashes of a tile: as stored where it is full, else derived from the bundle or from the roots of the full tiles below it."""
    known = Tile.objects.annotate(known=Coalesce("root", "hashes")).values_list("known", flat=True)
    return _full_tile(level, n) or _derived_tile(level, n, known)


def recomputed_tile(level: int, n: int) -> bytes:
    """As `read_tile`, but a root that is stored beside a tile is not believed: its hashes are hashed again."""
    return _full_tile(level, n) or _derived_tile(level, n, Tile.objects.values_list("hashes", flat=True))


def _full_tile(level: int, n: int) -> bytes:
    return bytes(Tile.objects.filter(level=level, n=n).values_list("hashes", flat=True).first() or b"")


def _derived_tile(level: int, n: int, below: QuerySet[Tile, bytes | memoryview[int]]) -> bytes:
    if level == 0:
        return b"".join(leaf_hash(entry) for entry in read_bundle(n))
    first = n * TILE_WIDTH
    found = below.filter(level=level - 1, n__gte=first, n__lt=first + TILE_WIDTH).order_by("n")
    return b"".join(one if len(one) == HASH_BYTES else root_of(one) for one in map(bytes, found))


def stored_size() -> int:
    """How many entries the bundles hold, counted from the last one; no word about those before it."""
    last = Bundle.objects.aggregate(n=Max("n"))["n"]
    if last is None:
        return 0
    width: int = Bundle.objects.filter(n=last).aggregate(w=Max("w"))["w"]
    return int(last) * TILE_WIDTH + width


def insert_many(table: str, columns: Sequence[str], rows: Sequence[tuple[int | str | bytes, ...]]) -> None:
    """Write rows of one table in the transaction's way that costs least: COPY on PostgreSQL, one prepared statement on SQLite."""
    if not rows:
        return
    names = ", ".join(columns)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        else:
            places = ", ".join(["%s"] * len(columns))
            cursor.executemany(f"INSERT INTO {table} ({names}) VALUES ({places})", rows)  # noqa: S608 - names from the code


def latest_checkpoint() -> Checkpoint | None:
    """The signed checkpoint that covers most."""
    return Checkpoint.objects.order_by("-size").first()
