"""Decides what a service token looks like and what of it is kept: `cs_<prefix>_<secret>`, of which only the SHA-256 stays with us."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from hmac import compare_digest
from typing import Final

from countersign.proof.canonical import sha256_hex

PREFIX_CHARACTERS: Final = 8
SECRET_BYTES: Final = 32  # 43 characters of base64url: too many to guess, so one unsalted SHA-256 is enough
_SHAPE: Final = re.compile(r"cs_([a-z0-9]{8})_([A-Za-z0-9_-]{43})")
_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz0123456789"
_NOBODYS_DIGEST: Final = sha256_hex(b"")


@dataclass(frozen=True)
class NewToken:
    """A fresh token. `text` is for its holder alone and is not part of the representation, so that no log shows it."""

    prefix: str
    digest: str
    _text: str

    @classmethod
    def make(cls) -> NewToken:
        """A token of 256 random bits."""
        prefix = "".join(secrets.choice(_ALPHABET) for _ in range(PREFIX_CHARACTERS))
        text = f"cs_{prefix}_{secrets.token_urlsafe(SECRET_BYTES)}"
        return cls(prefix, digest_of(text), text)

    @property
    def text(self) -> str:
        """What its holder has to send."""
        return self._text

    def __repr__(self) -> str:
        return f"NewToken(prefix={self.prefix!r})"


def digest_of(text: str) -> str:
    """What we keep of a token, as 64 hexadecimal digits."""
    return sha256_hex(text.encode())


def prefix_of(text: str) -> str | None:
    """The public part by which a token is looked up; None when the text is no token."""
    match = _SHAPE.fullmatch(text)
    return match.group(1) if match else None


def matches(text: str, kept: str | None) -> bool:
    """Whether a token is the one whose digest was kept, in the same time for every wrong one and where nothing was kept."""
    same = compare_digest(digest_of(text), kept or _NOBODYS_DIGEST)
    return same and kept is not None
