"""Decides whether a witness has cosigned a checkpoint: C2SP tlog-cosignature, `cosignature/v1` (Ed25519, signature type 0x04).

A cosignature says that the witness, at that time, had seen no other tree of this log that is not a prefix or continuation of this one.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from countersign.proof.note import NoteRefused

COSIGNATURE: Final = b"\x04"
_TIME_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Witness:
    """A witness's public key under its name."""

    name: str
    public_key: bytes

    @property
    def key_id(self) -> bytes:
        """Four bytes that say which key a cosignature claims to be from."""
        return sha256(self.name.encode() + b"\n" + COSIGNATURE + self.public_key).digest()[:4]

    def __str__(self) -> str:
        """The verifier key, `name+id+base64`."""
        return f"{self.name}+{self.key_id.hex()}+{b64encode(COSIGNATURE + self.public_key).decode()}"

    @classmethod
    def parse(cls, text: str) -> Witness:
        """Read a verifier key of type 0x04; raises `NoteRefused`."""
        try:
            name, key_id, encoded = text.strip().split("+", 2)
            key = b64decode(encoded, validate=True)
        except ValueError as error:
            raise NoteRefused("a witness's key is its name, its id and its base64, with plus signs between") from error
        witness = cls(name, key[1:])
        if key[:1] != COSIGNATURE or len(key) != 33 or key_id != witness.key_id.hex():
            raise NoteRefused("a witness's key is an Ed25519 key for cosignatures (type 0x04) with its own id")
        return witness

    def cosigned_at(self, note: str) -> int | None:
        """When this witness cosigned the note (seconds since 1970); None where it did not; raises `NoteRefused` where its line is false."""
        text, _, signatures = note.rpartition("\n\n")
        for line in signatures.splitlines():
            dash, _, rest = line.partition(" ")
            name, _, encoded = rest.partition(" ")
            if dash != "—" or name != self.name:
                continue
            try:
                blob = b64decode(encoded, validate=True)
            except Base64Error as error:
                raise NoteRefused(f"the cosignature of {self.name} is not base64") from error
            if blob[:4] == self.key_id:
                return self._verify(f"{text}\n", blob[4:])
        return None

    def _verify(self, text: str, timed: bytes) -> int:
        if len(timed) != _TIME_BYTES + 64:
            raise NoteRefused(f"the cosignature of {self.name} has a wrong length")
        time = int.from_bytes(timed[:_TIME_BYTES], "big")
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(timed[_TIME_BYTES:], cosigned_text(text, time))
        except InvalidSignature as error:
            raise NoteRefused(f"the cosignature of {self.name} does not fit the text") from error
        return time


def cosigned_text(text: str, time: int) -> bytes:
    """The bytes that a witness signs for a checkpoint body at a time (seconds since 1970)."""
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def cosign(text: str, name: str, private: Ed25519PrivateKey, time: int) -> str:
    """A witness's signature line for a checkpoint body."""
    witness = Witness(name, private.public_key().public_bytes_raw())
    blob = witness.key_id + time.to_bytes(_TIME_BYTES, "big") + private.sign(cosigned_text(text, time))
    return f"— {name} {b64encode(blob).decode()}\n"
