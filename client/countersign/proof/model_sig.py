"""What OpenSSF model-signing's `model.sig` says of a version, and whether one speaks of exactly the files that were verified.

A DSSE envelope around an in-toto Statement, in a Sigstore bundle. The registry signs it with an EC P-256 key of its own (model-signing
knows no Ed25519), so that whoever has that tool checks the files without one of ours. Source: the formats of model-signing 1.x
(predicate `https://model_signing/signature/v1.0`) and the Sigstore bundle v0.3.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from countersign.proof.canonical import canonical
from countersign.proof.dsse import PAYLOAD_TYPE, pre_authentication_encoding, statement
from countersign.proof.manifest import ManifestFile

MEDIA_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
PREDICATE_TYPE: Final = "https://model_signing/signature/v1.0"
KEPT_BESIDE: Final = ".countersign"
"""Where a pulled folder keeps its proof; named as ignored in the statement, so that the tool needs not be told."""


class BadModelSig(ValueError):
    """The bundle is malformed, or speaks of other files."""


def model_statement(name: str, files: Sequence[ManifestFile], about: Mapping[str, Any]) -> dict[str, Any]:
    """The statement about the files of a version; `about` names the version and its release, which the tool does not read."""
    named = sorted(files)
    predicate = {
        "serialization": {
            "method": "files",
            "hash_type": "sha256",
            "allow_symlinks": False,
            "ignore_paths": [KEPT_BESIDE],
        },
        "resources": [{"name": one.path, "algorithm": "sha256", "digest": one.sha256} for one in named],
        "countersign": dict(about),
    }
    over_all = hashlib.sha256(b"".join(bytes.fromhex(one.sha256) for one in named)).hexdigest()
    return statement(subject_name=name, subject_sha256=over_all, predicate_type=PREDICATE_TYPE, predicate=predicate)


def sign_bundle(value: Mapping[str, Any], key: ec.EllipticCurvePrivateKey) -> bytes:
    """`model.sig`: the statement, signed by `key` (ECDSA over SHA-256)."""
    payload = canonical(dict(value))
    signature = key.sign(pre_authentication_encoding(PAYLOAD_TYPE, payload), ec.ECDSA(hashes.SHA256()))
    bundle = {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": key_hint(key.public_key())}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": b64encode(signature).decode(), "keyid": ""}],
        },
    }
    return json.dumps(bundle, indent=1).encode()


def key_hint(public: ec.EllipticCurvePublicKey) -> str:
    """By what a bundle names its key: the SHA-256 of the public key's PEM."""
    return hashlib.sha256(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def check_bundle(content: bytes, files: Sequence[ManifestFile]) -> None:
    """That a bundle speaks of exactly these files; raises `BadModelSig`. Its signature is checked by the tool, with the key for it."""
    try:
        said = json.loads(b64decode(json.loads(content)["dsseEnvelope"]["payload"], validate=True))
        kind = said["predicateType"]
        named = {str(one["name"]): (one["algorithm"], one["digest"]) for one in said["predicate"]["resources"]}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadModelSig("The model.sig that the registry sent is no bundle of model-signing.") from error
    if kind != PREDICATE_TYPE or named != {one.path: ("sha256", one.sha256) for one in files}:
        raise BadModelSig("The model.sig that the registry sent is about other files than those that were signed off.")
