"""Decides where the client keeps things: settings, what it has seen, and bytes; and how a file is written whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from countersign.errors import LocalTrouble, Misused

APP: Final = "countersign"


def _base(variable: str, default: str) -> Path:
    """A folder of the XDG base directory specification."""
    given = os.environ.get(variable, "")
    return Path(given) if given.startswith("/") else Path.home() / default


def config_folder() -> Path:
    """Where credentials lie."""
    return _base("XDG_CONFIG_HOME", ".config") / APP


def state_folder() -> Path:
    """Where pinned keys and what was seen of each registry lie."""
    return _base("XDG_STATE_HOME", ".local/state") / APP


def cache_folder() -> Path:
    """Where pulled bytes lie under their digests; may be deleted at any time."""
    return _base("XDG_CACHE_HOME", ".cache") / APP


@contextmanager
def told(what: str) -> Iterator[None]:
    """Turn what the operating system says inside into a sentence about `what`."""
    try:
        yield
    except OSError as error:
        raise trouble(error, what) from error


def trouble(error: OSError, what: str) -> LocalTrouble:
    """The sentence for a failure of this machine's disk."""
    where = f" ({error.filename})" if error.filename and str(error.filename) not in what else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return LocalTrouble(
            f"There is no space left to {what}{where}. Free some, or point XDG_CACHE_HOME and the target at another disk; what was "
            "fetched so far is kept, and the next pull goes on from there.",
            reason="disk-full",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return LocalTrouble(
            f"You may not {what}{where}: {error.strerror}. Choose another folder or ask for the right to write there.",
            reason="permission",
        )
    if error.errno in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR):
        return LocalTrouble(f"Something else is in the way to {what}{where}: {error.strerror}.", reason="in-the-way")
    return LocalTrouble(f"This machine could not {what}{where}: {error.strerror or error}.", reason="local")


def make_folder(folder: Path, mode: int = 0o755) -> None:
    """The folder, with those above it."""
    with told(f"make the folder {folder}"):
        folder.mkdir(mode=mode, parents=True, exist_ok=True)


def write_whole(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Put `content` in place of the file at once or not at all, readable as `mode` from the first byte on; its folder exists."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with told(f"write {path}"):
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(fresh, path)
        finally:
            fresh.unlink(missing_ok=True)


def read_object(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file, or None where there is no file; raises `Misused` where it holds something else."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise trouble(error, f"read {path}") from error
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Misused(f"{path} cannot be read: it is not JSON. Delete it and log in again.", reason="state") from error
    if not isinstance(value, dict):
        raise Misused(f"{path} cannot be read: it holds no JSON object. Delete it and log in again.", reason="state")
    return value


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """Hold the lock of a file (made where it is missing) or folder against other processes; yields its descriptor."""
    descriptor = _locked(path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _locked(path: Path) -> int:
    flags = os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT
    while True:
        with told(f"use {path}"):
            descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), path.stat()):
                    return descriptor
        os.close(descriptor)  # whoever held the lock before moved the file away meanwhile


def as_json(value: Any) -> bytes:
    """JSON as the client's own files have it: readable, with a newline at the end."""
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
