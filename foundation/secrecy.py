"""Keeps small secrets unreadable to whoever sees the database alone: AES-256-GCM under a key of the installation. Pure."""

from __future__ import annotations

import base64
import os
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_MARK: Final = "v1:"
_NONCE_BYTES: Final = 12


def encrypted(text: str, key: str, *, purpose: str) -> str:
    """`text` under `key` (any long random string), readable again for the same `purpose` only."""
    nonce = os.urandom(_NONCE_BYTES)
    sealed = AESGCM(_derived(key)).encrypt(nonce, text.encode(), purpose.encode())
    return _MARK + base64.b64encode(nonce + sealed).decode()


def decrypted(text: str, key: str, *, purpose: str) -> str:
    """What `encrypted` was given; raises `ValueError` where it was altered, or made with another key or for another purpose."""
    if not text.startswith(_MARK):
        raise ValueError("This secret was not encrypted by this product.")
    data = base64.b64decode(text.removeprefix(_MARK), validate=True)
    try:
        return AESGCM(_derived(key)).decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], purpose.encode()).decode()
    except InvalidTag as error:
        raise ValueError("This secret was encrypted with another key, or altered.") from error


def _derived(key: str) -> bytes:
    return sha256(b"countersign secrecy v1\0" + key.encode()).digest()
