"""Decides whether the policies in force let a request in, and where they let one in: the same rules for one model and for a list. Pure.

A deny rule that holds keeps out, whatever else allows. Else the policies nearest to the request decide (`Target.level`): those that
name the model, then its team, then its tier, then everything; of these an allow rule has to hold. Where none does, or no policy says
anything, nobody is let in. A rule that cannot be evaluated keeps out.

`Circumstances` (how they signed in, purpose, network, time, rate) belong to one request. Where they are not known, because a person is
asked about who is not at the door, the answer is whether the right circumstances would let them in.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from access.entry.documents import TIERS, Doing, Effect, EntryDocument, Rule, Target
from access.entry.language import LANGUAGE, OF_REQUEST
from access.entry.places import EVERYWHERE, NOWHERE, Named, Of, Owned, Place, Where, both, either, neither
from countersign.proof.canonical import digest_of
from foundation.cel import Program, clauses

_DIMENSIONS: Final = ("model.tier", "model.team", "model.owned")
NO_RULE: Final = "default"


@dataclass(frozen=True, slots=True)
class Subject:
    """Who asks: `person` or `service`, the account's name, its roles and groups by name."""

    kind: str
    id: str
    roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What belongs to one request. `rate` is asked for only where a rule reads it.

    `unknown` names what is not known of it (as fields of `language.OF_REQUEST`); a rule that reads it is taken as one that could be met.
    """

    strength: str
    purpose: str
    network: str
    now: datetime
    rate: Callable[[], int] = field(default=lambda: 0)
    unknown: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether the policies let a request in, the id of the rule that decided, and for whom they do not: why, and what would satisfy it."""

    allowed: bool
    rule: str
    because: str = ""
    satisfy: str = ""

    @property
    def sentence(self) -> str:
        """What somebody is told who was refused and may know it."""
        return f"{self.because} {self.satisfy}".strip()


@dataclass(frozen=True, slots=True)
class PolicyInForce:
    """One published version: the policy's name, the version's number and its text."""

    name: str
    number: int
    document: EntryDocument


@dataclass(frozen=True, slots=True)
class _Compiled:
    """One rule, ready. `program` is None for one that always holds; `parts` are its clauses, each with what it reads of the request."""

    id: str
    because: str
    satisfy: str
    program: Program | None
    parts: tuple[tuple[Program, frozenset[str]], ...]
    of_request: frozenset[str]
    reads: tuple[str, ...]
    denies: bool


@dataclass(frozen=True, slots=True)
class _Ready:
    """One policy, ready: its target, and its rules by what they do."""

    target: Target
    denies: tuple[_Compiled, ...]
    allows: tuple[_Compiled, ...]


class Rulebook:
    """All access policies in force, compiled once. `digest` names exactly this set.

    `reads` are the names that any of its rules asks for; `asks_teams` says whether a model's team can decide.
    """

    def __init__(self, policies: Iterable[PolicyInForce]) -> None:
        ordered = sorted(policies, key=lambda one: (one.document.target.level, one.name))
        self.digest = set_digest(ordered)
        self.policies = tuple(ordered)
        ready = [_ready(one) for one in ordered]
        self._for = {doing: tuple(one for one in ready if doing in one.target.actions) for doing in Doing}
        rules = [rule for one in ready for rule in (*one.denies, *one.allows)]
        self.reads = frozenset(name for rule in rules for name in rule.reads)
        self.asks_teams = "model.team" in self.reads or any(one.target.teams for one in ready)
        self._staged = {doing: any(_asks_stage(one) for one in self._for[doing]) for doing in Doing}

    def asks_stage(self, doing: Doing) -> bool:
        """Whether the answer may differ from stage to stage."""
        return self._staged[doing]

    def asks_team(self, doing: Doing) -> bool:
        """Whether a rule reads the model's team, so that a list has to know which teams there are."""
        return any("model.team" in rule.reads for one in self._for[doing] for rule in (*one.denies, *one.allows))

    def decide(
        self, subject: Subject, doing: Doing, place: Place, circumstances: Circumstances | None, *, stage: str = ""
    ) -> Decision:
        """Whether `subject` may do it to the model at `place`; None for circumstances that are not known."""
        facts = _facts(subject, doing, stage, circumstances) | _of_model(place.tier, place.team, owned=place.owned)
        matching = [one for one in self._for[doing] if _is_for(one.target, place, stage)]
        for policy in matching:
            for rule in policy.denies:
                if _holds(rule, facts, circumstances):
                    return Decision(False, rule.id, rule.because, rule.satisfy)
        allowing = [one for one in matching if one.allows]
        if not allowing:
            return Decision(
                False, NO_RULE, "No access policy says who may.", "Ask an access administrator for a policy."
            )
        nearest = [one for one in allowing if one.target.level == allowing[0].target.level]
        for policy in nearest:
            for rule in policy.allows:
                if _holds(rule, facts, circumstances):
                    return Decision(True, rule.id)
        return _kept_out([rule for policy in nearest for rule in policy.allows])

    def where(
        self,
        subject: Subject,
        doing: Doing,
        circumstances: Circumstances | None,
        *,
        stage: str = "",
        teams: Collection[str] = (),
    ) -> Where:
        """The places at which `decide` lets `subject` in; `teams` are all names of teams, where `asks_team`."""
        facts = _facts(subject, doing, stage, circumstances)
        policies = [one for one in self._for[doing] if not one.target.stages or stage in one.target.stages]

        def holding(rules: Sequence[_Compiled]) -> Where:
            return either(_where(rule, facts, circumstances, teams) for rule in rules)

        denied = either(both([_target(one.target), holding(one.denies)]) for one in policies if one.denies)
        allowed: Where = NOWHERE
        for level in sorted({one.target.level for one in policies}, reverse=True):
            here = [one for one in policies if one.target.level == level and one.allows]
            if here:
                let_in = either(both([_target(one.target), holding(one.allows)]) for one in here)
                decided = either(_target(one.target) for one in here)
                allowed = either([let_in, both([neither(decided), allowed])])
        return both([neither(denied), allowed])


def set_digest(policies: Iterable[PolicyInForce]) -> str:
    """The SHA-256 by which one set of published versions is known."""
    rows = sorted((one.name, one.number, one.document.digest) for one in policies)
    return digest_of([{"name": name, "number": number, "digest": digest} for name, number, digest in rows])


def _ready(policy: PolicyInForce) -> _Ready:
    rules = [_compiled(f"{policy.name}/{policy.number}#{rule.key}", rule) for rule in policy.document.rules]
    return _Ready(
        policy.document.target,
        tuple(one for one in rules if one.denies),
        tuple(one for one in rules if not one.denies),
    )


def _compiled(identity: str, rule: Rule) -> _Compiled:
    when = rule.when.strip()
    names = LANGUAGE.names_in(when)
    parts = [(LANGUAGE.program(one), OF_REQUEST.intersection(LANGUAGE.names_in(one))) for one in clauses(when)]
    return _Compiled(
        id=identity,
        because=rule.because,
        satisfy=rule.satisfy,
        program=None if when == "true" else LANGUAGE.program(when),
        parts=tuple(parts),
        of_request=OF_REQUEST.intersection(names),
        reads=names,
        denies=rule.effect is Effect.DENY,
    )


def _holds(rule: _Compiled, facts: Mapping[str, Any], circumstances: Circumstances | None) -> bool:
    unknown = OF_REQUEST if circumstances is None else circumstances.unknown
    if circumstances is not None and "rate" in rule.of_request and "rate" not in unknown:
        facts = {**facts, "rate": circumstances.rate()}
    if not unknown & rule.of_request:
        return rule.program is None or _is_true(rule.program, facts, or_broken=rule.denies)
    # What is not known could be as it has to be: a deny rule could be lifted, and of an allow rule the rest has to hold.
    return not rule.denies and all(_is_true(part, facts) for part, reads in rule.parts if not unknown & reads)


def _is_true(program: Program, facts: Mapping[str, Any], *, or_broken: bool = False) -> bool:
    answer = program.ask(facts)
    return or_broken if answer.error else answer.value is True


def _facts(subject: Subject, doing: Doing, stage: str, circumstances: Circumstances | None) -> dict[str, Any]:
    facts = {
        "subject.kind": subject.kind,
        "subject.id": subject.id,
        "subject.roles": list(subject.roles),  # the engine knows no tuples
        "subject.groups": list(subject.groups),
        "action": doing.value,
        "stage": stage,
    }
    if circumstances is None:
        return facts
    return facts | {
        "subject.strength": circumstances.strength,
        "purpose": circumstances.purpose,
        "network": circumstances.network,
        "now": circumstances.now,
    }


def _of_model(tier: int, team: str, *, owned: bool) -> dict[str, Any]:
    return {"model.tier": tier, "model.team": team, "model.owned": owned}


def _is_for(target: Target, place: Place, stage: str) -> bool:
    return (
        (not target.tiers or place.tier in target.tiers)
        and (not target.teams or place.team in target.teams)
        and (not target.stages or stage in target.stages)
        and (not target.models or Named(target.models).holds(place))
    )


def _target(target: Target) -> Where:
    """The places that a target names; its stages were looked at before."""
    return both(
        [
            Named(target.models) if target.models else EVERYWHERE,
            Of("team", target.teams) if target.teams else EVERYWHERE,
            Of("tier", target.tiers) if target.tiers else EVERYWHERE,
        ]
    )


def _where(
    rule: _Compiled, facts: Mapping[str, Any], circumstances: Circumstances | None, teams: Collection[str]
) -> Where:
    """The places at which a rule holds: it is asked once for each combination of what it reads of a model, of which there are few."""
    read = [name for name in _DIMENSIONS if name in rule.reads]
    choices: dict[str, Collection[Any]] = {
        "model.tier": TIERS,
        "model.team": ("", *teams),
        "model.owned": (True, False),
    }
    found = []
    for values in itertools.product(*(choices[name] for name in read)):
        known = dict(zip(read, values, strict=True))
        if _holds(rule, {**facts, **known}, circumstances):
            found.append(both(_narrowed(name, value) for name, value in known.items()))
    return either(found)


def _narrowed(name: str, value: Any) -> Where:
    return Owned(value) if name == "model.owned" else Of(name.removeprefix("model."), (value,))


def _kept_out(rules: Sequence[_Compiled]) -> Decision:
    """Why nobody nearest lets them in: what each of the rules would take."""
    ways = list(dict.fromkeys(rule.satisfy for rule in rules if rule.satisfy))
    because = rules[0].because if len(rules) == 1 else "None of the rules that let somebody in holds for you."
    return Decision(False, rules[0].id, because, " Or: ".join(ways))


def _asks_stage(policy: _Ready) -> bool:
    return bool(policy.target.stages) or any("stage" in rule.reads for rule in (*policy.denies, *policy.allows))
