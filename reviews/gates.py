"""Decides how each gate of a policy stands on given facts, and explains it with measured and required values. Pure.

Every gate is asked, so that a refusal lists everything. A gate that cannot be evaluated is an error, and an error blocks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from foundation.refusals import Requirement, RequirementStatus
from reviews.cel import Comparison, clauses, comparison
from reviews.facts import LANGUAGE, Facts, production_side
from reviews.policies import Gate, Unit

_WORDS: Final = {
    ">=": "at least",
    "<=": "at most",
    ">": "more than",
    "<": "less than",
    "==": "exactly",
    "!=": "other than",
    "in": "one of",
}
MAX_SHOWN: Final = 180


@dataclass(frozen=True)
class GateOutcome:
    """How one gate stands. A warning that is not met is shown and does not block."""

    gate: Gate
    status: RequirementStatus
    measured: str = ""
    required: str = ""
    production: str = ""
    explanation: str = ""

    @property
    def blocks(self) -> bool:
        """Whether a promotion has to wait for it."""
        return not self.gate.warning and self.status in {RequirementStatus.UNSATISFIED, RequirementStatus.ERROR}

    @property
    def warns(self) -> bool:
        """Whether it is a warning that is not met."""
        return self.gate.warning and self.status in {RequirementStatus.UNSATISFIED, RequirementStatus.ERROR}

    def requirement(self, link: str = "") -> Requirement:
        """As a requirement of a refusal; `link` is the address of the review, to which the section is added."""
        return Requirement(
            key=self.gate.key,
            title=self.gate.title,
            status=self.status,
            measured=self.measured,
            required=self.required,
            production=self.production,
            explanation=self.explanation,
            cleared_by=self.gate.cleared_by,
            link=f"{link}#{self.gate.section}" if link else "",
        )


def evaluate(gates: Sequence[Gate], facts: Facts) -> tuple[GateOutcome, ...]:
    """How every gate stands on `facts`, in the policy's order."""
    live = production_side(facts) if facts.get("production.exists") is True else None
    return tuple(_evaluate(gate, facts, live) for gate in gates)


def _evaluate(gate: Gate, facts: Facts, live: Facts | None) -> GateOutcome:
    applies = LANGUAGE.ask(gate.when, facts)
    if applies.error:
        return GateOutcome(
            gate, RequirementStatus.ERROR, explanation=f"Whether it applies cannot be said. {applies.error}"
        )
    if not applies.passed:
        return GateOutcome(gate, RequirementStatus.NOT_APPLICABLE, explanation="Does not apply to this version.")
    answer = LANGUAGE.ask(gate.passes, facts)
    decisive = _decisive(gate.passes, facts)
    shown = {
        "measured": _measured(gate, decisive, facts),
        "required": gate.requires or _required(gate, decisive, facts),
        "production": _measured(gate, decisive, live) if live is not None else "",
    }
    if answer.error:
        return GateOutcome(gate, RequirementStatus.ERROR, explanation=answer.error, **shown)
    status = RequirementStatus.SATISFIED if answer.passed else RequirementStatus.UNSATISFIED
    return GateOutcome(gate, status, explanation=gate.explanation, **shown)


def _decisive(expression: str, facts: Facts) -> str:
    """The first clause that does not hold, or the last one: the one whose numbers explain the result."""
    parts = clauses(expression)
    return next((part for part in parts if not LANGUAGE.ask(part, facts).passed), parts[-1])


def _measured(gate: Gate, decisive: str, facts: Facts) -> str:
    taken_apart = comparison(decisive)
    expression = gate.shows or (taken_apart.left if taken_apart else decisive)
    answer = LANGUAGE.ask(expression, facts)
    return "" if answer.error else shown(answer.value, gate.unit)


def _required(gate: Gate, decisive: str, facts: Facts) -> str:
    taken_apart = comparison(decisive)
    if taken_apart is None:
        return "yes"
    answer = LANGUAGE.ask(taken_apart.right, facts)
    value = taken_apart.right if answer.error else shown(answer.value, gate.unit)
    derived = f" ({taken_apart.right})" if _names_facts(taken_apart) and not answer.error else ""
    return f"{_WORDS[taken_apart.operator]} {value}{derived}"


def _names_facts(taken_apart: Comparison) -> bool:
    return any(name in taken_apart.right for name in LANGUAGE.schema)


def shown(value: Any, unit: Unit = Unit.PLAIN) -> str:
    """A value of a rule as people read it: up to four decimals, points or per cent, yes or no, a list in words."""
    text = _shown(value, unit)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"


def _shown(value: Any, unit: Unit) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return _number(float(value), unit)
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_shown(item, unit)}" for name, item in sorted(value.items())) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value) or "none"
    return str(value)


def _number(value: float, unit: Unit) -> str:
    if unit is Unit.POINTS:
        return f"{100 * value:.1f} points".replace("-", "−")
    if unit is Unit.PERCENT:
        return f"{100 * value:.1f}%".replace("-", "−")
    text = f"{value:,.4f}".rstrip("0").rstrip(".")
    return text.replace("-", "−")
