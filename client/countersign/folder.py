"""Decides whether a folder holds exactly the files that were signed, and puts pulled files into their place at once or not at all."""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from countersign import places
from countersign.cache import CHUNK_BYTES
from countersign.errors import LocalTrouble, Misused, NotProven
from countersign.proof.manifest import ManifestFile

KEPT: Final = ".countersign"
PULL: Final = "pull.json"
MODEL_SIG: Final = "model.sig"
MOST_BYTES: Final = 64 * 1024**2
_AT_CWD: Final = -100
_EXCHANGE: Final = 2


def document_path(folder: Path) -> Path:
    """Where the pull document of a folder lies."""
    return folder / KEPT / PULL


def read_document(folder: Path) -> dict[str, Any]:
    """The pull document of a folder that somebody pulled; raises `Misused` where there is none, `NotProven` where it was damaged."""
    path = document_path(folder)
    if not folder.is_dir():
        raise Misused(f"There is no folder {folder}.", reason="no-folder")
    try:
        if path.stat().st_size > MOST_BYTES:
            raise NotProven(f"{KEPT}/{PULL} is larger than any pull document.", reason="document")
        value = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise Misused(
            f"{folder} was not pulled by Countersign: {KEPT}/{PULL} is missing, so nothing says who signed it.",
            reason="not-pulled",
        ) from error
    except OSError as error:
        raise places.trouble(error, f"read {path}") from error
    except (ValueError, RecursionError) as error:
        raise NotProven(f"{KEPT}/{PULL} was damaged: it is not JSON any more.", reason="document") from error
    if not isinstance(value, dict):
        raise NotProven(f"{KEPT}/{PULL} was damaged: it holds no pull document.", reason="document")
    return value


def check_files(folder: Path, files: Sequence[ManifestFile]) -> None:
    """That the folder holds these files, byte for byte, and nothing besides; raises `NotProven` naming the first that differs."""
    for file in files:
        if problem := _problem(folder / file.path, file):
            raise NotProven(f"{file.path} {problem}", reason="files")
    expected = {file.path for file in files}
    for path in found_files(folder):
        if path not in expected:
            raise NotProven(
                f"{path} is in the folder, and nobody signed it. Remove it, or pull the model again.", reason="files"
            )


def holds(folder: Path, files: Sequence[ManifestFile]) -> bool:
    """Whether the folder holds exactly these files."""
    try:
        check_files(folder, files)
    except (NotProven, LocalTrouble):
        return False
    return True


def found_files(folder: Path) -> Iterator[str]:
    """The relative paths of everything in a folder that is no folder itself, links included; not what the client keeps there."""
    for base, names, others in os.walk(folder):
        here = Path(base)
        if here == folder and KEPT in names:
            names.remove(KEPT)
        links = [name for name in names if (here / name).is_symlink()]
        for name in sorted(others + links):
            yield (here / name).relative_to(folder).as_posix()


def digest_of_file(path: Path) -> tuple[int, str]:
    """Size in bytes and SHA-256 of a file."""
    hashed, size = hashlib.sha256(), 0
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            hashed.update(chunk)
            size += len(chunk)
    return size, hashed.hexdigest()


def check_target(target: Path) -> None:
    """That pulled files may go to `target`: it does not exist, is empty, or was pulled before. Raises `LocalTrouble`."""
    with places.told(f"use {target}"):
        if target.is_symlink() or (target.exists() and not target.is_dir()):
            raise LocalTrouble(f"{target} is in the way: it is no folder. Choose another one.", reason="in-the-way")
        if target.is_dir() and any(target.iterdir()) and not document_path(target).is_file():
            raise LocalTrouble(
                f"{target} holds files that were not pulled by Countersign; they would be lost. Choose another folder.",
                reason="in-the-way",
            )


def write_document(folder: Path, document: bytes) -> None:
    """Put a newer pull document beside files that are already there."""
    places.make_folder(folder / KEPT)
    places.write_whole(document_path(folder), document)


def write_model_sig(folder: Path, bundle: bytes) -> None:
    """Put the bundle for the OpenSSF model-signing tool beside the pull document."""
    places.make_folder(folder / KEPT)
    places.write_whole(folder / KEPT / MODEL_SIG, bundle)


@contextmanager
def staging(target: Path) -> Iterator[Path]:
    """A folder beside `target` to fill; leaving without an error puts it in the place of `target` in one step.

    What killed pulls left behind is removed. Two pulls at once both arrive whole, the later one stays.
    """
    parent = target.parent
    places.make_folder(parent)
    fresh = parent / f"{_prefix(target)}{secrets.token_hex(6)}"
    with ExitStack() as held:
        with places.locked(parent):  # nobody sweeps the new folder away before its own lock is held
            _sweep(target)
            places.make_folder(fresh)
            held.enter_context(places.locked(fresh))
        try:
            yield fresh
            with places.told(f"put the model into {target}"), places.locked(parent):
                check_target(target)
                _swap(fresh, target)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


def _problem(path: Path, file: ManifestFile) -> str:
    """What is wrong with a file, or nothing."""
    try:
        if path.is_symlink() or any(one.is_symlink() for one in _between(path, file.path)):
            return "is a link; a pulled folder holds files only. Pull the model again."
        if not path.is_file():
            return "is missing. Pull the model again."
        found = digest_of_file(path)
    except OSError as error:
        raise places.trouble(error, f"read {path}") from error
    if found != (file.size, file.sha256):
        return f"was changed: {file.sha256[:12]}… was signed, and {found[1][:12]}… is its SHA-256. Do not load it; pull the model again."
    return ""


def _between(path: Path, relative: str) -> list[Path]:
    """The folders between the pulled folder and a file in it."""
    return list(path.parents)[: relative.count("/")]


def _prefix(target: Path) -> str:
    return f".{target.name}.countersign-"


def _sweep(target: Path) -> None:
    """Remove the half-filled folders of pulls that were killed: nobody holds their lock any more."""
    for left in target.parent.glob(f"{_prefix(target)}*"):
        with suppress(OSError):
            descriptor = os.open(left, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(descriptor)


def _swap(fresh: Path, target: Path) -> None:
    """Put `fresh` in the place of `target`; what was there is then under the name of `fresh`, to be removed."""
    if not target.exists() or not any(target.iterdir()):
        os.rename(fresh, target)
        return
    if _exchanged(fresh, target):
        return
    aside = fresh.with_name(
        f"{fresh.name}-old"
    )  # a file system without exchange: two steps, nothing in between is half a model
    os.rename(target, aside)
    os.rename(fresh, target)
    shutil.rmtree(aside, ignore_errors=True)


def _exchanged(one: Path, other: Path) -> bool:
    """Whether Linux exchanged two folders in one step (renameat2(2), RENAME_EXCHANGE)."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        return False
    return bool(call(_AT_CWD, os.fsencode(one), _AT_CWD, os.fsencode(other), _EXCHANGE) == 0)
