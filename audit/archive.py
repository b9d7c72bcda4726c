"""Decides where entries lie that have left the database: in files of the archive folder, in C2SP's tlog-tiles layout.

A file holds what the row held, a zstd-compressed entry bundle: unpacked, the folder is a log's `tile/entries/…` as any tool reads
it. Reading says in words what is missing or changed; whether the entries are the signed ones is for the tree to say, as ever.
"""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import TypeAlias

from django.conf import settings
from django.db.models import Max

from audit.keys import sync_folder
from audit.models import Archived
from audit.tiles import MAX_BUNDLE_BYTES, TILE_WIDTH, BrokenBundle, bundle_path

Stored: TypeAlias = bytes | BrokenBundle
"""A bundle as it is stored, or why it cannot be had."""


class FileDiffers(RuntimeError):
    """The archive already holds another file under this name; the sentence says which."""


def folder() -> Path:
    """Where the archive lies."""
    return Path(settings.AUDIT_ARCHIVE_DIR)


def name_of(n: int) -> str:
    """The name of a full bundle's file in the archive, for example `tile/entries/x001/x234/067.zst`."""
    return f"{bundle_path(n)}.zst"


def archived_bundles(bundles: range) -> dict[int, Stored]:
    """The stored form of each of these bundles that was archived, in one statement."""
    rows = Archived.objects.filter(n__gte=bundles.start, n__lt=bundles.stop).values_list("n", "sha256")
    return {n: _stored(n, bytes(digest)) for n, digest in rows}


def _stored(n: int, digest: bytes) -> Stored:
    try:
        content = read_file(n)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        return BrokenBundle(
            f"the archive file {name_of(n)} {'is missing' if missing else f'cannot be read ({error.strerror})'}"
        )
    if sha256(content).digest() != digest:
        return BrokenBundle(f"the archive file {name_of(n)} is not what was archived")
    return content


def archived_end() -> int:
    """Up to which entry the ledger has been archived; 0 where nothing was."""
    newest = Archived.objects.aggregate(n=Max("n"))["n"]
    return 0 if newest is None else (int(newest) + 1) * TILE_WIDTH


def absent() -> list[str]:
    """The names of archived files that are not where they belong; whether the others are intact is for verification to say."""
    numbers = Archived.objects.order_by("n").values_list("n", flat=True)
    return [name for n in numbers.iterator() if not (folder() / (name := name_of(n))).is_file()]


def read_file(n: int) -> bytes:
    """The bytes of a bundle's file, no more than a bundle can have; raises `OSError`."""
    with (folder() / name_of(n)).open("rb") as file:
        return file.read(MAX_BUNDLE_BYTES)


def write_file(n: int, content: bytes) -> None:
    """Put a bundle's file there whole or not at all, and return when it is on the disk; raises `FileDiffers`.

    Writing the same one again is harmless, so that what was killed is done again.
    """
    path = folder() / name_of(n)
    if path.exists() and read_file(n) != content:
        raise FileDiffers(
            f"{name_of(n)} is in the archive already and holds something else. Find out what it is; do not overwrite it."
        )
    if not path.exists():
        _make(path.parent)
        unfinished = path.with_name(f"{path.name}.part")
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    # Also where the file was there: whoever wrote it may have been killed before its name was on the disk.
    sync_folder(path.parent)


def _make(wanted: Path) -> None:
    missing = [path for path in (wanted, *wanted.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        sync_folder(path.parent)
