"""How the files of a folder somewhere else come into our store: listed first, held against the limits, hashed while they come.

Whatever breaks off is asked for again after a pause, from the byte where it broke off when the place can say that the file is still the
same one, else from the start; what does not come in the end is given up with the reason. Knows no protocol: `serving.upstreams_mlflow`
and `serving.upstreams_s3` speak to the places.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol, TypeVar

from countersign.proof.manifest import ManifestFile, path_problem
from foundation.refusals import Conflict, Invalid, NotFound, TooLarge, Unavailable
from jobs.work import Work
from registry.store import ArtifactStore, limits

PAUSES: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)
LONGEST_PAUSE: Final = 60.0
LONGEST_SECONDS: Final = 3_600.0
CHECK_SECONDS: Final = 2.0
ANEW: Final = 3
T = TypeVar("T")


class Interrupted(Exception):
    """The other side cannot be reached, or broke off; it may work later, in `after` seconds where it said so."""

    def __init__(self, why: str, after: float = 0.0) -> None:
        super().__init__(why)
        self.after = after


class Changed(Exception):
    """The file is not the one any more that was begun: it has to be read from the start."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as its place lists it: path inside the folder, bytes (None: not said), and what tells its contents apart, if anything."""

    path: str
    size: int | None
    mark: str = ""


class Opened(Protocol):
    """A file on its way; `mark` tells its content from another's, empty where the place cannot say."""

    mark: str

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, nothing at the end; raises `Interrupted`."""

    def close(self) -> None:
        """Let go of the connection."""


class Folder(Protocol):
    """A folder somewhere else. Whatever it is asked raises `Interrupted`, or a `Refusal` that says why nothing comes."""

    @property
    def origin(self) -> str:
        """Where the files come from, for people and the record; without credentials."""

    def files(self) -> Iterator[RemoteFile]:
        """Every file below it."""

    def open(self, file: RemoteFile, *, offset: int, mark: str) -> Opened:
        """The file from byte `offset` on; raises `Changed` where it cannot be continued as the content that had `mark`."""


class Patience:
    """Asks again after pauses, for as long as the work is wanted; the whole may take an hour."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check
        self._deadline = time.monotonic() + LONGEST_SECONDS
        self._checked = 0.0

    def insist(self, ask: Callable[[], T]) -> T:
        """What `ask` answers; raises `Unavailable` with the last reason once it was interrupted eight times in a row."""
        for pause in PAUSES:
            try:
                return ask()
            except Interrupted as error:
                self._wait(max(pause, min(error.after, LONGEST_PAUSE)))
        try:
            return ask()
        except Interrupted as error:
            raise Unavailable(f"{error} (asked {len(PAUSES) + 1} times).", code="source-unavailable") from error

    def look_up(self) -> None:
        """Raise what says that the work is not wanted any more, or `Unavailable` once it took too long; asks every two seconds."""
        now = time.monotonic()
        if now >= self._deadline:
            raise Unavailable("The files did not come within an hour.", code="source-unavailable")
        if now - self._checked >= CHECK_SECONDS:
            self._checked = now
            self._check()

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.look_up()
            time.sleep(min(left, CHECK_SECONDS))


class Arriving:
    """A file that is read from its place as if nothing ever broke off, for the store to hash and keep."""

    def __init__(self, folder: Folder, file: RemoteFile, patience: Patience) -> None:
        self._folder, self._file, self._patience = folder, file, patience
        self._opened: Opened | None = None
        self._offset, self._mark = 0, file.mark

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes, nothing at the end; raises `Changed`, or a `Refusal` once it was given up."""
        self._patience.look_up()
        return self._patience.insist(lambda: self._some(size))

    def close(self) -> None:
        """Let go of the connection."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _some(self, size: int) -> bytes:
        try:
            if self._opened is None:
                self._opened = self._folder.open(self._file, offset=self._offset, mark=self._mark)
                self._mark = self._opened.mark
            part = self._opened.read(size)
        except Interrupted:
            self.close()
            raise
        self._offset += len(part)
        return part


def fetch(folder: Folder, work: Work, patience: Patience) -> list[ManifestFile]:
    """The files of `folder` as a manifest, every one of them in our store.

    What an earlier attempt of the same job brought is not fetched again. Raises a `Refusal` that says why they cannot be had.
    """
    listed = patience.insist(lambda: _listed(folder))
    there = _kept(work.job.result)
    most, total, files = limits(), 0, list[ManifestFile]()
    for at, remote in enumerate(listed):
        work.progress(f"Fetching {remote.path} from {folder.origin}", at, len(listed))
        file = _still_there(there.get(remote.path), remote)
        if file is None:
            file = _stored(folder, remote, patience, min(most.file_bytes, most.version_bytes - total))
            there[remote.path] = (remote.mark, file)
            work.keep({"fetched": [{"mark": mark, **asdict(one)} for mark, one in there.values()]})
        total += file.size
        files.append(file)
    return files


def _listed(folder: Folder) -> list[RemoteFile]:
    """What the place lists, sorted; refused where it has names or sizes that a version cannot have, before anything is fetched."""
    most, found, total = limits(), list[RemoteFile](), 0
    for file in folder.files():
        if problem := path_problem(file.path):
            raise Invalid(f"{folder.origin} has a file {file.path[:80]!r}: {problem.detail}", code=problem.code)
        total += file.size or 0
        found.append(file)
        if len(found) > most.files or total > most.version_bytes or (file.size or 0) > most.file_bytes:
            raise TooLarge(
                f"A version has at most {most.files:,} files, {most.file_bytes:,} bytes in one of them and {most.version_bytes:,} in all; "
                f"{folder.origin} has more.",
                code="too-large",
            )
    if not found:
        raise NotFound(f"There are no files at {folder.origin}.", code="source-missing")
    return sorted(found, key=lambda file: file.path)


def _stored(folder: Folder, remote: RemoteFile, patience: Patience, limit: int) -> ManifestFile:
    for _ in range(ANEW):
        arriving = Arriving(folder, remote, patience)
        try:
            stored = ArtifactStore().write(arriving, limit=limit)
        except Changed:
            continue
        finally:
            arriving.close()
        if remote.size not in {None, stored.size}:
            break
        return ManifestFile(remote.path, stored.size, stored.digest)
    raise Conflict(
        f"{remote.path} broke off or changed at {folder.origin} while it was fetched. Register again once it is left as it is.",
        code="source-changed",
    )


def _kept(result: Mapping[str, Any]) -> dict[str, tuple[str, ManifestFile]]:
    there = {}
    for row in result.get("fetched", ()):
        with suppress(KeyError, TypeError):  # a result of another shape is none
            there[row["path"]] = (row["mark"], ManifestFile(row["path"], row["size"], row["sha256"]))
    return there


def _still_there(kept: tuple[str, ManifestFile] | None, remote: RemoteFile) -> ManifestFile | None:
    """What an earlier attempt brought, where the place lists the same and our store has it."""
    if kept is None:
        return None
    mark, file = kept
    same = mark == remote.mark and remote.size in {None, file.size}
    return file if same and ArtifactStore().size(file.sha256) == file.size else None
