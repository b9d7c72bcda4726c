"""Decides which keys the ledger trusts, and for what: the log key signs checkpoints, the MAC key shows that an entry came from the app.

The log key file is for the sequencer alone. Whoever verifies reads the public keys beside it, one line each with the tree
sizes for which it counts: `name+id+key from=0 until=1200 replaced=2026-11-23T16:00:00+00:00`. A key that was replaced signs
on beside the new one for a while, for those who know only the old one, but counts here for the sizes before the change only:
who has stolen it cannot sign a later tree. The MAC key lies in the app's configuration; no key is ever in the database.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from hmac import HMAC, compare_digest
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from django.conf import settings

from countersign.proof.note import NoteRefused, Signer, TreeHead, Verifier, open_checkpoint
from foundation.keys import create_key


class KeyRefused(RuntimeError):
    """A key is missing, readable by others or not of the right kind; the sentence says which and what to do."""


@dataclass(frozen=True, slots=True)
class PublicLine:
    """A public key as the `.pub` file has it; `replaced` is when a new one took its place."""

    verifier: Verifier
    replaced: datetime | None = None

    def __str__(self) -> str:
        """The line, without its end."""
        key, parts = self.verifier, [str(self.verifier), f"from={self.verifier.first}"]
        if key.last is not None:
            parts.append(f"until={key.last}")
        if self.replaced is not None:
            parts.append(f"replaced={self.replaced.isoformat(timespec='seconds')}")
        return " ".join(parts)

    @classmethod
    def parse(cls, text: str) -> PublicLine:
        """Read a line; raises `NoteRefused` or `ValueError`. A key alone counts for every size."""
        key, *parts = text.split()
        said = dict(part.split("=", 1) for part in parts)
        if unknown := said.keys() - {"from", "until", "replaced"}:
            raise ValueError(f"nothing is known of {', '.join(sorted(unknown))}")
        verifier = replace(
            Verifier.parse(key),
            first=int(said.get("from", 0)),
            last=int(said["until"]) if "until" in said else None,
        )
        return cls(verifier, datetime.fromisoformat(said["replaced"]) if "replaced" in said else None)


def origin() -> str:
    """The name of this log, the first line of its checkpoints: as set, with the number of its continuation after a recovery."""
    base = str(settings.AUDIT_LOG_ORIGIN)
    lines = public_lines() if _public_file().exists() else []
    names = [line.verifier.name for line in lines if line.verifier.name.partition(CONTINUED)[0] == base]
    return names[-1] if names else base


CONTINUED: Final = "/continued-"


def create_log_key() -> Verifier:
    """Make the log key and its public line where there are none yet; the public half.

    Raises `KeyRefused` where there is a public key without its private one: a new one is made by `rotate-key`, which says so.
    """
    if _public_file().exists() and public_lines():
        return load_log_key().verifier
    create_key(key_file())
    verifier = Signer(origin(), _read_private(key_file())).verifier
    write_public_lines([PublicLine(verifier)])
    return verifier


def load_log_key() -> Signer:
    """The signing key; raises `KeyRefused` where it is missing, anyone but its owner can read it, or its public line is missing."""
    _finish_rotation()
    signer = Signer(origin(), _read_private(key_file()))
    if signer.verifier.public_key not in {key.public_key for key in trusted_verifiers() if key.last is None}:
        raise KeyRefused(
            f"{key_file().name} is not the key that {_public_file().name} names for new checkpoints: restore the one that belongs to it."
        )
    return signer


def load_signers() -> tuple[Signer, ...]:
    """The signing key, and those that were replaced and have not been destroyed yet: all of them sign."""
    current = load_log_key()
    old = [
        Signer(line.verifier.name, _read_private(path))
        for line in public_lines()
        if line.replaced and line.verifier.name == current.name and (path := replaced_file(line.verifier)).exists()
    ]
    return (current, *old)


def trusted_verifiers() -> list[Verifier]:
    """The public keys whose checkpoints count, for the sizes that they cover; raises `KeyRefused` where there are none."""
    return [line.verifier for line in public_lines()]


def open_ours(note: str) -> TreeHead:
    """The tree head of a checkpoint of this log or of what it continues; raises `NoteRefused` where no key of that log signed it."""
    name = note.partition("\n")[0]
    return open_checkpoint(note, name, [key for key in trusted_verifiers() if key.name == name])


def public_lines() -> list[PublicLine]:
    """Every line of the `.pub` file, oldest key first; raises `KeyRefused` where it is missing or cannot be read."""
    path = _public_file()
    if not path.exists():
        raise KeyRefused(
            f"The ledger's public key {path.name} is missing, so no checkpoint can be believed. Run `manage.py audit init`."
        )
    try:
        return list(_parsed(path, stamp()))
    except (NoteRefused, ValueError) as error:
        raise KeyRefused(f"{path.name} does not hold verifier keys: {error}.") from error


@lru_cache(maxsize=8)
def _parsed(path: Path, _stamp: tuple[int, int, int]) -> tuple[PublicLine, ...]:
    """Read once for each state of the file: every checkpoint that is verified asks for it."""
    return tuple(PublicLine.parse(line) for line in path.read_text().splitlines() if line.strip())


def write_public_lines(lines: Sequence[PublicLine]) -> None:
    """Put these lines in place of the old ones, at once or not at all, and return when they are on the disk."""
    path = _public_file()
    new = path.with_suffix(".pub.new")
    with new.open("w") as file:
        file.writelines(f"{line}\n" for line in lines)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
    sync_folder(path.parent)


def stamp() -> tuple[int, int, int]:
    """Differs after every change of the keys, so that a sequencer knows when to read them again."""
    try:
        found = _public_file().stat()
    except FileNotFoundError:
        return (0, 0, 0)
    return (found.st_ino, found.st_mtime_ns, found.st_size)


def key_file() -> Path:
    """Where the signing key lies."""
    return Path(settings.AUDIT_LOG_KEY_FILE)


def next_file() -> Path:
    """Where a rotation keeps the new key until its public line is written."""
    return key_file().with_suffix(".next.pem")


def replaced_file(verifier: Verifier) -> Path:
    """Where a replaced key lies until it is destroyed."""
    return key_file().with_suffix(f".{verifier.key_id.hex()}.pem")


def _public_file() -> Path:
    return key_file().with_suffix(".pub")


def _finish_rotation() -> None:
    """Take the last step of a rotation that was killed after the public line and before the new key was in its place."""
    path = next_file()
    if path.exists() and public_lines()[-1].verifier.public_key == public_half(path):
        os.replace(path, key_file())
        sync_folder(path.parent)


def public_half(path: Path) -> bytes:
    """The public key (32 bytes) of a private key file; raises as `load_log_key` does."""
    return Signer("", _read_private(path)).verifier.public_key


def _read_private(path: Path) -> Ed25519PrivateKey:
    if not path.exists():
        raise KeyRefused(
            f"The ledger's signing key {path.name} is missing. Run `manage.py audit init` for a new ledger, or restore it from your "
            "backup. Where it is lost for good, run `manage.py audit rotate-key --lost`."
        )
    if path.stat().st_mode & 0o077:
        raise KeyRefused(
            f"Others can read the ledger's signing key {path.name}. Run `chmod 600` on it; if they may have, rotate it."
        )
    private = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(private, Ed25519PrivateKey):
        raise KeyRefused(f"{path.name} holds no Ed25519 key.")
    return private


def sync_folder(folder: Path) -> None:
    """Return when the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def mac(payload: bytes) -> str:
    """The key id and the HMAC-SHA256 of a payload, as `id:hex`."""
    return _mac(settings.AUDIT_MAC_KEY_ID, settings.AUDIT_MAC_KEY, payload)


def mac_is_ours(payload: bytes, claimed: str) -> bool:
    """Whether the app wrote this payload: under its MAC key, or under an old one that is still accepted."""
    return mac_check()(payload, claimed)


def old_mac_keys() -> dict[str, bytes]:
    """Former MAC keys by their ids, accepted while rows that were written under them wait."""
    keys: dict[str, bytes] = settings.AUDIT_OLD_MAC_KEYS
    return keys


def mac_check() -> Callable[[bytes, str], bool]:
    """As `mac_is_ours`, for many payloads in a row: the settings are read once."""
    accepted = {**old_mac_keys(), settings.AUDIT_MAC_KEY_ID: settings.AUDIT_MAC_KEY}

    def is_ours(payload: bytes, claimed: str) -> bool:
        key_id = claimed.partition(":")[0]
        key = accepted.get(key_id)
        return key is not None and compare_digest(_mac(key_id, key, payload).encode(), claimed.encode())

    return is_ours


def _mac(key_id: str, key: bytes, payload: bytes) -> str:
    code = _begun(key).copy()
    code.update(payload)
    return f"{key_id}:{code.hexdigest()}"


@lru_cache(maxsize=8)
def _begun(key: bytes) -> HMAC:
    """The code of an empty payload, to go on from: the key's own blocks are hashed once."""
    return HMAC(key, digestmod="sha256")
