"""Decides which exceptions hold: signed decisions that one failed gate does not block, for a reason, with a control, for a while.

Believed from envelopes alone, as signatures are: for exactly this round and these bytes, by an independent holder of the slot that
the policy names for the gate. That the gate failed, and by how much, is what the signer saw and the statement says; whether it fails
now is asked of the facts at every question. An exception given for other facets, or against another champion, than now counts no more.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from access.stepup import Proof
from countersign.proof.dsse import BadEnvelope, Envelope
from foundation.refusals import RequirementStatus
from reviews.gates import GateOutcome
from reviews.independence import Deed, of_others, what_they_did
from reviews.models import GateException, Round, Slot
from reviews.policies import Rules
from reviews.proven import why_unproven
from reviews.statements import person_named, read_statement, seal_about
from reviews.subjects import Subject

EXCEPTION_TYPE: Final = "https://countersign.dev/exception/v1"
MEANING: Final = (
    "I know that this requirement is not met, and accept it until the end date, for the reason and with the compensating control "
    "that I give."
)


@dataclass(frozen=True)
class SignedException:
    """What a verified exception says. `compared_with`: number of the version that was live then, None: none."""

    artifact: str
    review: str
    round: int
    slot: str
    gate: str
    person: str
    facets: Mapping[str, str]
    policy_digest: str
    compared_with: int | None
    ends_at: datetime
    digest: str
    predicate: Mapping[str, Any]


@dataclass(frozen=True)
class Excepted:
    """One exception of a round as it stands: `why_not` says why it does not hold, or nothing. `said`: None when forged."""

    row: GateException
    said: SignedException | None
    why_not: str = ""

    @property
    def holds(self) -> bool:
        """Whether the gate does not block by it."""
        return not self.why_not

    @property
    def sentence(self) -> str:
        """Who excepted the gate, until when, why and with which control: shown wherever the gate is."""
        row = self.row
        return (
            f"Excepted by {row.person} as {row.slot.title} until {row.ends_at:%d %B %Y}: {row.reason} "
            f"Compensating control: {row.compensating_control}"
        )


def seal_exception(
    round_: Round,
    slot: Slot,
    subject: Subject,
    outcome: GateOutcome,
    proof: Proof,
    *,
    reason: str,
    compensating_control: str,
    ends_at: datetime,
    compared_with: int | None,
) -> Envelope:
    """The countersigned statement of one exception."""
    version = round_.review.version
    predicate = {
        "meaning": MEANING,
        "reason": reason,
        "compensating_control": compensating_control,
        "ends_at": ends_at.isoformat(),
        "gate": {
            "key": outcome.gate.key,
            "title": outcome.gate.title,
            "measured": outcome.measured,
            "required": outcome.required,
            "production": outcome.production,
        },
        "model": version.model.name,
        "version": version.number,
        "stage": round_.review.stage.name,
        "review": str(round_.review.uuid),
        "round": round_.number,
        "subject_digest": subject.digest,
        "facets": dict(subject.facets),
        "policy": subject.facets["policy"],
        "policies": subject.value["policies"],
        "compared_with": compared_with,
        "slot": {"key": slot.key, "title": slot.title},
        "reviewer": person_named(proof.person),
    }
    return seal_about(version, EXCEPTION_TYPE, predicate, proof)


def read_exception(envelope: Mapping[str, Any]) -> SignedException:
    """What an exception's envelope says; raises `BadEnvelope` unless the registry signed it and it is an exception."""
    return read_statement(envelope, EXCEPTION_TYPE, "an exception", _signed_exception)


def _signed_exception(subject: str, said: Mapping[str, Any], digest: str) -> SignedException:
    compared_with = said["compared_with"]
    return SignedException(
        artifact=subject,
        review=str(said["review"]),
        round=int(said["round"]),
        slot=str(said["slot"]["key"]),
        gate=str(said["gate"]["key"]),
        person=str(said["reviewer"]["id"]),
        facets=dict(said["facets"]),
        policy_digest=str(said["policy"]),
        compared_with=None if compared_with is None else int(compared_with),
        ends_at=datetime.fromisoformat(said["ends_at"]),
        digest=digest,
        predicate=said,
    )


def exceptions_of(round_: Round, rules: Rules, at: datetime, deeds: Sequence[Deed]) -> list[Excepted]:
    """Every exception of the round, oldest first, as it stands at the moment `at` under `rules`, verified from its envelope."""
    rows = GateException.objects.filter(round=round_).select_related("slot", "person", "reauthentication")
    excepting = {gate.key: gate.excepted_by for gate in rules.gates}
    return [_standing(row, round_, rules, excepting, at, deeds) for row in rows]


def _standing(
    row: GateException,
    round_: Round,
    rules: Rules,
    excepting: Mapping[str, str],
    at: datetime,
    deeds: Sequence[Deed],
) -> Excepted:
    try:
        said = read_exception(row.statement)
    except BadEnvelope as error:
        return Excepted(row, None, f"It is not valid: {error}")
    told = (said.review, said.round, said.slot, said.gate, said.person, said.ends_at, said.digest)
    stored = (
        str(round_.review.uuid),
        round_.number,
        row.slot.key,
        row.gate_key,
        str(row.person.uuid),
        row.ends_at,
        row.statement_digest,
    )
    if told != stored or said.artifact != round_.review.version.digest:
        return Excepted(row, None, "It is not valid: the statement was signed for something else.")
    return Excepted(row, said, _why_not(row, said, rules, excepting, at, deeds))


def _why_not(
    row: GateException,
    said: SignedException,
    rules: Rules,
    excepting: Mapping[str, str],
    at: datetime,
    deeds: Sequence[Deed],
) -> str:
    if row.withdrawn_at is not None:
        return f"Withdrawn: {row.withdrawn_why}"
    if unproven := why_unproven(row.statement, "reviewer", row.reauthentication, accepted=rules.reauthentication):
        return f"It is not valid: {unproven}"
    if said.ends_at <= at:
        return f"It ended on {said.ends_at:%d %B %Y}."
    if said.policy_digest != rules.digest:
        return "It was given under another policy."
    if not said.slot or excepting.get(said.gate, "") != said.slot:
        return "The policy does not let this slot except the gate."
    if did := what_they_did(row.person_id, deeds):
        return f"{row.person} {of_others(did)}, so their exception does not count."
    return ""


def now_applying(
    found: Sequence[Excepted], facets: Mapping[str, str], compared_with: Collection[int | None]
) -> tuple[Excepted, ...]:
    """The same with those that were given for another state: other facets than `facets`, none of `compared_with` live then."""
    return tuple(_applying(one, facets, compared_with) if one.holds else one for one in found)


def _applying(one: Excepted, facets: Mapping[str, str], compared_with: Collection[int | None]) -> Excepted:
    said = one.said
    if said is None:
        return one
    changed = sorted(name for name in facets if said.facets.get(name) != facets[name])
    if changed:
        return replace(one, why_not=f"It was given before the {', '.join(changed)} changed.")
    if said.compared_with not in compared_with:
        return replace(one, why_not="It was given against another live version.")
    return one


def excepted(gates: Sequence[GateOutcome], found: Sequence[Excepted]) -> tuple[GateOutcome, ...]:
    """The outcomes, where a failed gate that an exception covers does not block; an error is no measured failure and stays one."""
    holding = {one.row.gate_key: one for one in found if one.holds}
    return tuple(_excepted(outcome, holding.get(outcome.gate.key)) for outcome in gates)


def _excepted(outcome: GateOutcome, exception: Excepted | None) -> GateOutcome:
    if exception is None or outcome.status is not RequirementStatus.UNSATISFIED:
        return outcome
    return replace(
        outcome,
        status=RequirementStatus.EXCEPTED,
        explanation=f"{exception.sentence} ({outcome.explanation})",
    )
