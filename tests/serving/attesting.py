"""A release attestation built by hand, as the portal would build it: for tests of the offline verification and of the worker."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from countersign.proof.attestation import (
    ATTESTATION_TYPE,
    PROVENANCE_TYPE,
    RELEASE_TYPE,
    SIGN_OFF_TYPE,
    STATUS_TYPE,
    version_id,
)
from countersign.proof.canonical import canonical, digest_of, sha256_hex
from countersign.proof.dsse import Envelope, Signer, envelope_digest, seal, statement
from countersign.proof.manifest import ManifestFile, manifest_digest, rows

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
FACETS = ("artifact", "data", "environment", "evaluation", "card", "policy")
POLICY: dict[str, Any] = {
    "title": "Production",
    "slots": [
        {"key": "validator", "people": 1, "answers_for": list(FACETS)},
        {"key": "risk", "people": 1, "answers_for": ["evaluation", "card"]},
    ],
}


def manifest_of(files: Mapping[str, bytes]) -> list[ManifestFile]:
    """The manifest of files given as path → bytes."""
    return [
        ManifestFile(path, len(content), hashlib.sha256(content).hexdigest()) for path, content in sorted(files.items())
    ]


class Registry:
    """Stands for the registry: has the key, and signs whatever a test wants signed."""

    def __init__(self, *, now: datetime = NOW) -> None:
        self.signer = Signer(Ed25519PrivateKey.generate())
        self.now = now
        self.counter = 7
        self.revoked: list[str] = []

    def status(self, *, lasts: timedelta = timedelta(hours=1)) -> Envelope:
        """A status snapshot with the present counter and revocations."""
        predicate = {
            "counter": self.counter,
            "issued_at": self.now.isoformat(),
            "expires_at": (self.now + lasts).isoformat(),
            "revoked": self.revoked,
        }
        return self.sealed(STATUS_TYPE, predicate, digest_of(predicate))

    def revoke(self, model: str, version: int, digest: str) -> None:
        """Name a version in the snapshots from now on."""
        self.counter += 1
        self.revoked.append(version_id(model, version, digest))

    def sealed(self, kind: str, predicate: Mapping[str, Any], sha256: str) -> Envelope:
        """A statement of any kind, signed."""
        return seal(
            statement(subject_name="x", subject_sha256=sha256, predicate_type=kind, predicate=predicate), self.signer
        )

    def attestation(
        self,
        files: Mapping[str, bytes],
        *,
        model: str = "credit",
        version: int = 3,
        stage: str = "production",
        policy: Mapping[str, Any] = POLICY,
        signers: tuple[tuple[str, str], ...] = (("validator", "bob"), ("risk", "carol")),
        authors: tuple[str, ...] = ("alice",),
        decision: str = "approve",
        method: str = "password",
        valid: timedelta = timedelta(days=365),
        seen_facets: Mapping[str, str] | None = None,
        beside: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> dict[str, Any]:
        """A good attestation of `files`, or one with the flaw that the arguments give it. `beside`: texts of other policies, by name."""
        manifest = manifest_of(files)
        digest = manifest_digest(manifest)
        about = {"model": model, "version": version, "stage": stage}
        texts = {"production-tier-1": policy} | dict(beside or {})
        policies = [{"name": name, "number": 1, "digest": digest_of(text)} for name, text in texts.items()]
        facets = {name: sha256_hex(name.encode()) for name in FACETS}
        until = (self.now + valid).isoformat()
        subject = canonical(
            about | {"digest": digest, "facets": facets, "policies": policies, "compared_with": None}
        ).decode()
        sign_offs = [
            self.sealed(
                SIGN_OFF_TYPE,
                about
                | {
                    "decision": decision,
                    "facets": facets | dict(seen_facets or {}),
                    "slot": {"key": slot, "title": slot},
                    "reviewer": {"id": person, "name": person.title(), "username": person},
                    "reauthentication": {"method": method},
                    "issued": self.now.isoformat(),
                    "expires": until,
                },
                digest,
            )
            for slot, person in signers
        ]
        release = about | {
            "digest": digest,
            "round": 1,
            "subject_digest": sha256_hex(subject.encode()),
            "sign_offs": [envelope_digest(envelope) for envelope in sign_offs],
            "policies": policies,
            "previous": None,
            "valid_until": until,
        }
        provenance = {"model": model, "version": version, "digest": digest, "authors": list(authors)}
        return {
            "type": ATTESTATION_TYPE,
            "release": self.sealed(RELEASE_TYPE, release, digest),
            "manifest": rows(manifest),
            "subject": subject,
            "sign_offs": sign_offs,
            "policies": [{"name": name, "number": 1, "content": dict(text)} for name, text in texts.items()],
            "provenance": self.sealed(PROVENANCE_TYPE, provenance, digest),
            "status": self.status(),
        }
