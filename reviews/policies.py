"""Decides what an admission policy may say: gates, sign-off slots, expiry, and which models and stage it is for. Pure.

A document is closed: an unknown key, a rule that does not type-check or a slot that nobody could fill is refused when it is saved,
with a sentence and, for expressions, the position.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import msgspec

from foundation.canonical import digest_of
from foundation.refusals import Invalid
from reviews.cel import BadExpression
from reviews.facts import LANGUAGE

FACETS: Final = ("artifact", "data", "environment", "evaluation", "card", "policy")
SECTIONS: Final = ("gates", "performance", "fairness", "data", "changes", "card", "supply-chain")
FORMAT: Final = 1
_KEY: Final = re.compile(r"[a-z][a-z0-9-]{0,39}")


class Unit(StrEnum):
    """How a gate's numbers are written: plain, in percentage points, or as a percentage."""

    PLAIN = "plain"
    POINTS = "points"
    PERCENT = "percent"


class Applies(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which models and which stage a policy is for."""

    stage: str
    tiers: tuple[int, ...]


class Gate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One machine-checked rule. `passes` is a CEL expression over facts; `when` says whether it applies; `shows` what is measured."""

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


class SlotRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One required sign-off: the group that holds it, how many distinct people, and the facets it answers for."""

    key: str
    title: str
    group: str
    answers_for: tuple[str, ...] = FACETS
    people: int = 1
    alternates: str = ""


class PolicyDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The text of one policy version. `valid_months` is how long an approval lasts; `due_days` how long reviewers have."""

    title: str
    applies_to: Applies
    gates: tuple[Gate, ...]
    slots: tuple[SlotRule, ...]
    summary: str = ""
    valid_months: int = 12
    due_days: int = 7
    format: int = FORMAT

    @property
    def digest(self) -> str:
        """The SHA-256 of the canonical document."""
        return digest_of(self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """The document as JSON types, defaults written out: what is stored and hashed."""
        found: dict[str, Any] = json.loads(msgspec.json.encode(self))
        return found


@dataclass(frozen=True)
class Flaw:
    """One thing that is wrong with a document: where (`gates[2].passes`), what, and the position inside an expression."""

    where: str
    detail: str
    line: int = 0
    column: int = 0

    @property
    def sentence(self) -> str:
        """Position and detail, for people."""
        place = f", line {self.line}, column {self.column}" if self.line else ""
        return f"{self.where}{place}: {self.detail}"


def parse(content: Mapping[str, Any]) -> PolicyDocument:
    """The document that `content` is; raises `Invalid` naming everything that is wrong with it (`errors`: place to sentence)."""
    document, flaws = examine(content)
    if document is None or flaws:
        raise refusal(flaws)
    return document


def refusal(flaws: Sequence[Flaw]) -> Invalid:
    """The refusal that lists `flaws`; `extra["flaws"]` has their positions for machines."""
    rows = [{"where": flaw.where, "detail": flaw.detail, "line": flaw.line, "column": flaw.column} for flaw in flaws]
    return Invalid(
        f"This policy cannot be saved: {flaws[0].sentence}"
        + (f" And {len(flaws) - 1} more." if len(flaws) > 1 else ""),
        code="policy-invalid",
        errors={flaw.where: flaw.sentence for flaw in reversed(flaws)},
        extra={"flaws": rows},
    )


def read(text: str) -> dict[str, Any]:
    """JSON text as content; raises `Invalid` with line and column where it is not a JSON object."""
    try:
        found = json.loads(text, object_pairs_hook=_without_duplicates)
    except json.JSONDecodeError as error:
        raise refusal([Flaw("text", f"{error.msg}.", error.lineno, error.colno)]) from error
    except ValueError as error:
        raise refusal([Flaw("text", str(error))]) from error
    if not isinstance(found, dict):
        raise refusal([Flaw("text", "A policy is a JSON object.", 1, 1)])
    return found


def examine(content: Mapping[str, Any]) -> tuple[PolicyDocument | None, list[Flaw]]:
    """The document as far as it can be read, and everything that is wrong with it."""
    try:
        document = msgspec.convert(content, PolicyDocument)
    except msgspec.ValidationError as error:
        detail, _, where = str(error).partition(" - at ")
        return None, [Flaw(where.strip("`").removeprefix("$.").replace("$", "policy") or "policy", f"{detail}.")]
    return document, list(_flaws(document))


def _flaws(document: PolicyDocument) -> Iterable[Flaw]:
    yield from _header_flaws(document)
    yield from _key_flaws("gates", [gate.key for gate in document.gates])
    yield from _key_flaws("slots", [slot.key for slot in document.slots])
    for number, gate in enumerate(document.gates):
        yield from _gate_flaws(f"gates[{number}]", gate)
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


def _key_flaws(where: str, keys: Sequence[str]) -> Iterable[Flaw]:
    for number, key in enumerate(keys):
        if key in keys[:number]:
            yield Flaw(f"{where}[{number}].key", f"{key} is used twice.")
        if not _KEY.fullmatch(key):
            yield Flaw(
                f"{where}[{number}].key", "Use small letters, digits and hyphens, at most 40, starting with a letter."
            )


def _gate_flaws(where: str, gate: Gate) -> Iterable[Flaw]:
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


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"The key {key} stands twice in one object.")
        found[key] = value
    return found


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
class Rules:
    """All policies that apply to one decision, taken together: everything that any of them asks for is asked for."""

    policies: tuple[tuple[PolicyRef, PolicyDocument], ...]

    @property
    def refs(self) -> tuple[PolicyRef, ...]:
        """The policies, by name."""
        return tuple(ref for ref, _ in sorted(self.policies, key=lambda pair: pair[0].name))

    @property
    def digest(self) -> str:
        """The digest of the facet `policy`: of all names, numbers and digests."""
        return digest_of([ref.as_dict() for ref in self.refs])

    @property
    def gates(self) -> tuple[Gate, ...]:
        """The gates of all; a key that two policies use is told apart by the policy's name."""
        return tuple(self._apart([(ref.name, gate) for ref, document in self.policies for gate in document.gates]))

    @property
    def slots(self) -> tuple[SlotRule, ...]:
        """The slots of all; a key that two policies use is told apart by the policy's name."""
        return tuple(self._apart([(ref.name, slot) for ref, document in self.policies for slot in document.slots]))

    @property
    def valid_months(self) -> int:
        """The shortest validity of an approval that any of them asks for."""
        return min((document.valid_months for _, document in self.policies), default=0)

    @property
    def due_days(self) -> int:
        """The shortest time for reviewers."""
        return min((document.due_days for _, document in self.policies), default=7)

    @staticmethod
    def _apart(rules: Sequence[tuple[str, Any]]) -> Iterable[Any]:
        seen: set[str] = set()
        for policy, rule in rules:
            yield msgspec.structs.replace(rule, key=f"{rule.key}-{policy}") if rule.key in seen else rule
            seen.add(rule.key)
