"""Handing out the bytes of an approved version, with a record of each pull: one entry before the first byte, one after the last.

The approval is asked for again at every request, so an address that was good yesterday is refused after a revocation.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO, Final, Self

from access.principal import Principal
from audit.actions import Receipt, append_alone
from audit.events import Action, Obj, Outcome
from foundation.refusals import Conflict, Forbidden, NotFound, Unavailable
from registry.manifest import ManifestFile
from registry.models import ModelVersion
from registry.store import ArtifactStore
from serving.queries import Resolved, resolve

CHUNK_BYTES: Final = 1024**2


@dataclass(frozen=True, slots=True)
class Pull:
    """One fetch by one caller: of `path`, or of everything when it is empty. `purpose` is what the caller declared."""

    version: ModelVersion
    path: str
    by: Principal
    purpose: str = ""

    def record(self, step: str, size: int = 0) -> Receipt:
        """Put a step on record: `begun`, `completed`, or `broken_off` with the bytes that left until then."""
        return append_alone(
            Action.VERSION_PULL,
            by=self.by,
            obj=self.version.ledger_ref(),
            outcome=Outcome.ERROR if step == "broken_off" else Outcome.OK,
            after={
                "step": step,
                "path": self.path,
                "bytes": size,
                "digest": self.version.digest,
                "purpose": self.purpose[:200],
            },
        )


def allowed(
    model_name: str, *, alias: str = "", version: int | None = None, stage_name: str = "", by: Principal
) -> Resolved:
    """`serving.queries.resolve`, with an entry in the ledger where it refuses."""
    try:
        return resolve(model_name, alias=alias, version=version, stage_name=stage_name, by=by)
    except (Conflict, Forbidden) as refusal:
        asked = f"@{alias}" if alias else f"v{version}"
        append_alone(
            Action.VERSION_PULL,
            by=by,
            obj=Obj(kind="model", id="", name=model_name),
            outcome=Outcome.DENIED,
            why=refusal.code,
            after={"asked_for": asked},
        )
        raise


def find_file(version: ModelVersion, path: str) -> ManifestFile:
    """The file of the version's manifest with exactly this path; nothing else can be asked for."""
    file = version.file(path)
    if file is None:
        raise NotFound(f"{version.model.name} version {version.number} has no file “{path}”.", code="file-unknown")
    return file


class PulledFile:
    """One file on its way to a caller; closing it puts on record how much of it left."""

    def __init__(self, pull: Pull, file: ManifestFile, store: ArtifactStore | None = None) -> None:
        self._pull, self._file = pull, file
        self._stream = _open(store or ArtifactStore(), file)
        self._sent = 0
        self._closed = False
        self.receipt = pull.record("begun")

    def read(self, size: int = CHUNK_BYTES) -> bytes:
        """Up to `size` bytes; nothing at the end."""
        chunk = self._stream.read(size)
        self._sent += len(chunk)
        return chunk

    def close(self) -> None:
        """Let go of the file and record the end of the pull, once."""
        if self._closed:
            return
        self._closed = True
        self._stream.close()
        self._pull.record("completed" if self._sent == self._file.size else "broken_off", self._sent)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self.read():
            yield chunk


class PulledTar:
    """Every file of the version as one uncompressed tar, in the manifest's order, with fixed times and owners: the same bytes each time.

    The pull is on record from the beginning; closing it, or its last byte, puts on record how much of it left.
    """

    def __init__(self, pull: Pull) -> None:
        self._pull, self._sent, self._closed = pull, 0, False
        self._size = tar_size(pull.version)
        self._chunks = _tar(pull.version, ArtifactStore())
        self.receipt = pull.record("begun")

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._chunks:
                self._sent += len(chunk)
                yield chunk
        finally:
            self.close()

    def close(self) -> None:
        """Record the end of the pull, once."""
        if not self._closed:
            self._closed = True
            self._pull.record("completed" if self._sent == self._size else "broken_off", self._sent)


def tar_size(version: ModelVersion) -> int:
    """How many bytes a `PulledTar` will yield."""
    return sum(len(_header(file)) + _padded(file.size) for file in version.files) + 2 * tarfile.BLOCKSIZE


def _tar(version: ModelVersion, store: ArtifactStore) -> Iterator[bytes]:
    for file in version.files:
        yield _header(file)
        with _open(store, file) as stream:
            while chunk := stream.read(CHUNK_BYTES):
                yield chunk
        yield b"\0" * (_padded(file.size) - file.size)
    yield b"\0" * (2 * tarfile.BLOCKSIZE)


def _header(file: ManifestFile) -> bytes:
    entry = tarfile.TarInfo(file.path)
    entry.size, entry.mode = file.size, 0o444
    return entry.tobuf(tarfile.PAX_FORMAT)


def _padded(size: int) -> int:
    return -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def _open(store: ArtifactStore, file: ManifestFile) -> BinaryIO:
    if store.size(file.sha256) != file.size:
        raise Unavailable(
            f"The stored bytes of {file.path} are missing or damaged; nothing of it is handed out. Ask an administrator to restore "
            "them from a backup.",
            code="artifact-damaged",
        )
    return store.open(file.sha256)
