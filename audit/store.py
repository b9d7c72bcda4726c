"""Decides how the tree is read back: bundles (from the archive's files where they have left the database), tiles (full ones stored,
partial ones derived), checkpoints.

What comes from the database is not believed here: callers compare it with signed roots.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import psycopg
import zstandard
from django.db import connection
from django.db.models import Max

from audit.archive import Stored, archived_bundles
from audit.merkle import root_of
from audit.models import Bundle, Checkpoint
from audit.tiles import MAX_BUNDLE_BYTES, TILE_WIDTH, BrokenBundle, decode_bundle, encode_bundle, leaf_hashes

_LEVEL: Final = 3
_BUNDLES: Final = "SELECT n, w, entries FROM audit_bundle WHERE n >= %s AND n < %s ORDER BY n, w"
_HASHES: Final = "SELECT hashes FROM audit_tile WHERE level = %s AND n >= %s AND n < %s ORDER BY n"
_ROOTS: Final = "SELECT root FROM audit_tile WHERE level = %s AND n >= %s AND n < %s ORDER BY n"
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
    rows = fetch_bytes(_BUNDLES, [bundles.start, bundles.stop])
    found: dict[int, Stored] = {n: bytes(entries) for n, _, entries in rows}
    return found if len(found) == len(bundles) else archived_bundles(bundles) | found


def stored_tiles(level: int, tiles: range) -> dict[int, tuple[bytes, bytes | None]]:
    """The hashes of each of these tiles, and their root where it is stored beside them, in one statement."""
    rows = fetch_bytes(_TILES, [level, tiles.start, tiles.stop])
    return {n: (bytes(hashes), None if root is None else bytes(root)) for n, hashes, root in rows}


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
    return _full_tile(level, n) or (level and _roots_below(level, n)) or _derived_tile(level, n)


def recomputed_tile(level: int, n: int) -> bytes:
    """As `read_tile`, but a root that is stored beside a tile is not believed: its hashes are hashed again."""
    return _full_tile(level, n) or _derived_tile(level, n)


def _full_tile(level: int, n: int) -> bytes:
    return b"".join(bytes(hashes) for (hashes,) in fetch_bytes(_HASHES, [level, n, n + 1]))


def _roots_below(level: int, n: int) -> bytes:
    """The roots of the full tiles below, as they are stored; nothing where one has none, being from before roots were stored."""
    first = n * TILE_WIDTH
    roots = [root for (root,) in fetch_bytes(_ROOTS, [level - 1, first, first + TILE_WIDTH])]
    return b"" if None in roots else b"".join(roots)


def _derived_tile(level: int, n: int) -> bytes:
    if level == 0:
        stored = stored_bundles(range(n, n + 1)).get(n)
        return b"" if stored is None else leaf_hashes(unpack(stored))
    first = n * TILE_WIDTH
    found = fetch_bytes(_HASHES, [level - 1, first, first + TILE_WIDTH])
    return b"".join([root_of(bytes(hashes)) for (hashes,) in found])


def stored_size() -> int:
    """How many entries the bundles hold, counted from the last one; no word about those before it."""
    last = Bundle.objects.aggregate(n=Max("n"))["n"]
    if last is None:
        return 0
    width: int = Bundle.objects.filter(n=last).aggregate(w=Max("w"))["w"]
    return int(last) * TILE_WIDTH + width


def fetch_bytes(statement: str, values: Sequence[int]) -> list[tuple[Any, ...]]:
    """All rows of a statement that returns bytes: from PostgreSQL as they are, where Django's cursor has them written as text.

    Where statements are logged or wrapped, it goes the ordinary way and is seen.
    """
    if connection.vendor != "postgresql" or connection.queries_logged or connection.execute_wrappers:
        with connection.cursor() as cursor:
            cursor.execute(statement, values)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor[tuple[Any, ...]](connection.connection) as cursor:
        return cursor.execute(statement, values, binary=True).fetchall()


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
