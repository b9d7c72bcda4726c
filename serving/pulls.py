"""Handing out the bytes of an approved version, with a record of each pull: one entry before the first byte, one after the last.

The approval is asked for again at every request, so an address that was good yesterday is refused after a revocation.
"""

from __future__ import annotations

import base64
import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

from django.db import connection

from access.principal import Principal
from audit.actions import Receipt, append, append_alone
from audit.events import Action, Obj, Outcome
from countersign.proof.manifest import ManifestFile
from foundation.refusals import Conflict, Forbidden, NotFound, Refusal, Unavailable
from registry.models import ModelVersion
from registry.store import ArtifactStore
from serving.byte_ranges import Chosen, Span
from serving.queries import Resolved, resolve

CHUNK_BYTES: Final = 1024**2


@dataclass(frozen=True, slots=True)
class Pull:
    """One fetch by one caller: of `path`, or of everything when it is empty. `purpose` is what the caller declared.

    `range` is what of the file was asked for, as `bytes=0-99,200-299`; empty for all of it.
    """

    version: ModelVersion
    path: str
    by: Principal
    purpose: str = ""
    range: str = ""

    def record(self, step: str, size: int = 0) -> Receipt:
        """Put a step on record: `begun`, `completed`, or `broken_off` with the bytes that left until then.

        `handed_over`: the proxy in front sends the bytes, and nobody here sees how many of them arrive.
        """
        return put(
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
                **({"range": self.range} if self.range else {}),
            },
        )

    def record_read(self, method: str, status: int) -> Receipt:
        """Put on record that the file was asked about and no byte of it left: a HEAD, or a copy that was confirmed or refused."""
        return put(
            Action.VERSION_VIEW,
            by=self.by,
            obj=self.version.ledger_ref(),
            after={"path": self.path, "method": method, "answer": str(int(status)), "digest": self.version.digest},
        )


def allowed(
    model_name: str, *, alias: str = "", version: int | None = None, stage_name: str = "", by: Principal
) -> Resolved:
    """`serving.queries.resolve`, with an entry in the ledger where it refuses."""
    try:
        return resolve(model_name, alias=alias, version=version, stage_name=stage_name, by=by)
    except (Conflict, Forbidden) as refusal:
        record_refusal(model_name, f"@{alias}" if alias else f"v{version}", refusal, by=by)
        raise


def record_refusal(model_name: str, asked_for: str, refusal: Refusal, *, by: Principal) -> Receipt:
    """Put on record that `by` was refused a version of a model."""
    return put(
        Action.VERSION_PULL,
        by=by,
        obj=Obj(kind="model", id="", name=model_name[:200]),
        outcome=Outcome.DENIED,
        why=refusal.code,
        after={"asked_for": asked_for[:200], **by_rule(refusal)},
    )


def by_rule(refusal: Refusal | None) -> dict[str, str]:
    """The rule of an access policy that refused, for the record; nothing where none did."""
    return {"rule": refusal.rule} if refusal is not None and refusal.rule else {}


def record_proof(resolved: Resolved, *, by: Principal, held: bool = False, form: str = "") -> Receipt:
    """Put on record that `by` took the proof that a version is approved, or was told that the one they hold is the newest (`held`).

    `form` is set where it was another one than ours: `model.sig`.
    """
    return put(
        Action.VERSION_ATTEST,
        by=by,
        obj=resolved.version.ledger_ref(),
        after={
            "stage": resolved.stage.name,
            "release": resolved.release_digest,
            **({"alias": resolved.alias} if resolved.alias else {}),
            **({"held": True} if held else {}),
            **({"form": form} if form else {}),
        },
    )


def put(action: Action, **said: Any) -> Receipt:
    """Append an entry in the transaction that is open (the gateway records many pulls in one), else in one of its own."""
    return append(action, **said) if connection.in_atomic_block else append_alone(action, **said)


def find_file(version: ModelVersion, path: str) -> ManifestFile:
    """The file of the version's manifest with exactly this path; nothing else can be asked for."""
    file = version.file(path)
    if file is None:
        raise NotFound(f"{version.model.name} version {version.number} has no file “{path}”.", code="file-unknown")
    return file


def find_blob(version: ModelVersion, sha256: str) -> ManifestFile:
    """The first file of the version's manifest with this digest; the bytes are the same under each of its names."""
    file = next((one for one in version.files if one.sha256 == sha256), None)
    if file is None:
        raise NotFound(
            f"{version.model.name} version {version.number} has no file with the SHA-256 {sha256[:64]}.",
            code="file-unknown",
        )
    return file


def check_stored(file: ManifestFile) -> None:
    """Return when the file's bytes are there in their size; raises `Unavailable`."""
    if ArtifactStore().size(file.sha256) != file.size:
        raise Unavailable(
            f"The stored bytes of {file.path} are missing or damaged; nothing of it is handed out. Ask an administrator to restore "
            "them from a backup.",
            code="artifact-damaged",
        )


def download_headers(filename: str, sha256: str) -> dict[str, str]:
    """What every answer says of the bytes with this digest: a name to keep them under, the digest as ETag and Repr-Digest (RFC 9530)."""
    return {
        "Content-Type": "application/octet-stream",
        "Content-Disposition": f'attachment; filename="{filename}"',
        "X-Content-Type-Options": "nosniff",
        "ETag": f'"{sha256}"',
        "Repr-Digest": f"sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode()}:",
        "Cache-Control": "private, no-cache",
    }


class PulledFile:
    """One file, or some ranges of it, on its way to a caller; closing it puts on record how much of the file left.

    Where one stretch of the file is the whole body, a server may send it past `read` with `sendfile`: it then says by `seek` how
    far it came (as `socket.sendfile` does).
    """

    def __init__(
        self, pull: Pull, file: ManifestFile, chosen: Chosen | None = None, *, begun: Receipt | None = None
    ) -> None:
        self._pull = pull
        self._chosen = chosen or Chosen(HTTPStatus.OK, (Span(0, file.size - 1),) if file.size else (), file.size)
        self._stream = _open(ArtifactStore(), file)
        self._parts = self._chosen.spans if self._chosen.boundary else ()
        self._span = Span(0, -1) if self._parts else next(iter(self._chosen.spans), Span(0, -1))
        self._stream.seek(self._span.first)
        self._next = 0
        self._left = self._span.length
        self._sent = 0
        self._closed = False
        self.receipt = begun or pull.record("begun")

    def read(self, size: int = CHUNK_BYTES) -> bytes:
        """Up to `size` bytes of the body, or the head of one of its parts; nothing at the end."""
        if not self._left:
            return self._next_part()
        chunk = self._stream.read(min(size, self._left))
        self._left -= len(chunk)
        self._sent += len(chunk)
        return chunk

    def fileno(self) -> int:
        """The open file, positioned at the first byte of the body; only where the body is one stretch of it."""
        if self._parts:
            raise io.UnsupportedOperation("A body of several parts is not one stretch of a file.")
        return self._stream.fileno()

    def seek(self, position: int) -> int:
        """Say that everything of the file before `position` has left, without `read`."""
        self._sent = position - self._span.first
        self._left = self._span.length - self._sent
        return self._stream.seek(position)

    def close(self) -> None:
        """Let go of the file and record the end of the pull, once."""
        if not self._closed:
            self._pull.record(*self.let_go())

    def let_go(self) -> tuple[str, int]:
        """Close the file and say which end of the pull is to be recorded, and after how many bytes: for who records it elsewhere."""
        self._closed = True
        self._stream.close()
        return "completed" if self._sent == self._chosen.file_bytes else "broken_off", self._sent

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self.read():
            yield chunk

    def _next_part(self) -> bytes:
        """Go on to the next part of a body of several, and give what stands before it, or at the end."""
        self._next += 1
        if not self._parts or self._next > len(self._parts) + 1:
            return b""
        if self._next > len(self._parts):
            return self._chosen.end
        self._span = self._parts[self._next - 1]
        self._stream.seek(self._span.first)
        self._left = self._span.length
        return self._chosen.part(self._span)


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
    check_stored(file)
    return store.open(file.sha256)
