"""Takes the files that a client logged from MLflow's artifact folder, where they can be overwritten, into our store, where they cannot."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from countersign.proof.manifest import ManifestFile
from foundation.refusals import Invalid, TooLarge
from registry.store import ArtifactStore, limits


def freeze(folder: Path) -> list[ManifestFile]:
    """Copy every file under `folder` into the store, hashing while writing, and return the manifest.

    What was copied is what counts: a file that changes meanwhile has the digest of the copy. Raises `Invalid` for anything that is
    not a plain file, `TooLarge` beyond the limits on a version, before more is copied.
    """
    store, most, total = ArtifactStore(), limits(), 0
    files: list[ManifestFile] = []
    for path in _plain_files(folder):
        if len(files) >= most.files:
            raise TooLarge(f"A version has at most {most.files:,} files.", code="too-many-files")
        with path.open("rb") as stream:
            stored = store.write(stream, limit=min(most.file_bytes, most.version_bytes - total))
        total += stored.size
        files.append(ManifestFile(path.relative_to(folder).as_posix(), stored.size, stored.digest))
    return files


def _plain_files(folder: Path) -> Iterator[Path]:
    """Every file under `folder`, sorted; links and devices are refused, since they could name anything on this machine."""
    for entry in sorted(os.scandir(folder), key=lambda one: one.name):
        if entry.is_symlink() or not (entry.is_file() or entry.is_dir()):
            raise Invalid(
                f"“{entry.name}” is neither a file nor a folder; only plain files can be registered.", code="not-a-file"
            )
        if entry.is_dir():
            yield from _plain_files(Path(entry.path))
        else:
            yield Path(entry.path)
