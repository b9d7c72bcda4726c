"""Decides what an admission policy may say: gates, sign-off slots, expiry, and which models and stage it is for. Pure.

A document is closed: an unknown key, a rule that does not type-check or a slot that nobody could fill is refused when it is saved,
with a sentence and, for expressions, the position.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import msgspec

from countersign.proof.canonical import digest_of
from countersign.proof.naming import told_apart
from foundation.cel import BadExpression
from foundation.documents import Flaw, examined, refusal
from reviews import producers
from reviews.facts import LANGUAGE

FACETS: Final = ("artifact", "data", "environment", "evaluation", "card", "policy")
SECTIONS: Final = ("gates", "performance", "fairness", "data", "changes", "card", "supply-chain")
FORMAT: Final = 1
_KEY: Final = re.compile(r"[a-z][a-z0-9-]{0,39}")
"""No underscore: see `countersign.proof.naming.told_apart`."""


class Unit(StrEnum):
    """How a gate's numbers are written: plain, in percentage points, or as a percentage."""

    PLAIN = "plain"
    POINTS = "points"
    PERCENT = "percent"


METHOD_WORDS: Final = {
    "passkey": "passkey",
    "totp": "authenticator code",
    "password": "password",
    "identity_provider": "identity provider",
}
METHODS: Final = tuple(METHOD_WORDS)
"""How a signer may confirm that it is them, strongest first."""


class Silence(StrEnum):
    """What happens to a round that nobody decides in time. There is no third: silence never approves."""

    ESCALATE = "escalate"
    REJECT = "reject"


class Applies(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which models and which stage a policy is for."""

    stage: str
    tiers: tuple[int, ...]


class Gate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One machine-checked rule. `passes` is a CEL expression over facts; `when` says whether it applies; `shows` what is measured.

    `enough` says whether there is enough evidence to judge: where it does not hold, the result is "insufficient evidence", not a
    pass. `excepted_by` is the key of the slot that may except the gate with a signed decision; empty: nobody may.
    """

    key: str
    title: str
    section: str
    passes: str
    explanation: str
    cleared_by: str
    when: str = "true"
    shows: str = ""
    requires: str = ""
    unit: Unit = Unit.PLAIN
    warning: bool = False
    source: str = ""
    enough: str = "true"
    excepted_by: str = ""


class SlotRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One required sign-off: the group that holds it, how many distinct people, and the facets it answers for."""

    key: str
    title: str
    group: str
    answers_for: tuple[str, ...] = FACETS
    people: int = 1
    alternates: str = ""
    delegable: bool = True
    source: str = ""


class Overdue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What happens `after_days` past the due date: escalate to the members of the group `to`, or reject."""

    after_days: int
    then: Silence
    to: str = ""


class Conditions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether an approval may carry conditions, and how far away their due date may be."""

    allowed: bool = False
    at_most_days: int = 90


class BreakGlassRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether a version may go live ahead of its review in an emergency, for how many hours, and which group seconds it."""

    allowed: bool = True
    hours: int = 24
    seconded_by: str = "Risk officers"


class Approvers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who has to sign before the next version of this policy is in force: `people` distinct members of `group`, none of them its author."""

    group: str = "Risk officers"
    people: int = 1


class Tile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One number at the top of the review page: `shows` is a CEL expression; `better` is `higher` or `lower`; `gate` sets the limit.

    `difference` names facts with the paired difference against production (`<fact>`, `<fact>_low`, `<fact>_high`), when there is one.
    """

    label: str
    shows: str
    section: str
    better: str = "higher"
    unit: Unit = Unit.PLAIN
    gate: str = ""
    difference: str = ""


class PolicyDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The text of one policy version.

    `valid_months` is how long an approval lasts, `remind_days` when its owner is told before the end, `pulls_after_expiry_days` for
    how long pulls go on after it. `due_days` is how long reviewers have, and `overdue` what silence leads to. `reauthentication`
    lists how a signer may confirm that it is them. `producers` lists whose evidence counts (see `reviews.producers`); empty:
    everybody's who may attach it. `grace_days` is what live versions get when this text is published. `envelopes` says whether
    retraining envelopes may be signed under it.
    """

    title: str
    applies_to: Applies
    gates: tuple[Gate, ...]
    slots: tuple[SlotRule, ...]
    summary: str = ""
    valid_months: int = 12
    due_days: int = 7
    reauthentication: tuple[str, ...] = METHODS
    producers: tuple[str, ...] = ()
    conditions: Conditions = Conditions()
    overdue: Overdue | None = None
    remind_days: tuple[int, ...] = (60, 30, 7)
    pulls_after_expiry_days: int = 0
    grace_days: int = 90
    break_glass: BreakGlassRule = BreakGlassRule()
    envelopes: bool = True
    changed_by: Approvers = Approvers()
    tiles: tuple[Tile, ...] = ()
    format: int = FORMAT

    @property
    def digest(self) -> str:
        """The SHA-256 of the canonical document."""
        return digest_of(self.as_dict())

    @property
    def confirmed_by(self) -> tuple[str, ...]:
        """How a signer may confirm that it is them, in words."""
        return tuple(METHOD_WORDS.get(method, method) for method in self.reauthentication)

    @property
    def evidence_from(self) -> tuple[str, ...]:
        """Whose evidence counts, in words; empty: everybody's who may attach it."""
        return tuple(producers.in_words(word) for word in self.producers)

    def as_dict(self) -> dict[str, Any]:
        """The document as JSON types, defaults written out: what is stored and hashed."""
        found: dict[str, Any] = json.loads(msgspec.json.encode(self))
        return found


MOST_GATES: Final = 100
_MOST: Final = {"gates": MOST_GATES, "slots": 20, "tiles": 20, "producers": 50}
"""How long the lists of a document may be: each expression is compiled when it is checked."""


def parse(content: Mapping[str, Any]) -> PolicyDocument:
    """The document that `content` is; raises `Invalid` naming everything that is wrong with it (`errors`: place to sentence)."""
    document, flaws = examine(content)
    if document is None or flaws:
        raise refusal(flaws)
    return document


def examine(content: Mapping[str, Any]) -> tuple[PolicyDocument | None, list[Flaw]]:
    """The document as far as it can be read, and everything that is wrong with it. One that is far too long is not read at all."""
    return examined(content, PolicyDocument, most=_MOST, flaws=_flaws)


def _flaws(document: PolicyDocument) -> Iterable[Flaw]:
    yield from _header_flaws(document)
    yield from _key_flaws("gates", [gate.key for gate in document.gates])
    yield from _key_flaws("slots", [slot.key for slot in document.slots])
    keys = {slot.key for slot in document.slots}
    for number, gate in enumerate(document.gates):
        yield from _gate_flaws(f"gates[{number}]", gate, keys)
    for number, tile in enumerate(document.tiles):
        yield from _tile_flaws(f"tiles[{number}]", tile)
    for number, slot in enumerate(document.slots):
        yield from _slot_flaws(f"slots[{number}]", slot)


def _header_flaws(document: PolicyDocument) -> Iterable[Flaw]:
    if document.format != FORMAT:
        yield Flaw("format", f"This product reads format {FORMAT}.")
    if not document.title.strip() or len(document.title) > 160:
        yield Flaw("title", "A policy needs a title of at most 160 characters.")
    if not document.applies_to.tiers or not set(document.applies_to.tiers) <= {1, 2, 3}:
        yield Flaw("applies_to.tiers", "Name at least one of the tiers 1, 2 and 3.")
    if not document.slots:
        yield Flaw("slots", "A policy needs at least one sign-off: nothing goes live unsigned.")
    if not 1 <= document.valid_months <= 60:
        yield Flaw("valid_months", "An approval lasts from 1 to 60 months.")
    if not 1 <= document.due_days <= 365:
        yield Flaw("due_days", "Reviewers get from 1 to 365 days.")
    if not document.reauthentication or not set(document.reauthentication) <= set(METHODS):
        yield Flaw("reauthentication", f"Name at least one of {', '.join(METHODS)}.")
    for number, word in enumerate(document.producers):
        if flaw := producers.flaw_in(word):
            yield Flaw(f"producers[{number}]", flaw)
    yield from _time_flaws(document)


def _time_flaws(document: PolicyDocument) -> Iterable[Flaw]:
    if not 1 <= document.conditions.at_most_days <= 365:
        yield Flaw("conditions.at_most_days", "A condition is due within 1 to 365 days.")
    if not all(1 <= days <= 365 for days in document.remind_days) or len(document.remind_days) > 9:
        yield Flaw("remind_days", "Remind at most nine times, 1 to 365 days before the end.")
    if not 0 <= document.pulls_after_expiry_days <= 365:
        yield Flaw("pulls_after_expiry_days", "Pulls may go on for 0 to 365 days.")
    if not 0 <= document.grace_days <= 365:
        yield Flaw("grace_days", "The grace of live versions is 0 to 365 days.")
    if not 1 <= document.break_glass.hours <= 168:
        yield Flaw("break_glass.hours", "A break-glass lasts from 1 to 168 hours.")
    if not 1 <= document.changed_by.people <= 9:
        yield Flaw("changed_by.people", "A policy is signed by 1 to 9 distinct people.")
    if document.overdue is not None:
        if not 1 <= document.overdue.after_days <= 365:
            yield Flaw("overdue.after_days", "From 1 to 365 days past the due date.")
        if document.overdue.then is Silence.ESCALATE and not document.overdue.to:
            yield Flaw("overdue.to", "Name the group to which an overdue review is escalated.")


def _tile_flaws(where: str, tile: Tile) -> Iterable[Flaw]:
    if not tile.label.strip() or len(tile.label) > 60:
        yield Flaw(f"{where}.label", "A tile needs a label of at most 60 characters.")
    if tile.section not in SECTIONS:
        yield Flaw(f"{where}.section", f"Choose one of {', '.join(SECTIONS)}.")
    if tile.better not in {"higher", "lower"}:
        yield Flaw(f"{where}.better", "Say whether higher or lower is better.")
    try:
        LANGUAGE.check(tile.shows, boolean=False)
    except BadExpression as error:
        yield Flaw(f"{where}.shows", error.detail, error.line, error.column)


def _key_flaws(where: str, keys: Sequence[str]) -> Iterable[Flaw]:
    for number, key in enumerate(keys):
        if key in keys[:number]:
            yield Flaw(f"{where}[{number}].key", f"{key} is used twice.")
        if not _KEY.fullmatch(key):
            yield Flaw(
                f"{where}[{number}].key", "Use small letters, digits and hyphens, at most 40, starting with a letter."
            )


def _gate_flaws(where: str, gate: Gate, slots: set[str]) -> Iterable[Flaw]:
    if gate.excepted_by and gate.excepted_by not in slots:
        yield Flaw(
            f"{where}.excepted_by", f"There is no slot {gate.excepted_by}; the slots are {', '.join(sorted(slots))}."
        )
    for name in ("title", "explanation", "cleared_by"):
        if not getattr(gate, name).strip():
            yield Flaw(f"{where}.{name}", "This must say something: a refusal shows it to people.")
    if len(gate.title) > 160:
        yield Flaw(f"{where}.title", "At most 160 characters.")
    if gate.section not in SECTIONS:
        yield Flaw(f"{where}.section", f"Choose one of {', '.join(SECTIONS)}.")
    for name, expression, boolean in (
        ("passes", gate.passes, True),
        ("when", gate.when, True),
        ("enough", gate.enough, True),
        ("shows", gate.shows, False),
    ):
        if name == "shows" and not expression:
            continue
        try:
            LANGUAGE.check(expression, boolean=boolean)
        except BadExpression as error:
            yield Flaw(f"{where}.{name}", error.detail, error.line, error.column)


def _slot_flaws(where: str, slot: SlotRule) -> Iterable[Flaw]:
    for name in ("title", "group"):
        if not getattr(slot, name).strip():
            yield Flaw(f"{where}.{name}", "This must say something.")
    if not 1 <= slot.people <= 9:
        yield Flaw(f"{where}.people", "A slot asks for 1 to 9 distinct people.")
    if not slot.answers_for or not set(slot.answers_for) <= set(FACETS):
        yield Flaw(f"{where}.answers_for", f"Name at least one of {', '.join(FACETS)}.")
    if slot.alternates and slot.alternates == slot.group:
        yield Flaw(f"{where}.alternates", "The alternate group must be another one.")


@dataclass(frozen=True)
class PolicyRef:
    """One published version of a policy, by name, number and digest: what subjects and releases cite."""

    name: str
    number: int
    digest: str

    def as_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return {"name": self.name, "number": self.number, "digest": self.digest}


@dataclass(frozen=True)
class Emergency:
    """Whether a version may go live ahead of its review, for how many hours at most, and the groups to which the second person belongs."""

    allowed: bool
    hours: int
    groups: tuple[str, ...]


@dataclass(frozen=True)
class Rules:
    """All policies that apply to one decision, taken together: everything that any of them asks for is asked for."""

    policies: tuple[tuple[PolicyRef, PolicyDocument], ...]
    since: datetime | None = None
    """When the newest of them came into force; None: not known, or a text that is only rehearsed."""

    @property
    def _by_name(self) -> Sequence[tuple[PolicyRef, PolicyDocument]]:
        """In the order of `refs`, which is what is signed: by it slots and gates are told apart, here and offline."""
        return sorted(self.policies, key=lambda pair: pair[0].name)

    @property
    def refs(self) -> tuple[PolicyRef, ...]:
        """The policies, by name."""
        return tuple(ref for ref, _ in self._by_name)

    @property
    def digest(self) -> str:
        """The digest of the facet `policy`: of all names, numbers and digests."""
        return digest_of([ref.as_dict() for ref in self.refs])

    @property
    def gates(self) -> tuple[Gate, ...]:
        """The gates of all; a key that two policies use is told apart by the policy's name, and so is the slot that may except one."""
        slots = iter(self.slots)
        named = {ref.name: {slot.key: next(slots).key for slot in document.slots} for ref, document in self._by_name}
        return tuple(
            self._apart(
                [
                    (ref.name, msgspec.structs.replace(gate, excepted_by=named[ref.name].get(gate.excepted_by, "")))
                    for ref, document in self._by_name
                    for gate in document.gates
                ]
            )
        )

    @property
    def slots(self) -> tuple[SlotRule, ...]:
        """The slots of all; a key that two policies use is told apart by the policy's name."""
        return tuple(self._apart([(ref.name, slot) for ref, document in self._by_name for slot in document.slots]))

    @property
    def valid_months(self) -> int:
        """The shortest validity of an approval that any of them asks for."""
        return min((document.valid_months for _, document in self.policies), default=0)

    @property
    def valid_for(self) -> timedelta:
        """`valid_months` in whole days, a month being the twelfth part of 365 days."""
        return timedelta(days=round(self.valid_months * 365 / 12))

    @property
    def due_days(self) -> int:
        """The shortest time for reviewers."""
        return min((document.due_days for _, document in self.policies), default=7)

    @property
    def documents(self) -> tuple[PolicyDocument, ...]:
        """The texts alone."""
        return tuple(document for _, document in self.policies)

    @property
    def reauthentication(self) -> tuple[str, ...]:
        """The ways to confirm that all of them accept."""
        return tuple(method for method in METHODS if all(method in one.reauthentication for one in self.documents))

    @property
    def conditions(self) -> Conditions:
        """Allowed where all allow them, and due as early as any asks."""
        allowed = bool(self.documents) and all(one.conditions.allowed for one in self.documents)
        return Conditions(allowed, min((one.conditions.at_most_days for one in self.documents), default=0))

    @property
    def pulls_after_expiry_days(self) -> int:
        """The shortest time for which pulls go on after the end."""
        return min((one.pulls_after_expiry_days for one in self.documents), default=0)

    @property
    def overdue(self) -> tuple[Overdue, ...]:
        """What silence leads to, the earliest first: each group that any of them escalates to, and one rejection."""
        asked = [one.overdue for one in self.documents if one.overdue is not None]
        found: dict[tuple[Silence, str], Overdue] = {}
        for one in sorted(asked, key=lambda one: one.after_days):
            found.setdefault((one.then, one.to if one.then is Silence.ESCALATE else ""), one)
        return tuple(found.values())

    @property
    def remind_days(self) -> tuple[int, ...]:
        """Every day before the end on which any of them reminds, the earliest first."""
        return tuple(sorted({days for one in self.documents for days in one.remind_days}, reverse=True))

    @property
    def grace_days(self) -> int:
        """The shortest grace."""
        return min((one.grace_days for one in self.documents), default=0)

    @property
    def emergency(self) -> Emergency:
        """Allowed where all allow it, for the shortest time, seconded by somebody who is a member of every group that any names."""
        rules = [one.break_glass for one in self.documents]
        return Emergency(
            allowed=bool(rules) and all(rule.allowed for rule in rules),
            hours=min((rule.hours for rule in rules), default=0),
            groups=tuple(sorted({rule.seconded_by for rule in rules})),
        )

    @property
    def envelopes(self) -> bool:
        """Whether all of them allow retraining envelopes."""
        return bool(self.documents) and all(one.envelopes for one in self.documents)

    @property
    def producers(self) -> tuple[tuple[str, ...], ...]:
        """The lists of producers of those policies that have one: evidence has to be on each of them."""
        return tuple(one.producers for one in self.documents if one.producers)

    @property
    def tiles(self) -> tuple[Tile, ...]:
        """The tiles of all, each expression once."""
        return tuple({tile.shows: tile for one in self.documents for tile in one.tiles}.values())

    @staticmethod
    def _apart(rules: Sequence[tuple[str, Any]]) -> Iterable[Any]:
        keys = told_apart([(rule.key, policy) for policy, rule in rules])
        for key, (_, rule) in zip(keys, rules, strict=True):
            yield msgspec.structs.replace(rule, key=key)
