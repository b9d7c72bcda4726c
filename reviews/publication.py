"""Decides whether the text of a policy was put in force by the signatures that this takes. A row that says "published" is not believed.

What counts are statements that the registry countersigned: each names the policy, number and digest, the proposal that it answers,
who wrote the text, and how many members of which group the version then in force asked for. The policies that ship are known by
their text (`reviews.shipped`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from access.models import User
from access.stepup import Proof
from countersign.proof.dsse import BadEnvelope, Envelope, envelope_digest
from reviews.models import PolicySignature, PolicyVersion
from reviews.policies import Approvers, PolicyDocument
from reviews.proven import why_unproven
from reviews.shipped import is_shipped
from reviews.statements import person_named, read_statement, seal_decision

POLICY_SIGN_OFF_TYPE: Final = "https://countersign.dev/policy-sign-off/v1"
Decision = PolicySignature.Decision
MEANINGS: Final = {
    Decision.APPROVE: "I read this policy and what it would change, and I put it in force.",
    Decision.RETURN: "I do not accept this policy as it is. Its author must answer each point.",
}


@dataclass(frozen=True)
class Needs:
    """Whose signatures put a version in force. `under`: the version in force that says so; None: the text itself, being the first."""

    group: str
    people: int
    under: PolicyVersion | None = None

    @classmethod
    def of(cls, document: PolicyDocument, in_force: tuple[PolicyVersion, PolicyDocument] | None) -> Needs:
        """The needs of `document`: a version in force decides who may replace it, whatever the new text says."""
        if in_force is None:
            return cls(document.changed_by.group, document.changed_by.people)
        approvers: Approvers = in_force[1].changed_by
        return cls(approvers.group, approvers.people, in_force[0])


@dataclass(frozen=True)
class SignedPolicy:
    """What a verified policy signature says."""

    policy: str
    number: int
    digest: str
    proposed: str
    decision: str
    signer: str
    authors: frozenset[str]
    people: int
    rehearsal: str


def seal_policy_signature(
    version: PolicyVersion,
    proof: Proof,
    *,
    decision: str,
    reason: str,
    needs: Needs,
    rehearsal: str,
    previous: str | None,
    authors: Iterable[User],
) -> Envelope:
    """The countersigned statement of one decision on a proposed policy; `rehearsal` is the digest of what it was shown to change."""
    name, number = version.policy.name, version.number
    predicate = {
        "decision": decision,
        "meaning": MEANINGS[Decision(decision)],
        "reason": reason,
        "policy": name,
        "number": number,
        "digest": version.digest,
        "proposed": _moment(version),
        "authors": sorted(str(author.uuid) for author in authors),
        "needs": {"group": needs.group, "people": needs.people},
        "in_force": {"number": needs.under.number, "digest": needs.under.digest} if needs.under else None,
        "rehearsal": rehearsal,
        "signer": person_named(proof.person),
        "previous": previous,
    }
    return seal_decision(f"policy/{name}/{number}", version.digest, POLICY_SIGN_OFF_TYPE, predicate, proof)


def read_policy_signature(envelope: Mapping[str, Any]) -> SignedPolicy:
    """What an envelope says; raises `BadEnvelope` unless the registry signed it and it is a decision on a policy."""
    return read_statement(envelope, POLICY_SIGN_OFF_TYPE, "a decision on a policy", _signed_policy)


def _signed_policy(subject: str, said: Mapping[str, Any], _digest: str) -> SignedPolicy:
    return SignedPolicy(
        policy=str(said["policy"]),
        number=int(said["number"]),
        digest=subject,
        proposed=str(said["proposed"]),
        decision=str(said["decision"]),
        signer=str(said["signer"]["id"]),
        authors=frozenset(map(str, said["authors"])),
        people=int(said["needs"]["people"]),
        rehearsal=str(said["rehearsal"]),
    )


def approvals_of(version: PolicyVersion, signatures: Iterable[PolicySignature]) -> list[SignedPolicy]:
    """The valid approvals of exactly this text in its current proposal, one a person, by none of its authors."""
    found: dict[str, SignedPolicy] = {}
    for signature in signatures:
        said = _said(signature)
        if said is not None and said.decision == Decision.APPROVE and _is_about(said, version):
            found[said.signer] = said
    return [said for said in found.values() if said.signer not in said.authors]


def why_not_in_force(version: PolicyVersion, signatures: Sequence[PolicySignature]) -> str:
    """Why this text is not in force, or nothing. `signatures` are those of the version; its policy is loaded."""
    if version.status != PolicyVersion.Status.PUBLISHED:
        return f"It is {version.get_status_display().lower()}."
    if version.created_by_id is None and is_shipped(version.policy.name, version.number, version.content):
        return ""
    approvals = approvals_of(version, signatures)
    if not approvals:
        return "No valid signature put it in force."
    needed = max(said.people for said in approvals)
    return "" if len(approvals) >= needed else f"{len(approvals)} of {needed} valid signatures put it in force."


def _said(signature: PolicySignature) -> SignedPolicy | None:
    try:
        said = read_policy_signature(signature.statement)
    except BadEnvelope:
        return None
    if envelope_digest(signature.statement) != signature.statement_digest:
        return None
    return None if why_unproven(signature.statement, "signer", signature.reauthentication) else said


def _is_about(said: SignedPolicy, version: PolicyVersion) -> bool:
    return (said.policy, said.number, said.digest, said.proposed) == (
        version.policy.name,
        version.number,
        version.digest,
        _moment(version),
    )


def _moment(version: PolicyVersion) -> str:
    return version.proposed_at.isoformat() if version.proposed_at else ""
