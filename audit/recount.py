"""Decides what the stored entries hash to: counts bundles again, a run of them at a time, in this process or in several.

A run can be counted by itself: its leaf hashes and the roots of its whole tiles depend on nothing before it. What the
database says the tiles are is compared here, so that only hashes travel between processes.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Final, NamedTuple, TypeAlias

from django.db import connections

from audit import store
from audit.archive import Stored
from audit.merkle import root_of
from audit.tiles import TILE_WIDTH, BrokenBundle, leaf_hashes
from countersign.proof.merkle import HASH_BYTES

BUNDLES_AT_ONCE: Final = 64


class Counted(NamedTuple):
    """One bundle: the leaf hashes of its entries, their root where there are 256, and what is wrong with it or its tile.

    `unpacked` is the bundle itself, for whoever reads its entries next; empty where another process counted it.
    """

    n: int
    hashes: bytes
    root: bytes | None
    broken: str
    tile: str
    unpacked: bytes = b""

    @property
    def width(self) -> int:
        """How many entries there are."""
        return len(self.hashes) // HASH_BYTES


Count: TypeAlias = Callable[[range], Iterator[Counted]]
"""Counts a range of bundles, in order."""


@contextmanager
def counting(processes: int = 1) -> Iterator[Count]:
    """A way to count bundles, in as many processes as asked for.

    They are forked: not for a process that has threads. Each opens a connection of its own.
    """
    if processes == 1:
        yield _here
        return
    connections.close_all()
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("fork")) as pool:

        def count(bundles: range) -> Iterator[Counted]:
            for run in pool.map(count_run, list(_runs(bundles))):
                yield from run

        yield count


def count_run(bundles: range) -> list[Counted]:
    """The bundles of a run that are there, in order, up to the first one that is missing; what was unpacked stays behind."""
    return [counted._replace(unpacked=b"") for counted in _each(bundles)]


def _here(bundles: range) -> Iterator[Counted]:
    for run in _runs(bundles):
        yield from _each(run)


def _each(bundles: range) -> Iterator[Counted]:
    """As `count_run`, with no more than one bundle unpacked at a time."""
    stored, tiles = store.stored_bundles(bundles), store.stored_tiles(0, bundles)
    for n in bundles:
        if n not in stored:
            return
        yield _count(n, stored[n], tiles.get(n))


def _runs(bundles: range) -> Iterator[range]:
    for start in range(bundles.start, bundles.stop, BUNDLES_AT_ONCE):
        yield range(start, min(start + BUNDLES_AT_ONCE, bundles.stop))


def _count(n: int, stored: Stored, tile: tuple[bytes, bytes | None] | None) -> Counted:
    try:
        unpacked = store.unpack(stored)
        hashes = leaf_hashes(unpacked)
    except BrokenBundle as error:
        return Counted(n, b"", None, str(error), "")
    root = root_of(hashes) if len(hashes) == TILE_WIDTH * HASH_BYTES else None
    return Counted(n, hashes, root, "", "" if root is None else wrong_tile(tile, hashes, root), unpacked)


def wrong_tile(stored: tuple[bytes, bytes | None] | None, hashes: bytes, root: bytes) -> str:
    """What is wrong with a stored tile that should hold these hashes; empty where nothing is."""
    if stored is None:
        return "is missing"
    if stored[0] != hashes:
        return "does not hold the hashes of its entries"
    return "" if stored[1] in (None, root) else "does not have the root of its hashes"
