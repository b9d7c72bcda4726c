"""Decides which public keys somebody hands over to be trusted: the registry's, and the ledger's if they have them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from countersign.errors import Misused
from countersign.places import trouble
from countersign.proof.dsse import key_id
from countersign.proof.note import NoteRefused, Verifier

_BEGIN: Final = "-----BEGIN PUBLIC KEY-----"
_END: Final = "-----END PUBLIC KEY-----"
MOST_BYTES: Final = 100_000


@dataclass(frozen=True, slots=True)
class Keys:
    """What is trusted: the registry's public key, and the ledger's keys with the tree sizes for which each counts."""

    registry: Ed25519PublicKey
    log: tuple[Verifier, ...] = ()

    @property
    def id(self) -> str:
        """The id of the registry's key, as its certificates print it."""
        return key_id(self.registry)

    @property
    def pem(self) -> str:
        """The registry's key as `registry.pub` has it."""
        return self.registry.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    @property
    def lines(self) -> list[str]:
        """The ledger's keys as `ledger.pub` has them."""
        return [_line(one) for one in self.log]


def read_keys(path: Path) -> Keys:
    """The keys in a file: `registry.pub`, and below it the lines of `ledger.pub` where they were put there too."""
    text = read_text(path)
    return Keys(parse_registry_key(text, str(path)), parse_log_keys(text, str(path)))


def read_text(path: Path) -> str:
    """The text of a key file; raises `Misused` where it is none."""
    try:
        return path.read_bytes()[:MOST_BYTES].decode()
    except FileNotFoundError as error:
        raise Misused(f"There is no file {path}.", reason="key-missing") from error
    except OSError as error:
        raise trouble(error, f"read {path}") from error
    except UnicodeDecodeError as error:
        raise Misused(f"{path} holds no public key.", reason="key") from error


def parse_registry_key(text: str, source: str) -> Ed25519PublicKey:
    """The Ed25519 key in PEM; raises `Misused` naming `source`."""
    begin, end = text.find(_BEGIN), text.find(_END)
    try:
        if begin < 0 or end < begin:
            raise ValueError("no PEM")
        key = load_pem_public_key(text[begin : end + len(_END)].encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Misused(
            f"{source} holds no public key of a registry: that begins with {_BEGIN}. Fetch registry.pub from the registry's /verify/ page.",
            reason="key",
        ) from error
    if not isinstance(key, Ed25519PublicKey):
        raise Misused(f"{source} holds a key of another kind: a registry's is Ed25519.", reason="key")
    return key


def parse_log_keys(text: str, source: str) -> tuple[Verifier, ...]:
    """The ledger's keys, `name+id+base64`, one a line with the sizes it counts for; lines of anything else do not belong to it."""
    outside = text.partition(_BEGIN)[0] + text.partition(_END)[2]
    lines = [line for line in outside.splitlines() if line.strip() and not line.startswith("#")]
    try:
        return tuple(map(_verifier, lines))
    except (NoteRefused, ValueError) as error:
        raise Misused(
            f"{source} holds no key of a ledger: that is name+id+base64, one a line. Fetch ledger.pub from the registry's /verify/ page.",
            reason="log-key",
        ) from error


def _verifier(line: str) -> Verifier:
    key, *parts = line.split()
    said = dict(part.split("=", 1) for part in parts)
    found, last = Verifier.parse(key), said.get("until")
    return Verifier(found.name, found.public_key, int(said.get("from", 0)), None if last is None else int(last))


def _line(key: Verifier) -> str:
    until = "" if key.last is None else f" until={key.last}"
    return f"{key} from={key.first}{until}"
