"""The rules of SIGN_OFF.md once more, in the plainest form: a log of what people did, and one question about it.

Written from the specification alone. It imports nothing of the product, keeps no state machine and verifies no signature: it counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

DAYS_A_MONTH = 365 / 12


@dataclass(frozen=True)
class Policy:
    """How many people each slot needs, which facets it answers for, for how long a signature lasts, and the floor of the one gate."""

    number: int
    needs: Mapping[str, int]
    answers_for: Mapping[str, frozenset[str]]
    months: int
    floor: float


@dataclass
class Said:
    """One decision that somebody gave. `principal` is the person whose seat was used: their own, or who delegated it."""

    person: str
    principal: str
    slot: str
    decision: str
    facets: Mapping[str, int]
    at: datetime
    gone: bool = False


@dataclass
class Version:
    """What is known of one version. `makers` had a hand in these bytes, here or in a copy. Facets are counted up when they change."""

    author: str
    makers: frozenset[str]
    score: float
    facets: dict[str, int] = field(default_factory=lambda: {"evaluation": 1, "card": 1})
    revoked: bool = False
    rejected: bool = False


@dataclass
class Round:
    """One round: for which version, under which policy, who asked for it, and everything that was said in it."""

    version: int
    policy: Policy
    asked_by: frozenset[str]
    said: list[Said] = field(default_factory=list)


def related(version: Version, round_: Round) -> frozenset[str]:
    """Who had a hand in it, and so may not be among those who approve it."""
    return round_.asked_by | version.makers | {version.author}


def standing(said: Said, version: Version, policy: Policy, now: datetime) -> bool:
    """Whether a decision counts now: not taken back, not run out, and nothing that its slot answers for has changed since."""
    if said.gone or now >= said.at + timedelta(days=round(policy.months * DAYS_A_MONTH)):
        return False
    answers = policy.answers_for[said.slot]
    return all(said.facets[name] == version.facets[name] for name in version.facets if name in answers)


def objections(round_: Round) -> list[Said]:
    """Requests for changes that nobody cleared; a change of what was objected to does not clear it."""
    return [said for said in round_.said if said.decision == "request_changes" and not said.gone]


def why_not(version: Version, round_: Round, in_force: Policy, now: datetime) -> str:
    """Why the version may not go live by this round now, or nothing."""
    if version.revoked or version.rejected:
        return "it was revoked or rejected"
    if round_.policy.number != in_force.number:
        return "the round was opened under another policy"
    if version.score < in_force.floor:
        return "it fails the gate"
    if objections(round_):
        return "somebody asked for changes"
    return _why_too_few(version, round_, in_force, now)


def _why_too_few(version: Version, round_: Round, policy: Policy, now: datetime) -> str:
    counting = [
        said
        for said in round_.said
        if said.decision == "approve"
        and standing(said, version, policy, now)
        and said.person not in related(version, round_)
    ]
    for slot, needed in policy.needs.items():
        people = {said.principal for said in counting if said.slot == slot}
        if len(people) < needed or len({said.person for said in counting if said.slot == slot}) < needed:
            return f"{slot} has too few signatures"
    return ""


def approvers(version: Version, round_: Round, policy: Policy, now: datetime) -> frozenset[str]:
    """Everybody whose approval counts, and in whose name."""
    return frozenset(
        name
        for said in round_.said
        if said.decision == "approve" and standing(said, version, policy, now)
        for name in (said.person, said.principal)
    )
