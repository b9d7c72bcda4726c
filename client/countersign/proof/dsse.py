"""DSSE envelopes around in-toto Statements, signed with Ed25519.

Source: DSSE v1 protocol (pre-authentication encoding) and the in-toto Attestation Framework v1. Pure: keys come in as arguments.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypedDict

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from countersign.proof.canonical import canonical, sha256_hex

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"


class Signature(TypedDict):
    """One DSSE signature: the key's id and the base64 of the signature over the pre-authentication encoding."""

    keyid: str
    sig: str


class Envelope(TypedDict):
    """A DSSE envelope; `payload` is base64."""

    payloadType: str
    payload: str
    signatures: list[Signature]


class BadEnvelope(ValueError):
    """The envelope is malformed or no signature on it is by the expected key."""


@dataclass(frozen=True)
class Signer:
    """An Ed25519 key with its id (the first 16 hexadecimal digits of the SHA-256 of the raw public key)."""

    private: Ed25519PrivateKey

    @property
    def public(self) -> Ed25519PublicKey:
        """The public half, which anyone may have."""
        return self.private.public_key()

    @property
    def key_id(self) -> str:
        """The id that signatures by this key carry."""
        return key_id(self.public)


def key_id(public: Ed25519PublicKey) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the raw 32-byte public key."""
    return sha256_hex(public.public_bytes_raw())[:16]


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """DSSE v1 PAE: what is really signed, so that type and payload cannot be confused."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def statement(
    *, subject_name: str, subject_sha256: str, predicate_type: str, predicate: Mapping[str, Any]
) -> dict[str, Any]:
    """An in-toto Statement v1 about one artifact, named by the SHA-256 of its manifest."""
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": subject_name, "digest": {"sha256": subject_sha256}}],
        "predicateType": predicate_type,
        "predicate": dict(predicate),
    }


def seal(value: Mapping[str, Any], signer: Signer) -> Envelope:
    """`value` as canonical JSON in an envelope signed by `signer`."""
    payload = canonical(dict(value))
    signature = signer.private.sign(pre_authentication_encoding(PAYLOAD_TYPE, payload))
    return {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"keyid": signer.key_id, "sig": base64.b64encode(signature).decode()}],
    }


def payload_of(envelope: Mapping[str, Any]) -> bytes:
    """The exact signed bytes inside; raises `BadEnvelope` when there are none."""
    try:
        return base64.b64decode(envelope["payload"], validate=True)
    except (KeyError, TypeError, ValueError) as error:
        raise BadEnvelope("The envelope has no readable payload.") from error


def envelope_digest(envelope: Mapping[str, Any]) -> str:
    """The SHA-256 of the signed payload: the statement's digest."""
    return sha256_hex(payload_of(envelope))


def open_sealed(envelope: Mapping[str, Any], key: Ed25519PublicKey) -> dict[str, Any]:
    """The statement inside, once a signature by `key` on it has been verified; raises `BadEnvelope` otherwise."""
    payload = payload_of(envelope)
    encoded = pre_authentication_encoding(str(envelope.get("payloadType")), payload)
    for signature in envelope.get("signatures", []):
        if signature.get("keyid") != key_id(key):
            continue
        try:
            key.verify(base64.b64decode(signature["sig"], validate=True), encoded)
        except (InvalidSignature, KeyError, ValueError) as error:
            raise BadEnvelope("The signature on this statement is not valid.") from error
        value = json.loads(payload)
        if not isinstance(value, dict):
            raise BadEnvelope("The signed payload is not an object.")
        return value
    raise BadEnvelope(f"The statement carries no signature by key {key_id(key)}.")
