"""What a signature says, byte by byte: in-toto Statements in DSSE envelopes, countersigned by the registry.

A row in the database is not believed: what counts is what an envelope says once the registry's signature on it holds.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from access.models import Reauthentication, User
from foundation.dsse import STATEMENT_TYPE, BadEnvelope, Envelope, envelope_digest, open_sealed, seal, statement
from foundation.keys import registry_signer
from registry.models import ModelVersion
from reviews.models import Round, SignOff, Slot
from reviews.subjects import Subject

SIGN_OFF_TYPE: Final = "https://countersign.dev/sign-off/v1"
REVOCATION_TYPE: Final = "https://countersign.dev/revocation/v1"
MEANINGS: Final = {
    SignOff.Decision.APPROVE: "I reviewed the evidence and accept the residual risk for the intended use.",
    SignOff.Decision.REQUEST_CHANGES: "I do not accept this version as it is. The requester must answer each point.",
    SignOff.Decision.REJECT: "I refuse this version for this stage.",
}


@dataclass(frozen=True)
class Proof:
    """How the person proved that it was them, and when."""

    person: User
    reauthentication: Reauthentication
    at: datetime


@dataclass(frozen=True)
class SignedDecision:
    """What a verified sign-off statement says."""

    artifact: str
    model: str
    version: int
    stage: str
    review: str
    round: int
    slot: str
    decision: str
    reviewer: str
    reviewer_name: str
    facets: Mapping[str, str]
    policy_digest: str
    subject_digest: str
    issued: datetime
    expires: datetime
    digest: str
    predicate: Mapping[str, Any]


def seal_sign_off(
    round_: Round,
    slot: Slot,
    subject: Subject,
    proof: Proof,
    *,
    decision: str,
    reason: str,
    previous: str | None,
    expires: datetime,
) -> Envelope:
    """The countersigned statement of one decision."""
    version = round_.review.version
    predicate = {
        "decision": decision,
        "meaning": MEANINGS[SignOff.Decision(decision)],
        "reason": reason,
        "model": version.model.name,
        "version": version.number,
        "stage": round_.review.stage.name,
        "review": str(round_.review.uuid),
        "round": round_.number,
        "subject_digest": subject.digest,
        "facets": dict(subject.facets),
        "policy": subject.facets["policy"],
        "policies": subject.value["policies"],
        "slot": {"key": slot.key, "title": slot.title},
        "reviewer": _person(proof.person),
        "reauthentication": _reauthentication(proof.reauthentication),
        "previous": previous,
        "nonce": secrets.token_hex(16),
        "issued": proof.at.isoformat(),
        "expires": expires.isoformat(),
    }
    return _seal(version, SIGN_OFF_TYPE, predicate)


def seal_revocation(version: ModelVersion, proof: Proof, *, reason: str) -> Envelope:
    """The countersigned statement of a revocation."""
    predicate = {
        "meaning": "I withdraw every approval of this version. It must not be served any more.",
        "reason": reason,
        "model": version.model.name,
        "version": version.number,
        "revoker": _person(proof.person),
        "reauthentication": _reauthentication(proof.reauthentication),
        "nonce": secrets.token_hex(16),
        "issued": proof.at.isoformat(),
    }
    return _seal(version, REVOCATION_TYPE, predicate)


def read_sign_off(envelope: Mapping[str, Any]) -> SignedDecision:
    """What a sign-off's envelope says; raises `BadEnvelope` unless the registry signed it and it is a sign-off."""
    value = open_sealed(envelope, registry_signer().public)
    try:
        if value["_type"] != STATEMENT_TYPE or value["predicateType"] != SIGN_OFF_TYPE:
            raise BadEnvelope("The statement is not a sign-off.")
        said = value["predicate"]
        return SignedDecision(
            artifact=str(value["subject"][0]["digest"]["sha256"]),
            model=str(said["model"]),
            version=int(said["version"]),
            stage=str(said["stage"]),
            review=str(said["review"]),
            round=int(said["round"]),
            slot=str(said["slot"]["key"]),
            decision=str(said["decision"]),
            reviewer=str(said["reviewer"]["id"]),
            reviewer_name=str(said["reviewer"]["name"]),
            facets=dict(said["facets"]),
            policy_digest=str(said["policy"]),
            subject_digest=str(said["subject_digest"]),
            issued=datetime.fromisoformat(said["issued"]),
            expires=datetime.fromisoformat(said["expires"]),
            digest=envelope_digest(envelope),
            predicate=said,
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise BadEnvelope(f"The statement does not have the form of a sign-off: {error}") from error


def _seal(version: ModelVersion, predicate_type: str, predicate: Mapping[str, Any]) -> Envelope:
    name = f"{version.model.name}/{version.number}"
    return seal(
        statement(subject_name=name, subject_sha256=version.digest, predicate_type=predicate_type, predicate=predicate),
        registry_signer(),
    )


def _person(user: User) -> dict[str, str]:
    return {"id": str(user.uuid), "name": str(user), "username": user.username}


def _reauthentication(proof: Reauthentication) -> dict[str, str]:
    return {"method": proof.method, "at": proof.at.isoformat(), "id": str(proof.uuid)}
