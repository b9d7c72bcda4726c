"""Registers a local folder as a new version: every file hashed, sent in one request, and waited for until the registry has admitted it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import quote

from countersign import places
from countersign.errors import Misused, NotReached, Refused
from countersign.fetching import Tell
from countersign.folder import digest_of_file, found_files
from countersign.proof.manifest import ManifestFile, name_problems, rows
from countersign.session import Session

QUARANTINED: Final = "quarantined"
REFUSED: Final = "rejected"
LOOK_EVERY: Final = 1.0


def manifest_of(folder: Path) -> list[ManifestFile]:
    """The files of a folder as they would be registered; raises `Misused` naming what may not be in it."""
    if not folder.is_dir():
        raise Misused(f"There is no folder {folder}.", reason="no-folder")
    files = []
    for path in found_files(folder):
        whole = folder / path
        if whole.is_symlink() or not whole.is_file():
            raise Misused(f"{path} is a link or no file; a version holds plain files only.", reason="files")
        with places.told(f"read {whole}"):
            files.append(ManifestFile(path, *digest_of_file(whole)))
    if not files:
        raise Misused(f"{folder} holds no files.", reason="files")
    if problems := name_problems(files):
        raise Misused(f"{problems[0].path}: {problems[0].detail}", reason="files")
    return sorted(files)


def send(
    session: Session, model: str, folder: Path, files: list[ManifestFile], *, fields: Mapping[str, str], tell: Tell
) -> dict[str, Any]:
    """Send the files as a new version of `model`; what the registry says about it. `fields`: the texts that go with it."""
    manifest = json.dumps(rows(files))
    with ExitStack() as opened:
        parts = [
            (file.path, (file.path.rpartition("/")[2], _Told(opened.enter_context(_open(folder / file.path)), tell)))
            for file in files
        ]
        answer = session.post(
            f"/api/v1/models/{quote(model, safe='')}/versions/", data={"manifest": manifest, **fields}, files=parts
        )
    return _version(answer)


def await_admission(
    session: Session,
    model: str,
    number: int,
    *,
    seconds: float,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Any]:
    """The version once it has left quarantine; raises `Refused` where it was refused there, `NotReached` where that takes longer."""
    address, deadline = f"/api/v1/models/{quote(model, safe='')}/versions/{number}/", clock() + seconds
    while True:
        version = _version(session.get_json(address))
        if version["state"] == REFUSED:
            raise Refused(
                f"{model} version {number} was refused at admission: {version.get('status_message') or 'no reason was given'}",
                reason="not-admitted",
            )
        if version["state"] != QUARANTINED:
            return version
        if clock() >= deadline:
            raise NotReached(
                f"{model} version {number} is registered, and still waits to be scanned after {seconds:.0f} seconds. Ask again with "
                f"`countersign status {model}/{number}`.",
                reason="still-quarantined",
            )
        sleep(LOOK_EVERY)


class _Told:
    """A file that tells how much of it was read; sized and rewound by what sends it, like the file itself."""

    def __init__(self, file: BinaryIO, tell: Tell) -> None:
        self._file, self._tell = file, tell

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        chunk = self._file.read(size)
        self._tell(len(chunk))
        return chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _open(path: Path) -> BinaryIO:
    with places.told(f"read {path}"):
        return path.open("rb")


def _version(answer: Any) -> dict[str, Any]:
    if not isinstance(answer, dict) or not isinstance(answer.get("number"), int) or "state" not in answer:
        raise NotReached("The registry's answer about the version cannot be read.", reason="not-json")
    return answer
