"""Canonical JSON (RFC 8785): the same value gives the same bytes everywhere, so that its digest can be signed."""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final

import rfc8785

SHA256: Final = re.compile(r"[0-9a-f]{64}")  # how a digest is written


def canonical(value: Any) -> bytes:
    """`value` (JSON types only; finite numbers) as RFC 8785 bytes; raises `ValueError` for anything else."""
    try:
        return rfc8785.dumps(value)
    except rfc8785.CanonicalizationError as error:
        raise ValueError(f"This value has no canonical form: {error}") from error


def sha256_hex(data: bytes) -> str:
    """The SHA-256 of `data` as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def digest_of(value: Any) -> str:
    """The SHA-256 of the canonical form of `value`, as 64 hexadecimal digits."""
    return sha256_hex(canonical(value))
