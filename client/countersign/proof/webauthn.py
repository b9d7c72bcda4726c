"""Decides whether a WebAuthn assertion signs one statement with one enrolled key. Pure: no Django, no clock, no network.

For the registry when a person signs, for scoring workers and for anybody with a copy of the records: the challenge of the
ceremony is the SHA-256 of the statement, so the assertion signs exactly that statement. Sources: Web Authentication Level 2,
section 7.2 (verifying an assertion) and section 6.1 (authenticator data); RFC 9053 (COSE keys); RFC 8949 (CBOR).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePublicKey,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA256

from countersign.proof.dsse import BadEnvelope, open_sealed

PASSKEY_TYPE: Final = "https://countersign.dev/passkey/v1"
USER_PRESENT, USER_VERIFIED, BACKUP_ELIGIBLE, BACKED_UP = 0x01, 0x04, 0x08, 0x10
LARGEST_FIELD: Final = 8_192  # characters of base64 in one field of an assertion
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})

PublicKey = EllipticCurvePublicKey | Ed25519PublicKey | RSAPublicKey


class BadAssertion(ValueError):
    """The assertion does not sign the statement; the sentence says why, `reason` is its stable name."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class EnrolledKey:
    """A person's public key as the registry's enrolment statement binds it to them; `public_key` is a COSE key."""

    person: str
    person_name: str
    credential_id: str
    public_key: bytes
    rp_id: str
    enrolled_at: datetime


@dataclass(frozen=True, slots=True)
class Assertion:
    """What an authenticator answered, decoded."""

    credential_id: str
    authenticator_data: bytes
    client_data: bytes
    signature: bytes

    @property
    def said(self) -> dict[str, Any]:
        """The client data: what the browser says that it asked the authenticator for."""
        try:
            value = json.loads(self.client_data, object_pairs_hook=_once)
        except (ValueError, RecursionError) as error:
            raise BadAssertion("malformed", "The browser's part of the assertion cannot be read.") from error
        if not isinstance(value, dict):
            raise BadAssertion("malformed", "The browser's part of the assertion cannot be read.")
        return value

    @property
    def challenge(self) -> str:
        """The SHA-256 that the assertion is made over, as 64 hexadecimal digits."""
        return decoded(self.said.get("challenge"), "challenge").hex()

    @property
    def sign_count(self) -> int:
        """How many signatures the authenticator has made; 0 where it does not count."""
        return int.from_bytes(self.authenticator_data[33:37], "big")

    def as_json(self) -> dict[str, str]:
        """How records keep it: four strings in base64url."""
        return {
            "credential_id": self.credential_id,
            "authenticator_data": encoded(self.authenticator_data),
            "client_data": encoded(self.client_data),
            "signature": encoded(self.signature),
        }


def read_assertion(value: object) -> Assertion:
    """The assertion in `value`: our own record of one, or a `PublicKeyCredential` as browsers write it in JSON."""
    if not isinstance(value, Mapping):
        raise BadAssertion("malformed", "A passkey's answer was expected, and this is none.")
    inner = value.get("response")
    if isinstance(inner, Mapping):
        value = {
            "credential_id": value.get("id"),
            "authenticator_data": inner.get("authenticatorData"),
            "client_data": inner.get("clientDataJSON"),
            "signature": inner.get("signature"),
        }
    assertion = Assertion(
        encoded(decoded(value.get("credential_id"), "credential")),
        decoded(value.get("authenticator_data"), "authenticator data"),
        decoded(value.get("client_data"), "client data"),
        decoded(value.get("signature"), "signature"),
    )
    if len(assertion.authenticator_data) < 37:
        raise BadAssertion("malformed", "The authenticator's part of the assertion is too short.")
    return assertion


def check_assertion(
    assertion: Assertion, *, challenge: str, key: EnrolledKey, origins: Collection[str] | None = None
) -> None:
    """That `assertion` signs `challenge` (64 hexadecimal digits) with `key`, by its person, present and verified.

    `origins`: the addresses that are accepted; None accepts every secure address of the key's relying party.
    Raises `BadAssertion`. Counters, one use and age are for whoever keeps a record.
    """
    if assertion.credential_id != key.credential_id:
        raise BadAssertion("other-key", "The assertion is made with another passkey than the one that was enrolled.")
    _check_client(assertion, challenge, key.rp_id, origins)
    _check_authenticator(assertion.authenticator_data, key.rp_id)
    signed = assertion.authenticator_data + hashlib.sha256(assertion.client_data).digest()
    try:
        _verify(public_key(key.public_key), assertion.signature, signed)
    except InvalidSignature as error:
        raise BadAssertion("signature", "The passkey's signature is not valid.") from error


def read_enrolment(envelope: Mapping[str, Any], registry: Ed25519PublicKey) -> EnrolledKey:
    """Whose key it is, from the registry's enrolment statement; raises `BadAssertion` where that is not signed or not readable."""
    try:
        value = open_sealed(envelope, registry)
        if value["predicateType"] != PASSKEY_TYPE:
            raise BadAssertion("enrolment", "The statement about the passkey is of another kind.")
        said = value["predicate"]
        key = EnrolledKey(
            person=str(said["person"]["id"]),
            person_name=str(said["person"]["name"]),
            credential_id=str(said["credential_id"]),
            public_key=decoded(said["public_key"], "public key"),
            rp_id=str(said["rp_id"]),
            enrolled_at=datetime.fromisoformat(said["at"]),
        )
        signed = value["subject"][0]["digest"]["sha256"]
    except BadEnvelope as error:
        raise BadAssertion(
            "enrolment", f"The statement that binds the passkey to a person does not hold: {error}"
        ) from error
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        if isinstance(error, BadAssertion):
            raise
        raise BadAssertion("enrolment", "The statement that binds the passkey to a person is not readable.") from error
    if hashlib.sha256(key.public_key).hexdigest() != signed or key.enrolled_at.tzinfo is None:
        raise BadAssertion("enrolment", "The statement that binds the passkey to a person contradicts itself.")
    return key


def check_signed_by(
    person: str, at: datetime, digest: str, assertion: object, enrolment: object, registry: Ed25519PublicKey
) -> EnrolledKey:
    """That `person` (their id) signed the statement with SHA-256 `digest` at `at` with a passkey that the registry says is theirs.

    The one check that everybody makes of a statement whose method is a passkey; raises `BadAssertion`.
    """
    if not isinstance(assertion, Mapping) or not isinstance(enrolment, Mapping):
        raise BadAssertion(
            "no-assertion", "The statement says that a passkey signed it, and no assertion comes with it."
        )
    key = read_enrolment(enrolment, registry)
    if key.person != person:
        raise BadAssertion(
            "other-person", f"The passkey belongs to {key.person_name}, who is not the one that the statement names."
        )
    if at < key.enrolled_at:
        raise BadAssertion("enrolment", "The passkey was enrolled after the statement was signed.")
    check_assertion(read_assertion(assertion), challenge=digest, key=key)
    return key


def method_of(predicate: Mapping[str, Any]) -> str:
    """How the signer of a statement confirmed that it was them, as the statement says."""
    return str(predicate["reauthentication"]["method"])


def public_key(cose: bytes) -> PublicKey:
    """The key in a COSE key's bytes: ES256, EdDSA (Ed25519) or RS256; raises `BadAssertion` for any other."""
    try:
        value, end = _cbor(cose, 0)
        if end != len(cose) or not isinstance(value, dict):
            raise ValueError("not one map")
        return _key(value)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        if isinstance(error, BadAssertion):
            raise
        raise BadAssertion("key", f"The passkey's public key cannot be read: {error}.") from error


def algorithm_of(cose: bytes) -> str:
    """The name of the key's algorithm."""
    key = public_key(cose)
    if isinstance(key, EllipticCurvePublicKey):
        return "ES256"
    return "EdDSA" if isinstance(key, Ed25519PublicKey) else "RS256"


def encoded(data: bytes) -> str:
    """Base64url without padding, as WebAuthn writes bytes."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def decoded(text: object, what: str) -> bytes:
    """The bytes of base64url `text`; raises `BadAssertion` naming `what` is not readable."""
    if not isinstance(text, str) or not text or len(text) > LARGEST_FIELD:
        raise BadAssertion("malformed", f"The passkey's answer has no readable {what}.")
    try:
        return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), altchars=b"-_", validate=True)
    except ValueError as error:
        raise BadAssertion("malformed", f"The passkey's answer has no readable {what}.") from error


def _check_client(assertion: Assertion, challenge: str, rp_id: str, origins: Collection[str] | None) -> None:
    said = assertion.said
    if said.get("type") != "webauthn.get":
        raise BadAssertion("malformed", "This is not an assertion: the browser did something else with the passkey.")
    if assertion.challenge != challenge:
        raise BadAssertion("other-statement", "The passkey signed another statement than this one.")
    origin = said.get("origin")
    accepted = origin in origins if origins is not None else _belongs(str(origin), rp_id)
    if not accepted:
        raise BadAssertion("other-origin", f"The passkey was used at another address: {str(origin)[:100]}.")
    if said.get("crossOrigin") not in (None, False):
        raise BadAssertion("other-origin", "The passkey was used inside a page of somebody else.")


def _check_authenticator(data: bytes, rp_id: str) -> None:
    if data[:32] != hashlib.sha256(rp_id.encode()).digest():
        raise BadAssertion("other-origin", f"The passkey answered for another site than {rp_id}.")
    flags = data[32]
    if not flags & USER_PRESENT:
        raise BadAssertion("not-present", "The authenticator did not ask for anybody's presence.")
    if not flags & USER_VERIFIED:
        raise BadAssertion(
            "not-verified", "The authenticator did not check who is there: it has to ask for a PIN, a finger or a face."
        )
    if flags & BACKED_UP and not flags & BACKUP_ELIGIBLE:
        raise BadAssertion("malformed", "The authenticator contradicts itself.")


def _belongs(origin: str, rp_id: str) -> bool:
    """Whether an address is of the relying party: its host or one below it, by https (plain http on one's own machine only)."""
    parts = urlsplit(origin)
    host = parts.hostname or ""
    secure = parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK)
    return secure and (host == rp_id or host.endswith(f".{rp_id}"))


def _verify(key: PublicKey, signature: bytes, signed: bytes) -> None:
    if isinstance(key, EllipticCurvePublicKey):
        key.verify(signature, signed, ECDSA(SHA256()))
    elif isinstance(key, Ed25519PublicKey):
        key.verify(signature, signed)
    else:
        key.verify(signature, signed, PKCS1v15(), SHA256())


def _key(value: dict[Any, Any]) -> PublicKey:
    kind = (value[1], value[3])
    if kind == (2, -7) and value[-1] == 1:
        numbers = (int.from_bytes(value[-2], "big"), int.from_bytes(value[-3], "big"))
        return EllipticCurvePublicNumbers(*numbers, SECP256R1()).public_key()
    if kind == (1, -8) and value[-1] == 6:
        return Ed25519PublicKey.from_public_bytes(value[-2])
    if kind == (3, -257):
        return RSAPublicNumbers(e=int.from_bytes(value[-2], "big"), n=int.from_bytes(value[-1], "big")).public_key()
    raise BadAssertion("key", "The passkey's algorithm is none of ES256, EdDSA (Ed25519) and RS256.")


def _cbor(data: bytes, at: int, *, inside: bool = False) -> tuple[Any, int]:
    """One CBOR item of the kinds that COSE keys are made of (integers, strings of bytes or text, maps), and where it ends."""
    major, size = data[at] >> 5, data[at] & 0x1F
    at += 1
    if size >= 24:
        width = {24: 1, 25: 2, 26: 4, 27: 8}[size]
        size, at = int.from_bytes(data[at : at + width], "big"), at + width
    if major in (0, 1):
        return (size if major == 0 else -1 - size), at
    if major in (2, 3):
        if at + size > len(data):
            raise ValueError("it ends too early")
        chunk = data[at : at + size]
        return (chunk if major == 2 else chunk.decode()), at + size
    if major != 5 or inside or size > 32:
        raise ValueError("it holds something that no key holds")
    found: dict[Any, Any] = {}
    for _ in range(size):
        name, at = _cbor(data, at, inside=True)
        if name in found:
            raise ValueError("a name comes twice")
        found[name], at = _cbor(data, at, inside=True)
    return found, at


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name comes twice")
    return found
