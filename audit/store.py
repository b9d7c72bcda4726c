"""Decides how the tree is read back from the database: bundles, tiles (full ones stored, partial ones derived), checkpoints.

What comes from the database is not believed here: callers compare it with signed roots.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import zstandard
from django.db import connection
from django.db.models import Max

from audit.merkle import leaf_hash, root_of
from audit.models import Bundle, Checkpoint, Tile
from audit.tiles import MAX_BUNDLE_BYTES, TILE_WIDTH, BrokenBundle, decode_bundle, encode_bundle

_LEVEL: Final = 3


def compress(entries: list[bytes]) -> bytes:
    """The stored form of up to 256 entries."""
    return zstandard.ZstdCompressor(level=_LEVEL).compress(encode_bundle(entries))


def decompress(stored: bytes) -> list[bytes]:
    """The entries of a stored bundle; raises `BrokenBundle`, also for one that would unpack to more than a bundle can hold."""
    try:
        if not 0 <= zstandard.frame_content_size(stored) <= MAX_BUNDLE_BYTES:
            raise BrokenBundle("a bundle does not say its size or is too large")
        return decode_bundle(zstandard.ZstdDecompressor().decompress(stored))
    except zstandard.ZstdError as error:
        raise BrokenBundle(f"a bundle cannot be unpacked: {error}") from error


def read_bundle(n: int) -> list[bytes]:
    """The widest n-th bundle's entries; empty where there is none."""
    stored = Bundle.objects.filter(n=n).order_by("-w").values_list("entries", flat=True).first()
    return [] if stored is None else decompress(bytes(stored))


def read_entry(seq: int) -> bytes | None:
    """The payload at position `seq`, or None where the log is shorter."""
    n, offset = divmod(seq, TILE_WIDTH)
    entries = read_bundle(n)
    return entries[offset] if offset < len(entries) else None


def read_tile(level: int, n: int) -> bytes:
    """The hashes of a tile: as stored where it is full, else derived from the bundle or the full tiles below it."""
    stored = Tile.objects.filter(level=level, n=n).values_list("hashes", flat=True).first()
    if stored is not None:
        return bytes(stored)
    if level == 0:
        return b"".join(leaf_hash(entry) for entry in read_bundle(n))
    first = n * TILE_WIDTH
    below = Tile.objects.filter(level=level - 1, n__gte=first, n__lt=first + TILE_WIDTH).order_by("n")
    return b"".join(root_of(bytes(hashes)) for hashes in below.values_list("hashes", flat=True))


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
