"""Decides, from the signatures under its bounds, whether a retraining envelope allows a version to be live.

The signatures fill every slot of the policy, each by another person, none of whom had a hand in the retrained version; all of them
are under one document that names model, stage, base version, policies, bounds and end. What is not in that document was not signed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from access.models import User
from access.stepup import Proof
from countersign.proof.canonical import digest_of
from countersign.proof.dsse import BadEnvelope, Envelope
from countersign.proof.webauthn import method_of
from registry.models import ModelVersion
from reviews.grounds import Ground, round_name
from reviews.independence import conflict_of
from reviews.models import Approval, EnvelopeSignature, RetrainingEnvelope
from reviews.people import deeds_of
from reviews.policies import Rules, SlotRule
from reviews.proven import why_unproven
from reviews.quorum import Vote, enough
from reviews.rulebook import rules_of
from reviews.statements import person_named, read_statement, seal_decision
from reviews.subjects import frozen

ENVELOPE_TYPE: Final = "https://countersign.dev/envelope/v1"
MEANING: Final = "I accept in advance that versions retrained within these bounds go live without a new review, until the stated end."


@dataclass(frozen=True)
class Said:
    """What one verified signature under an envelope says."""

    bounds: str
    envelope: str
    slot: str
    signer: str
    method: str
    expires: datetime
    pulls_until: datetime
    digest: str


def document(envelope: RetrainingEnvelope, policies: list[dict[str, Any]]) -> dict[str, Any]:
    """What is signed; its digest is the envelope's."""
    return {
        "model": envelope.model.name,
        "stage": envelope.stage.name,
        "base": {"version": envelope.base.number, "digest": envelope.base.digest},
        "policies": policies,
        "bounds": envelope.bounds,
        "valid_until": envelope.valid_until.isoformat(),
    }


def seal(envelope: RetrainingEnvelope, slot: SlotRule, proof: Proof, *, reason: str, pulls_until: datetime) -> Envelope:
    """The countersigned statement of one signer."""
    predicate = {
        "meaning": MEANING,
        "reason": reason,
        "envelope": str(envelope.uuid),
        "model": envelope.model.name,
        "stage": envelope.stage.name,
        "slot": {"key": slot.key, "title": slot.title},
        "signer": person_named(proof.person),
        "expires": envelope.valid_until.isoformat(),
        "pulls_until": pulls_until.isoformat(),
    }
    name = f"{envelope.model.name}/{envelope.stage.name}/envelope"
    return seal_decision(name, envelope.digest, ENVELOPE_TYPE, predicate, proof)


def read(statement: Mapping[str, Any]) -> Said:
    """What a signature says; raises `BadEnvelope` unless the registry signed it and it is one under an envelope."""
    return read_statement(statement, ENVELOPE_TYPE, "a signature under an envelope", _said)


def _said(subject: str, said: Mapping[str, Any], digest: str) -> Said:
    return Said(
        bounds=subject,
        envelope=str(said["envelope"]),
        slot=str(said["slot"]["key"]),
        signer=str(said["signer"]["id"]),
        method=method_of(said),
        expires=datetime.fromisoformat(said["expires"]),
        pulls_until=datetime.fromisoformat(said["pulls_until"]),
        digest=digest,
    )


def counting(envelope: RetrainingEnvelope, at: datetime) -> list[tuple[EnvelopeSignature, Said]]:
    """The signatures that count at the moment `at`: verified, of exactly this envelope and its bounds, proven, not run out."""
    found = []
    for row in envelope.signatures.select_related("person__owner", "reauthentication"):
        try:
            said = read(row.statement)
        except BadEnvelope:
            continue
        told = (said.slot, said.signer, said.digest, said.envelope, said.bounds)
        kept = (row.slot_key, str(row.person.uuid), row.statement_digest, str(envelope.uuid), envelope.digest)
        if told == kept and at < said.expires and not why_unproven(row.statement, "signer", row.reauthentication):
            found.append((row, said))
    return found


def is_complete(
    envelope: RetrainingEnvelope, rules: Rules, at: datetime, *, without: frozenset[str] = frozenset()
) -> bool:
    """Whether every slot of `rules` is filled by people who count; those in `without` (account ids) do not."""
    needs = {slot.key: slot.people for slot in rules.slots}
    votes = [
        Vote(said.slot, said.signer)
        for _, said in counting(envelope, at)
        if said.signer not in without and said.method in rules.reauthentication
    ]
    return enough(needs, votes)


def ground(approval: Approval, at: datetime) -> Ground:
    """What an approval by envelope rests on, as it stood at the moment `at`."""
    envelope = approval.envelope
    if envelope is None:
        return Ground("No retraining envelope stands behind it.", approval.valid_until, approval.pulls_until)
    rules = rules_of(approval.round)
    signed = counting(envelope, at)
    cites = {
        "basis": str(approval.basis),
        "round": round_name(approval.round),
        "subject_digest": frozen(approval.round).digest,
        "policies": [ref.as_dict() for ref in rules.refs],
        "sign_offs": [],
        "envelope": {"digest": envelope.digest, "signatures": sorted(said.digest for _, said in signed)},
    }
    ends = [said.expires for _, said in signed]
    pulls = [said.pulls_until for _, said in signed]
    return Ground(
        _problem(approval, envelope, rules, at),
        min([approval.valid_until, *ends]),
        min([approval.pulls_until, *pulls]),
        cites,
    )


def _problem(approval: Approval, envelope: RetrainingEnvelope, rules: Rules, at: datetime) -> str:
    version, review = approval.version, approval.round.review
    if (envelope.model_id, envelope.stage_id) != (version.model_id, approval.stage_id):
        return "The envelope is for another model or stage."
    if (review.version_id, review.stage_id) != (version.pk, approval.stage_id):
        return "The round is about another version or stage."
    if digest_of(document(envelope, [ref.as_dict() for ref in rules.refs])) != envelope.digest:
        return "The envelope's bounds or policies are not those that were signed."
    subject = frozen(approval.round)
    if subject.digest != approval.round.subject_digest or subject.facets["artifact"] != version.digest:
        return "The frozen subject is not that of these bytes."
    if not is_complete(envelope, rules, at, without=hands_in(version, envelope, approval.approved_at)):
        return "Valid signatures under the envelope do not fill every slot of the policy."
    uses = Approval.objects.filter(envelope=envelope, pk__lte=approval.pk).count()
    if uses > int(envelope.bounds.get("max_uses", 0)):
        return "The envelope was used up before."
    return ""


def hands_in(version: ModelVersion, envelope: RetrainingEnvelope, until: datetime) -> frozenset[str]:
    """The signers who had a hand in the retrained version by then: their signature does not count for it."""
    deeds = deeds_of(version, until=until)
    people: list[User] = [row.person for row in envelope.signatures.select_related("person")]
    return frozenset(str(person.uuid) for person in people if conflict_of(person.pk, deeds))
