"""The registry's own signing keys: one countersigns sign-offs and releases, one signs `model.sig` for the tools of others.

The ledger's key is another one (see `audit`).
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
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
from foundation.refusals import Unavailable


def create_key(path: Path) -> None:
    """Write a new Ed25519 key (PKCS #8 PEM, mode 0600) where there is none yet; never overwrites."""
    _write_once(path, Ed25519PrivateKey.generate())


def create_model_signing_key(path: Path) -> None:
    """Write a new EC P-256 key (PKCS #8 PEM, mode 0600) where there is none yet: OpenSSF model-signing knows no Ed25519."""
    _write_once(path, ec.generate_private_key(ec.SECP256R1()))


def _write_once(path: Path, key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
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


def model_signing_key() -> ec.EllipticCurvePrivateKey:
    """The key that signs `model.sig`, from `settings.MODEL_SIGNING_KEY_FILE`; raises `Unavailable` where there is none yet."""
    try:
        return _load_model_signing_key(Path(settings.MODEL_SIGNING_KEY_FILE))
    except FileNotFoundError as error:
        raise Unavailable(
            "This registry has no key for model.sig yet; ask an administrator to run manage.py setup.",
            code="model-signing-key-missing",
        ) from error


@lru_cache(maxsize=4)
def _load_model_signing_key(path: Path) -> ec.EllipticCurvePrivateKey:
    private = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(private.curve, ec.SECP256R1):
        raise ValueError(f"{path.name} holds no EC P-256 key.")
    return private


def public_pem(key: Ed25519PublicKey | ec.EllipticCurvePublicKey) -> str:
    """The public key as PEM text, for clients to pin."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
