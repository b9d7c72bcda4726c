"""Decides what a signed checkpoint looks like and whose signature on it counts.

Formats: C2SP signed-note (Ed25519, signature type 0x01) and C2SP tlog-checkpoint. Public keys are written as Go's
`sumdb/note` writes them, so that other logs' tools can read ours.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ED25519: Final = b"\x01"
MAX_SIGNATURES: Final = 64
MAX_NOTE_BYTES: Final = 1_000_000
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")
_NAME: Final = re.compile(r"[^\s+]+")


class NoteRefused(ValueError):
    """The note is malformed, or no trusted key has signed it; the message says which."""


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public key under its name, and the tree sizes for which it counts: a key that was replaced signs no larger tree."""

    name: str
    public_key: bytes
    first: int = 0
    last: int | None = None

    def covers(self, size: int) -> bool:
        """Whether this key's signature counts under a checkpoint over `size` entries."""
        return self.first <= size and (self.last is None or size <= self.last)

    @property
    def key_id(self) -> bytes:
        """Four bytes that say which key a signature claims to be from."""
        return sha256(self.name.encode() + b"\n" + ED25519 + self.public_key).digest()[:4]

    def __str__(self) -> str:
        """The verifier key, `name+id+base64`."""
        return f"{self.name}+{self.key_id.hex()}+{b64encode(ED25519 + self.public_key).decode()}"

    @classmethod
    def parse(cls, text: str) -> Verifier:
        """Read a verifier key; raises `NoteRefused` where it is malformed or its id is not its own."""
        verifier = cls(*_parse_key(text))
        if text.split("+", 2)[1] != verifier.key_id.hex():
            raise NoteRefused("the key id of a verifier key does not belong to its key")
        return verifier

    def accepts(self, text: str, signature: bytes) -> bool:
        """Whether this key signed the text."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, text.encode())
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key under its name."""

    name: str
    private_key: Ed25519PrivateKey

    @property
    def verifier(self) -> Verifier:
        """The public half."""
        return Verifier(self.name, self.private_key.public_key().public_bytes_raw())

    def signature_line(self, text: str) -> str:
        """This key's signature of the text, as a line of a note."""
        blob = self.verifier.key_id + self.private_key.sign(text.encode())
        return f"— {self.name} {b64encode(blob).decode()}\n"


def sign_note(text: str, *signers: Signer) -> str:
    """The text, an empty line, and one signature line per signer."""
    if not text.endswith("\n") or _CONTROL.search(text):
        raise NoteRefused("a note's text ends in a newline and holds no other control characters")
    return text + "\n" + "".join(signer.signature_line(text) for signer in signers)


def open_note(note: str, trusted: Iterable[Verifier]) -> str:
    """The text of a note that at least one trusted key has signed; a bad signature of a trusted key refuses it."""
    text, lines = _split(note)
    known = {(verifier.name, verifier.key_id): verifier for verifier in trusted}
    accepted = False
    for name, blob in (_parse_signature(line) for line in lines):
        verifier = known.get((name, blob[:4]))
        if verifier is None:
            continue
        if not verifier.accepts(text, blob[4:]):
            raise NoteRefused(f"the signature of {name} does not fit the text")
        accepted = True
    if not accepted:
        raise NoteRefused("no trusted key has signed this note")
    return text


def _split(note: str) -> tuple[str, Sequence[str]]:
    if len(note) > MAX_NOTE_BYTES or _CONTROL.search(note):
        raise NoteRefused("a note is at most 1 MB and holds no control characters but newlines")
    text, separator, signatures = note.rpartition("\n\n")
    if not separator or not signatures.endswith("\n"):
        raise NoteRefused("a note is a text, an empty line and signature lines")
    lines = signatures[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NoteRefused(f"a note carries at most {MAX_SIGNATURES} signatures")
    return text + "\n", lines


def _parse_signature(line: str) -> tuple[str, bytes]:
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    try:
        blob = b64decode(encoded, validate=True)
    except Base64Error as error:
        raise NoteRefused("a signature line is not base64") from error
    if dash != "—" or not _NAME.fullmatch(name) or len(blob) < 5:
        raise NoteRefused("a signature line is a dash, a key name and a signature")
    return name, blob


def _parse_key(text: str) -> tuple[str, bytes]:
    parts = text.split("+", 2)
    try:
        name, _, encoded = parts
        key = b64decode(encoded, validate=True)
    except ValueError as error:
        raise NoteRefused("a key is its name, its id and its base64, with plus signs between") from error
    if not _NAME.fullmatch(name) or key[:1] != ED25519 or len(key) != 33:
        raise NoteRefused("only named Ed25519 keys are understood")
    return name, key[1:]


@dataclass(frozen=True, slots=True)
class TreeHead:
    """What a checkpoint signs: the log's name, how many entries it holds, and the root over them (32 bytes)."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The checkpoint body, ready to be signed."""
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> TreeHead:
        """Read a checkpoint body; extension lines are allowed and ignored, as tlog-checkpoint says."""
        lines = text.split("\n")
        if len(lines) < 4 or lines[-1] or not all(lines[:-1]):
            raise NoteRefused("a checkpoint has an origin, a size and a root, each on a line of its own")
        origin, size, encoded = lines[:3]
        if not re.fullmatch(r"0|[1-9][0-9]{0,18}", size, re.ASCII):
            raise NoteRefused("a checkpoint's size is a plain decimal number")
        try:
            root = b64decode(encoded, validate=True)
        except Base64Error as error:
            raise NoteRefused("a checkpoint's root is not base64") from error
        if len(root) != 32:
            raise NoteRefused("a checkpoint's root is 32 bytes")
        return cls(origin, int(size), root)


def open_checkpoint(note: str, origin: str, trusted: Iterable[Verifier]) -> TreeHead:
    """The tree head of a checkpoint that a trusted key has signed for this origin; else `NoteRefused`.

    A key counts for the sizes that it covers only: who has stolen a key that was replaced cannot sign a later tree with it.
    """
    head = TreeHead.parse(_split(note)[0])
    keys = list(trusted)
    covering = [key for key in keys if key.covers(head.size)]
    if keys and not covering:
        raise NoteRefused(f"no trusted key signs trees of {head.size} entries")
    open_note(note, covering)
    if head.origin != origin:
        raise NoteRefused(f"the checkpoint is of another log, {head.origin}")
    return head
