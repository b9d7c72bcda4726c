"""Keeps pulled bytes under their SHA-256, so that what was fetched once is not fetched again, and a broken
transfer goes on where it stopped.

What lies in the cache is not believed: every blob is hashed again while it is copied out of it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from countersign import places
from countersign.errors import NotProven
from countersign.proof.manifest import ManifestFile

CHUNK_BYTES: Final = 1024**2


@dataclass(slots=True)
class Partial:
    """A blob on its way: `size` bytes of it are here, and `hashed` is over them."""

    file: BinaryIO
    size: int
    hashed: hashlib._Hash

    def append(self, chunk: bytes) -> None:
        """The next bytes."""
        self.file.write(chunk)
        self.hashed.update(chunk)
        self.size += len(chunk)

    def holds(self, file: ManifestFile) -> bool:
        """Whether it is the whole blob."""
        return self.size == file.size and self.hashed.hexdigest() == file.sha256

    def restart(self) -> None:
        """Throw away what is here."""
        self.file.seek(0)
        self.file.truncate()
        self.size, self.hashed = 0, hashlib.sha256()


class Cache:
    """Blobs under their digests in a folder."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = (folder or places.cache_folder()) / "sha256"

    def path(self, digest: str) -> Path:
        """Where the blob is, or would be."""
        return self._folder / digest[:2] / digest

    def holds(self, file: ManifestFile) -> bool:
        """Whether something of the right size is there; its bytes are checked when they are used."""
        try:
            return self.path(file.sha256).stat().st_size == file.size
        except OSError:
            return False

    def drop(self, digest: str) -> None:
        """Forget a blob."""
        with places.told("remove a damaged file from the cache"):
            self.path(digest).unlink(missing_ok=True)

    @contextmanager
    def filling(self, file: ManifestFile) -> Iterator[Partial | None]:
        """The partial blob to append to, alone among all processes; None where another one has finished it meanwhile.

        Leaving without an error puts it in its place, once its bytes are the right ones; otherwise what is here is kept to go on from.
        Raises `NotProven` where they are not.
        """
        final = self.path(file.sha256)
        partial = final.with_suffix(".partial")
        places.make_folder(final.parent, 0o700)
        with places.told(f"keep {file.path}"), places.locked(partial) as descriptor:
            if self.holds(file):
                partial.unlink(missing_ok=True)
                yield None
                return
            with open(os.dup(descriptor), "r+b") as stream:
                found = _continued(stream, file)
                yield found
                stream.flush()
                if not found.holds(file):
                    delivered = found.hashed.hexdigest()
                    found.restart()
                    raise NotProven(
                        f"{file.path}: what the registry delivered is not what was signed (SHA-256 {delivered[:12]}…, "
                        f"signed {file.sha256[:12]}…).",
                        reason="bytes",
                    )
                os.fsync(stream.fileno())
            os.chmod(partial, 0o444)
            os.replace(partial, final)

    def copy(self, file: ManifestFile, target: Path) -> bool:
        """Put the blob at `target`, hashing what is written; False where the cache's bytes are not the right ones any more."""
        hashed, size = hashlib.sha256(), 0
        with places.told(f"write {target}"), self.path(file.sha256).open("rb") as source, target.open("xb") as out:
            while chunk := source.read(CHUNK_BYTES):
                hashed.update(chunk)
                out.write(chunk)
                size += len(chunk)
            out.flush()
            os.fsync(out.fileno())
        return size == file.size and hashed.hexdigest() == file.sha256

    def clear(self) -> None:
        """Delete everything."""
        with places.told("empty the cache"):
            shutil.rmtree(self._folder, ignore_errors=False)


def _continued(stream: BinaryIO, file: ManifestFile) -> Partial:
    """What is here of the blob, hashed; nothing of it where it is more than the whole."""
    found = Partial(stream, 0, hashlib.sha256())
    while chunk := stream.read(CHUNK_BYTES):
        found.hashed.update(chunk)
        found.size += len(chunk)
    if found.size > file.size:
        found.restart()
    return found
