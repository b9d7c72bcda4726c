"""Rebuilds the search index from the bundles: the index is a convenience, the bundles are the ledger."""

from __future__ import annotations

from typing import Final

from django.db import transaction

from audit import store
from audit.entries import INDEX_COLUMNS, Entry
from audit.models import IndexRow
from audit.tiles import TILE_WIDTH

_BUNDLES_AT_ONCE: Final = 16


def reindex() -> int:
    """Write the index anew, in one transaction; how many rows it holds now."""
    with transaction.atomic():
        IndexRow.objects.all().delete()
        size = store.stored_size()
        for first in range(0, -(-size // TILE_WIDTH), _BUNDLES_AT_ONCE):
            _index_bundles(range(first, first + _BUNDLES_AT_ONCE))
    return size


def _index_bundles(bundles: range) -> None:
    rows = [
        Entry.parse(payload).index_row(n * TILE_WIDTH + position)
        for n in bundles
        for position, payload in enumerate(store.read_bundle(n))
    ]
    store.insert_many("audit_index", INDEX_COLUMNS, rows)
