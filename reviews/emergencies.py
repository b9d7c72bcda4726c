"""Decides, from its two signed statements alone, whether a break-glass allows a version to be live, and until when.

One person asked, another one seconded within the hours that were asked for; both signed for exactly these bytes at this stage.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from access.stepup import Proof
from countersign.proof.dsse import BadEnvelope, Envelope
from registry.models import ModelVersion, Stage
from reviews.grounds import Ground, about, round_name
from reviews.models import Approval, BreakGlass
from reviews.policies import Rules
from reviews.proven import why_unproven
from reviews.rulebook import accepted_under
from reviews.statements import person_named, read_statement, seal_about

BREAK_GLASS_TYPE: Final = "https://countersign.dev/break-glass/v1"
ASKS, SECONDS, DECLINES = "asks", "seconds", "declines"
MEANINGS: Final = {
    ASKS: "I ask for this version to go live ahead of its review, in an emergency, for the hours stated.",
    SECONDS: "I looked at the emergency and agree that this version goes live ahead of its review, for the hours stated.",
    DECLINES: "I do not agree that this version goes live ahead of its review.",
}


@dataclass(frozen=True)
class Said:
    """What one verified statement of a break-glass says. `asked`: for an answer, the digest of the statement that it answers."""

    role: str
    person: str
    about: Mapping[str, Any]
    artifact: str
    hours: int
    asked: str
    policies: list[dict[str, Any]]
    issued: datetime
    digest: str


def seal_ask(
    version: ModelVersion,
    stage: Stage,
    rules: Rules,
    proof: Proof,
    *,
    reason: str,
    text: str,
    hours: int,
    previous: int | None,
) -> Envelope:
    """The countersigned statement of whoever asks. `previous`: number of the version that is live now."""
    predicate = {
        **about(version, stage),
        "role": ASKS,
        "meaning": MEANINGS[ASKS],
        "reason": reason,
        "text": text,
        "hours": hours,
        "previous": previous,
        "policies": [ref.as_dict() for ref in rules.refs],
        "person": person_named(proof.person),
    }
    return seal_about(version, BREAK_GLASS_TYPE, predicate, proof)


def seal_answer(case: BreakGlass, rules: Rules, proof: Proof, *, role: str, reason: str = "") -> Envelope:
    """The countersigned statement of the second person, who seconds or declines."""
    predicate = {
        **about(case.version, case.stage),
        "role": role,
        "meaning": MEANINGS[role],
        "reason": reason,
        "asked": case.asked_digest,
        "hours": case.hours,
        "groups": list(rules.emergency.groups),
        "policies": [ref.as_dict() for ref in rules.refs],
        "person": person_named(proof.person),
    }
    return seal_about(case.version, BREAK_GLASS_TYPE, predicate, proof)


def read(envelope: Mapping[str, Any]) -> Said:
    """What a statement says; raises `BadEnvelope` unless the registry signed it and it is one of a break-glass."""
    return read_statement(envelope, BREAK_GLASS_TYPE, "a break-glass", _said)


def _said(subject: str, said: Mapping[str, Any], digest: str) -> Said:
    return Said(
        role=str(said["role"]),
        person=str(said["person"]["id"]),
        about={name: said[name] for name in ("model", "version", "stage", "digest")},
        artifact=subject,
        hours=int(said["hours"]),
        asked=str(said.get("asked", "")),
        policies=list(said["policies"]),
        issued=datetime.fromisoformat(said["issued"]),
        digest=digest,
    )


def ground(approval: Approval) -> Ground:
    """What an approval by break-glass rests on; its end comes from the statements, not from the rows."""
    case = approval.break_glass
    if case is None:
        return Ground("No break-glass stands behind it.", approval.valid_until, approval.pulls_until)
    try:
        asks, seconds = read(case.asked_statement), read(case.seconded_statement or {})
    except (BadEnvelope, KeyError, TypeError, AttributeError) as error:
        return Ground(
            f"A statement of the break-glass does not hold: {error}", approval.valid_until, approval.pulls_until
        )
    until = min(approval.valid_until, seconds.issued + timedelta(hours=asks.hours))
    cites = {
        "basis": str(approval.basis),
        "round": round_name(approval.round),
        "policies": asks.policies,
        "sign_offs": [],
        "break_glass": {"asks": asks.digest, "seconds": seconds.digest},
    }
    problem = _problem(asks, seconds, case, approval) or _why_unproven(asks, case)
    return Ground(problem, until, until, cites)


def _why_unproven(asks: Said, case: BreakGlass) -> str:
    """Why one of the two did not confirm it as the policies that both cite ask for, or nothing."""
    accepted = accepted_under(asks.policies)
    return why_unproven(case.asked_statement, "person", case.asked_reauthentication, accepted=accepted) or why_unproven(
        case.seconded_statement or {}, "person", case.seconded_reauthentication, accepted=accepted
    )


def _problem(asks: Said, seconds: Said, case: BreakGlass, approval: Approval) -> str:
    expected = about(case.version, case.stage)
    if (case.version_id, case.stage_id) != (approval.version_id, approval.stage_id):
        return "The break-glass was signed for another version or stage."
    if (asks.role, seconds.role) != (ASKS, SECONDS) or (asks.digest, seconds.digest) != (
        case.asked_digest,
        case.seconded_digest,
    ):
        return "The statements of the break-glass are not those that were signed."
    if any(one.about != expected or one.artifact != expected["digest"] for one in (asks, seconds)):
        return "The break-glass was signed for another version, stage or other bytes."
    if seconds.asked != asks.digest or seconds.hours != asks.hours:
        return "The second signature answers another break-glass."
    if seconds.policies != asks.policies:
        return "A policy was published between the two signatures of the break-glass."
    if asks.person == seconds.person:
        return "One person signed the break-glass twice; it takes two."
    if not asks.issued <= seconds.issued < asks.issued + timedelta(hours=asks.hours):
        return "The break-glass was not seconded in time."
    return ""
