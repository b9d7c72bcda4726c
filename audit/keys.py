"""Decides which keys the ledger trusts: the log key signs its checkpoints, the MAC key shows that an entry came from the app.

The log key file is for the sequencer alone. Whoever verifies reads the public keys beside it, one line each: a new key is
added to them, an old one stays for the checkpoints that it signed. The MAC key lies in the app's configuration; neither is
ever in the database.
"""

from __future__ import annotations

import os
from hashlib import sha256
from hmac import compare_digest
from hmac import digest as hmac_digest
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from django.conf import settings

from audit.note import NoteRefused, Signer, Verifier
from foundation.keys import create_key


class KeyRefused(RuntimeError):
    """A key is missing, readable by others or not of the right kind; the sentence says which and what to do."""


def origin() -> str:
    """The name of this log, the first line of its checkpoints."""
    return str(settings.AUDIT_LOG_ORIGIN)


def create_log_key() -> Verifier:
    """Make the log key and its public line where there are none yet; the public half."""
    create_key(_key_file())
    verifier = load_log_key().verifier
    public = _public_file()
    if str(verifier) not in (public.read_text().split() if public.exists() else []):
        with public.open("a") as file:
            file.write(f"{verifier}\n")
            file.flush()
            os.fsync(file.fileno())
    return verifier


def load_log_key() -> Signer:
    """The signing key; raises `KeyRefused` where anyone but its owner can read it."""
    path = _key_file()
    if not path.exists():
        raise KeyRefused(
            f"The ledger's signing key {path.name} is missing. Run `manage.py audit init`, or restore it from your backup."
        )
    if path.stat().st_mode & 0o077:
        raise KeyRefused(
            f"Others can read the ledger's signing key {path.name}. Run `chmod 600` on it; if they may have, rotate it."
        )
    private = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(private, Ed25519PrivateKey):
        raise KeyRefused(f"{path.name} holds no Ed25519 key.")
    return Signer(origin(), private)


def trusted_verifiers() -> list[Verifier]:
    """The public keys whose checkpoints count; raises `KeyRefused` where there are none."""
    path = _public_file()
    if not path.exists():
        raise KeyRefused(
            f"The ledger's public key {path.name} is missing, so no checkpoint can be believed. Run `manage.py audit init`."
        )
    try:
        return [Verifier.parse(line) for line in path.read_text().split()]
    except NoteRefused as error:
        raise KeyRefused(f"{path.name} does not hold verifier keys: {error}.") from error


def mac(payload: bytes) -> str:
    """The key id and the HMAC-SHA256 of a payload, as `id:hex`."""
    return f"{settings.AUDIT_MAC_KEY_ID}:{hmac_digest(settings.AUDIT_MAC_KEY, payload, sha256).hex()}"


def mac_is_ours(payload: bytes, claimed: str) -> bool:
    """Whether the app wrote this payload."""
    return compare_digest(mac(payload).encode(), claimed.encode())


def _key_file() -> Path:
    return Path(settings.AUDIT_LOG_KEY_FILE)


def _public_file() -> Path:
    return _key_file().with_suffix(".pub")
