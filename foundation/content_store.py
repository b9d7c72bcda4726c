"""Where bytes lie: a content-addressed, write-once folder. A file is there whole, under its SHA-256, or not at all.

Written once: hash while writing to a temporary file in the same file system, fsync, link under the final name, fsync the
folder. Whatever fails on the way leaves nothing behind; what a killed process left behind can be cleared by the next one.
Rooms that keep files derive a store with their own words for the refusals.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import ClassVar, Final, Protocol

from countersign.proof.canonical import SHA256
from foundation.refusals import Invalid, NotFound, TooLarge, Unavailable

CHUNK_BYTES: Final = 1024**2
READ_ONLY: Final = 0o440
_NO_ROOM: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Readable(Protocol):
    """Whatever bytes come from: a file, an upload, a request body."""

    def read(self, size: int = ..., /) -> bytes:
        """Up to `size` bytes; nothing at the end."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What was written: SHA-256 as 64 hexadecimal digits, and size in bytes."""

    digest: str
    size: int


class ContentStore:
    """Files under their SHA-256 below the folder `root`."""

    name: ClassVar = "store"
    folder: ClassVar = "sha256"
    damaged_code: ClassVar = "file-damaged"

    def __init__(self, root: Path) -> None:
        self.root = root
        self.incoming = root / "incoming"

    def write(
        self, stream: Readable, *, limit: int, expected_size: int | None = None, expected_digest: str | None = None
    ) -> Stored:
        """Keep the bytes of `stream` and say what they are; bytes that are there already are kept once.

        `limit`: bytes. Raises `TooLarge` beyond it, `Invalid` when size or digest are not the expected ones or the upload
        breaks off, `Unavailable` when the disk cannot take it; nothing is kept then.
        """
        with self.arriving(stream, limit=limit) as (stored, _):
            _compare(stored, expected_size, expected_digest)
        return stored

    @contextmanager
    def arriving(self, stream: Readable, *, limit: int) -> Iterator[tuple[Stored, Path]]:
        """The bytes of `stream` in a temporary file, to be looked at; kept when the block ends well, gone when it raises.

        Raises what `write` raises.
        """
        with self._as_unavailable():
            self.incoming.mkdir(parents=True, exist_ok=True, mode=0o750)
        with self._temporary() as (descriptor, temporary):
            stored = self._copy(stream, descriptor, limit)
            yield stored, temporary
            with self._as_unavailable():
                os.fchmod(descriptor, READ_ONLY)
                os.fsync(descriptor)
                self._publish(temporary, stored)

    def path(self, digest: str) -> Path:
        """Where the file with this digest lies or would lie; raises `NotFound` for what is no digest."""
        if not SHA256.fullmatch(digest):
            raise NotFound("There is no such file: a digest is written as 64 lower-case hexadecimal digits.")
        return self.root / self.folder / digest[:2] / digest

    def size(self, digest: str) -> int | None:
        """The size in bytes of the file with this digest, or nothing when it is not there."""
        try:
            return self.path(digest).stat().st_size
        except FileNotFoundError:
            return None

    def open(self, digest: str, *, verify: bool = False) -> BufferedReader:
        """The file with this digest, for reading; with `verify`, only once its bytes were hashed anew. Raises `NotFound`."""
        if verify:
            self.verify(digest)
        try:
            return self.path(digest).open("rb")
        except FileNotFoundError:
            raise NotFound(f"The file with digest {digest[:12]}… is not in the {self.name}.") from None

    def rehash(self, digest: str) -> str:
        """The SHA-256 that the bytes of the file with this digest have now. Raises `NotFound`."""
        with self.open(digest) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def verify(self, digest: str) -> None:
        """Hash the file again; raises `Unavailable` where its bytes are not what its name says."""
        found = self.rehash(digest)
        if found != digest:
            raise Unavailable(
                f"The stored file {digest[:12]}… is damaged: {found[:12]}… is what its bytes hash to. Ask an administrator to "
                "restore it from a backup; it is not handed out meanwhile.",
                code=self.damaged_code,
            )

    def clear_abandoned(self) -> int:
        """Remove what killed processes left half-written; returns how many files went. Uploads under way are locked and stay."""
        removed = 0
        for temporary in self.incoming.glob("*.part") if self.incoming.is_dir() else ():
            with suppress(FileNotFoundError), temporary.open("rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                temporary.unlink()
                removed += 1
        return removed

    def too_large(self, limit: int) -> TooLarge:
        """The refusal of more than `limit` bytes."""
        return TooLarge(f"A file has at most {limit:,} bytes; this one is larger. Nothing of it was kept.")

    def broken_off(self, arrived: int) -> Invalid:
        """The refusal of an upload whose sender went away after `arrived` bytes."""
        return Invalid(
            f"The upload broke off after {arrived:,} bytes; nothing of it was kept. Send it again.",
            code="upload-truncated",
        )

    def no_room(self) -> Unavailable:
        """The refusal when the disk is full."""
        return Unavailable(
            f"The {self.name} has no room left for this file; nothing of it was kept. Ask an administrator to free or "
            "add space, then send it again.",
            code="store-full",
        )

    @contextmanager
    def _as_unavailable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise self.no_room() from error
            raise Unavailable(
                f"The {self.name} cannot be written ({os.strerror(error.errno or 0)}); nothing was kept. Tell an administrator.",
                code="store-unavailable",
            ) from error

    @contextmanager
    def _temporary(self) -> Iterator[tuple[int, Path]]:
        """A new locked file that is gone when the block ends, however it ends."""
        temporary = self.incoming / f"{secrets.token_hex(16)}.part"
        with self._as_unavailable():
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor, temporary
        finally:
            temporary.unlink(missing_ok=True)
            os.close(descriptor)

    def _copy(self, stream: Readable, descriptor: int, limit: int) -> Stored:
        digest = hashlib.sha256()
        size = 0
        while chunk := self._read(stream, size):
            size += len(chunk)
            if size > limit:
                raise self.too_large(limit)
            digest.update(chunk)
            with self._as_unavailable():
                _write_all(descriptor, chunk)
        return Stored(digest.hexdigest(), size)

    def _read(self, stream: Readable, so_far: int) -> bytes:
        try:
            return stream.read(CHUNK_BYTES)
        except OSError as error:  # what a client that went away looks like (django.http.UnreadablePostError)
            raise self.broken_off(so_far) from error

    def _publish(self, temporary: Path, stored: Stored) -> None:
        """Give the written file its final name, unless one is there; durable when this returns."""
        final = self.path(stored.digest)
        if not final.parent.is_dir():
            final.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
            _fsync_folder(final.parent.parent)
            _fsync_folder(self.root)
        try:
            os.link(temporary, final)
        except FileExistsError:
            if final.stat().st_size != stored.size:
                raise Unavailable(
                    f"The stored file {stored.digest[:12]}… is damaged; ask an administrator to restore it from a backup.",
                    code=self.damaged_code,
                ) from None
        _fsync_folder(final.parent)


def _write_all(descriptor: int, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[os.write(descriptor, view) :]


def _compare(stored: Stored, size: int | None, digest: str | None) -> None:
    if size is not None and stored.size != size:
        raise Invalid(
            f"{size:,} bytes were announced and {stored.size:,} arrived; nothing of it was kept. Send it again.",
            code="upload-truncated",
        )
    if digest is not None and stored.digest != digest:
        raise Invalid(
            f"The bytes that arrived have the SHA-256 {stored.digest}, not the expected {digest}; nothing of it was kept.",
            code="digest-mismatch",
        )


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
