"""Decides how each gate of a policy stands on given facts, and explains it with measured and required values. Pure.

Every gate is asked, so that a refusal lists everything. A gate that cannot be evaluated is an error, and an error blocks; one
for which the policy says that there is too little to judge on (`enough`) ends as insufficient evidence, which blocks as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from foundation.cel import Comparison, clauses, comparison
from foundation.refusals import Requirement, RequirementStatus
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
INSUFFICIENT: Final = "insufficient evidence"
FOLLOWS: Final = "by the live version"
"""What is said of a limit that moves with what is live; the expression is in the policy."""


@dataclass(frozen=True)
class GateOutcome:
    """How one gate stands. A warning that is not met is shown and does not block.

    `insufficient`: it is not met because there is too little evidence to judge, which is neither a pass nor a bad result.
    """

    gate: Gate
    status: RequirementStatus
    measured: str = ""
    required: str = ""
    production: str = ""
    explanation: str = ""
    insufficient: bool = False

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


def evaluate(
    gates: Sequence[Gate], facts: Facts, discounted: Mapping[str, str] | None = None
) -> tuple[GateOutcome, ...]:
    """How every gate stands on `facts`, in the policy's order.

    `discounted`: kinds of evidence that do not count, with the sentence that says why; it explains the gates that lack them.
    """
    live = production_side(facts) if facts.get("production.exists") is True else None
    return tuple(_explained(_evaluate(gate, facts, live), discounted or {}) for gate in gates)


def _evaluate(gate: Gate, facts: Facts, live: Facts | None) -> GateOutcome:
    applies = LANGUAGE.ask(gate.when, facts)
    if applies.error:
        return GateOutcome(
            gate, RequirementStatus.ERROR, explanation=f"Whether it applies cannot be said. {applies.error}"
        )
    if not applies.passed:
        return GateOutcome(gate, RequirementStatus.NOT_APPLICABLE, explanation="Does not apply to this version.")
    enough, answer = LANGUAGE.ask(gate.enough, facts), LANGUAGE.ask(gate.passes, facts)
    decisive = _decisive(gate.passes, facts)
    status = RequirementStatus.SATISFIED if answer.passed else RequirementStatus.UNSATISFIED
    found = GateOutcome(
        gate,
        status,
        measured=_measured(gate, decisive, facts),
        required=gate.requires or _required(gate, decisive, facts),
        production=_measured(gate, decisive, live) if live is not None else "",
        explanation=gate.explanation,
    )
    if enough.error:
        explanation = f"Whether there is enough evidence cannot be said. {enough.error}"
        return replace(found, status=RequirementStatus.ERROR, explanation=explanation)
    if not enough.passed:
        return _insufficient(found, facts)
    return replace(found, status=RequirementStatus.ERROR, explanation=answer.error) if answer.error else found


def _insufficient(found: GateOutcome, facts: Facts) -> GateOutcome:
    """Too little to judge on: what there is, what the policy needs, and that this says nothing good or bad of the version."""
    gate = found.gate
    bare = msgspec.structs.replace(gate, shows="", unit=Unit.PLAIN)
    decisive = _decisive(gate.enough, facts)
    there, needed = _measured(bare, decisive, facts), _required(bare, decisive, facts)
    return replace(
        found,
        status=RequirementStatus.UNSATISFIED,
        measured=shorten(f"{INSUFFICIENT}: {there}, {needed} needed"),
        explanation=f"There is too little evidence to judge this: {decisive} does not hold. It is no pass, and no bad result "
        f"either. {gate.explanation}",
        insufficient=True,
    )


def _explained(outcome: GateOutcome, discounted: Mapping[str, str]) -> GateOutcome:
    """With the reason why evidence that the gate asks for does not count, where that is why it is not met."""
    if outcome.status not in {RequirementStatus.ERROR, RequirementStatus.UNSATISFIED}:
        return outcome
    gate = outcome.gate
    asked = f"{gate.when} {gate.enough} {gate.passes} {gate.shows}"
    reasons = [why for kind, why in discounted.items() if _asks_for(asked, kind)]
    return replace(outcome, explanation=" ".join([*reasons, outcome.explanation])) if reasons else outcome


def _asks_for(expression: str, kind: str) -> bool:
    """Whether the expression names a fact of this kind of evidence, of this version (not of the one in production)."""
    prefixes = "|".join([kind, "evidence", *(["mitigation"] if kind == "fairness" else [])])
    return re.search(rf"(?<![\w.])({prefixes})\.", expression) is not None


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
    derived = f" ({FOLLOWS})" if _names_live(taken_apart) and not answer.error else ""
    return f"{_WORDS[taken_apart.operator]} {value}{derived}"


def _names_live(taken_apart: Comparison) -> bool:
    return "production." in taken_apart.right


def shown(value: Any, unit: Unit = Unit.PLAIN) -> str:
    """A value of a rule as people read it: up to four decimals, points or per cent, yes or no, a list in words."""
    return shorten(_shown(value, unit))


def shorten(text: str) -> str:
    """At most 180 characters, an ellipsis at the end where something was cut."""
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
