"""The registry's own signing key: countersigns sign-offs and releases. The ledger's key is another one (see `audit`)."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from django.conf import settings

from countersign.proof.dsse import Signer


def create_key(path: Path) -> None:
    """Write a new Ed25519 key (PKCS #8 PEM, mode 0600) where there is none yet; never overwrites."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())


@lru_cache(maxsize=4)
def load_signer(path: Path) -> Signer:
    """The key in the PEM file at `path`; raises `FileNotFoundError` or `ValueError`."""
    private = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(private, Ed25519PrivateKey):
        raise ValueError(f"{path.name} holds no Ed25519 key.")
    return Signer(private)


def registry_signer() -> Signer:
    """The registry's signing key, from `settings.REGISTRY_KEY_FILE`."""
    return load_signer(Path(settings.REGISTRY_KEY_FILE))


def public_pem(key: Ed25519PublicKey) -> str:
    """The public key as PEM text, for clients to pin."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
