"""What a signature says, byte by byte: in-toto Statements in DSSE envelopes, countersigned by the registry.

A row in the database is not believed: what counts is what an envelope says once the registry's signature on it holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

from access.models import User
from access.stepup import Proof
from countersign.proof.canonical import digest_of
from countersign.proof.dsse import STATEMENT_TYPE, BadEnvelope, Envelope, envelope_digest, open_sealed, seal, statement
from foundation.keys import registry_signer
from registry.models import ModelVersion, Stage
from reviews.models import Delegation, Finding, Round, SignOff, Slot
from reviews.subjects import Subject

T = TypeVar("T")
SIGN_OFF_TYPE: Final = "https://countersign.dev/sign-off/v1"
REVOCATION_TYPE: Final = "https://countersign.dev/revocation/v1"
ROLLBACK_TYPE: Final = "https://countersign.dev/rollback/v1"
MAX_REASON: Final = 10_000
EXTENSION_TYPE: Final = "https://countersign.dev/extension/v1"
MEANINGS: Final = {
    SignOff.Decision.APPROVE: "I reviewed the evidence and accept the residual risk for the intended use.",
    SignOff.Decision.APPROVE_WITH_CONDITIONS: "I reviewed the evidence and accept the residual risk for the intended use, "
    "provided that each condition is met and verified by its due date.",
    SignOff.Decision.REQUEST_CHANGES: "I do not accept this version as it is. The requester must answer each point.",
    SignOff.Decision.REJECT: "I refuse this version for this stage.",
}


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
    on_behalf_of: str
    facets: Mapping[str, str]
    policy_digest: str
    subject_digest: str
    issued: datetime
    expires: datetime
    pulls_until: datetime
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
    pulls_until: datetime,
    conditions: Sequence[Mapping[str, Any]] = (),
    delegation: Delegation | None = None,
) -> Envelope:
    """The countersigned statement of one decision. `delegation`: by which the person signs for somebody else."""
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
        "reviewer": person_named(proof.person),
        "on_behalf_of": _stood_in(delegation),
        "previous": previous,
        "expires": expires.isoformat(),
        "pulls_until": pulls_until.isoformat(),
        "conditions": list(conditions),
    }
    return seal_about(version, SIGN_OFF_TYPE, predicate, proof)


def seal_revocation(version: ModelVersion, proof: Proof, *, reason: str) -> Envelope:
    """The countersigned statement of a revocation."""
    predicate = {
        "meaning": "I withdraw every approval of this version. It must not be served any more.",
        "reason": reason,
        "model": version.model.name,
        "version": version.number,
        "revoker": person_named(proof.person),
    }
    return seal_about(version, REVOCATION_TYPE, predicate, proof)


def seal_extension(finding: Finding, proof: Proof, *, reason: str, due: datetime) -> Envelope:
    """The countersigned statement that gives a finding a later due date."""
    version = finding.version
    predicate = {
        "meaning": "I accept that this is done later than was agreed, and not later than the new due date.",
        "reason": reason,
        "model": version.model.name,
        "version": version.number,
        "finding": {"id": str(finding.uuid), "title": finding.title, "owner": person_named(finding.owner)},
        "sign_off": finding.sign_off.statement_digest if finding.sign_off else None,
        "was_due": finding.due_at.isoformat(),
        "due": due.isoformat(),
        "reviewer": person_named(proof.person),
    }
    return seal_about(version, EXTENSION_TYPE, predicate, proof)


@dataclass(frozen=True)
class SignedExtension:
    """What a verified extension says."""

    artifact: str
    finding: str
    due: datetime
    reviewer: str


def read_statement(
    envelope: Mapping[str, Any], predicate_type: str, what: str, said: Callable[[str, Mapping[str, Any], str], T]
) -> T:
    """What an envelope says, once the registry's signature and the statement's type hold; raises `BadEnvelope` with a sentence.

    `said` makes it of the subject's SHA-256, the predicate, and the statement's digest; `what` names it in refusals.
    """
    value = open_sealed(envelope, registry_signer().public)
    try:
        if value["_type"] != STATEMENT_TYPE or value["predicateType"] != predicate_type:
            raise BadEnvelope(f"The statement is not {what}.")
        return said(str(value["subject"][0]["digest"]["sha256"]), value["predicate"], envelope_digest(envelope))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise BadEnvelope(f"The statement does not have the form of {what}: {error}") from error


def read_extension(envelope: Mapping[str, Any]) -> SignedExtension:
    """What an extension's envelope says; raises `BadEnvelope` unless the registry signed it and it is an extension."""
    return read_statement(envelope, EXTENSION_TYPE, "an extension", _signed_extension)


def _signed_extension(subject: str, said: Mapping[str, Any], _digest: str) -> SignedExtension:
    return SignedExtension(
        artifact=subject,
        finding=str(said["finding"]["id"]),
        due=datetime.fromisoformat(said["due"]),
        reviewer=str(said["reviewer"]["id"]),
    )


def seal_rollback(version: ModelVersion, stage: Stage, proof: Proof, *, reason: str, left: int | None) -> Envelope:
    """The countersigned statement of a rollback to `version`. `left`: number of the version that leaves the stage."""
    predicate = {
        "meaning": "I put the earlier version back, by the approval of it that still stands.",
        "reason": reason,
        "model": version.model.name,
        "version": version.number,
        "stage": stage.name,
        "left": left,
        "person": person_named(proof.person),
    }
    return seal_about(version, ROLLBACK_TYPE, predicate, proof)


def read_sign_off(envelope: Mapping[str, Any]) -> SignedDecision:
    """What a sign-off's envelope says; raises `BadEnvelope` unless the registry signed it and it is a sign-off."""
    return read_statement(envelope, SIGN_OFF_TYPE, "a sign-off", _signed_decision)


def _signed_decision(subject: str, said: Mapping[str, Any], digest: str) -> SignedDecision:
    return SignedDecision(
        artifact=subject,
        model=str(said["model"]),
        version=int(said["version"]),
        stage=str(said["stage"]),
        review=str(said["review"]),
        round=int(said["round"]),
        slot=str(said["slot"]["key"]),
        decision=str(said["decision"]),
        reviewer=str(said["reviewer"]["id"]),
        reviewer_name=str(said["reviewer"]["name"]),
        on_behalf_of=str(said["on_behalf_of"]["id"]) if said["on_behalf_of"] else "",
        facets=dict(said["facets"]),
        policy_digest=str(said["policy"]),
        subject_digest=str(said["subject_digest"]),
        issued=datetime.fromisoformat(said["issued"]),
        expires=datetime.fromisoformat(said["expires"]),
        pulls_until=datetime.fromisoformat(said.get("pulls_until", said["expires"])),
        digest=digest,
        predicate=said,
    )


def seal_about(version: ModelVersion, predicate_type: str, predicate: Mapping[str, Any], proof: Proof) -> Envelope:
    """A person's countersigned decision about one version; see `seal_decision`."""
    return seal_decision(f"{version.model.name}/{version.number}", version.digest, predicate_type, predicate, proof)


def seal_decision(
    subject_name: str, subject_sha256: str, predicate_type: str, predicate: Mapping[str, Any], proof: Proof
) -> Envelope:
    """A person's countersigned decision about whatever `subject_sha256` is the digest of: the one way in which anything is signed.

    Adds to `predicate` how and when the person confirmed it. Ends a rehearsal with `access.stepup.StatementReady`, and raises
    `Conflict` where a passkey signed another statement than this one.
    """
    said = {
        **predicate,
        "reauthentication": proof.as_predicate(),
        "nonce": proof.nonce,
        "issued": proof.at.isoformat(),
    }
    value = statement(
        subject_name=subject_name, subject_sha256=subject_sha256, predicate_type=predicate_type, predicate=said
    )
    proof.stands_for(digest_of(value))
    return seal(value, registry_signer())


def _stood_in(delegation: Delegation | None) -> dict[str, str] | None:
    """How a statement names whom it was signed for, and by which delegation."""
    if delegation is None:
        return None
    return {
        **person_named(delegation.delegator),
        "delegation": str(delegation.uuid),
        "group": delegation.group.name,
        "ends_at": delegation.ends_at.isoformat(),
    }


def person_named(user: User) -> dict[str, str]:
    """How a statement names a person."""
    return {"id": str(user.uuid), "name": str(user), "username": user.username}
