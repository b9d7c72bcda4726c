"""Decides which numbers stand at the top of the review page: those of the policy's template, else sensible ones; and their colour.

A change has colour only when the interval of the difference excludes zero; what has no interval is no more than noise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from foundation.refusals import RequirementStatus
from reviews.evaluation import Evaluation
from reviews.facts import LANGUAGE, production_side
from reviews.gates import GateOutcome, shown
from reviews.policies import Tile as TileRule
from reviews.policies import Unit
from reviews.sections.differences import Change, change, paired

MOST: Final = 4
FALLBACK: Final = (
    TileRule("AUC", "metrics.auc", "performance", gate="auc-floor", difference="comparison.auc_difference"),
    TileRule("Calibration error", "metrics.ece", "performance", better="lower", gate="calibration"),
    TileRule("Widest group gap", "fairness.worst_gap", "fairness", better="lower", unit=Unit.POINTS, gate="widest-gap"),
    TileRule(
        "Decisions that change",
        "comparison.flip_share",
        "changes",
        better="lower",
        unit=Unit.PERCENT,
        gate="decision-flips",
    ),
    TileRule("Held-out rows", "metrics.holdout_rows", "performance"),
)
_NOTES: Final = {
    "fairness.worst_gap": "fairness.worst_group",
    "slices.worst_auc": "slices.worst_auc_group",
    "slices.worst_intersection_auc": "slices.worst_intersection_auc_group",
}


@dataclass(frozen=True)
class Tile:
    """One number of the decision's summary. `change` is written with `digits` decimals, in the unit of the value."""

    label: str
    value: str
    unit: str
    mark: str
    status: str
    href: str
    change: Change | None = None
    digits: int = 3
    against: str = ""
    limit: str = ""
    note: str = ""


def tiles_of(found: Evaluation) -> list[Tile]:
    """The tiles of one evaluation, that of the gates first."""
    rules = found.rules.tiles or FALLBACK
    measured = [tile for rule in rules if (tile := _tile(rule, found)) is not None]
    return [_gates(found), *measured[:MOST]]


def _gates(found: Evaluation) -> Tile:
    considered = [
        one for one in found.gates if one.status is not RequirementStatus.NOT_APPLICABLE and not one.gate.warning
    ]
    failing = [one for one in considered if one.blocks]
    excepted = sum(1 for one in considered if one.status is RequirementStatus.EXCEPTED)
    warnings = sum(1 for one in found.gates if one.warns)
    notes = [
        f"{len(failing)} {'does' if len(failing) == 1 else 'do'} not: {failing[0].gate.title}" if failing else "",
        f"{excepted} by an exception" if excepted else "",
        f"{warnings} warning{'s' if warnings > 1 else ''} to weigh" if warnings else "",
    ]
    return Tile(
        "Policy gates",
        str(len(considered) - len(failing) - excepted),
        f"of {len(considered)} pass",
        "bad" if failing else "warn" if excepted else "ok",
        "failing" if failing else "passes with an exception" if excepted else "pass",
        "#gates",
        note="; ".join(filter(None, notes)) or ("nothing blocks" if considered else "the policy has none"),
    )


def _tile(rule: TileRule, found: Evaluation) -> Tile | None:
    answer = LANGUAGE.ask(rule.shows, found.facts)
    if answer.error:
        return None
    outcome = next((one for one in found.gates if one.gate.key == rule.gate), None)
    mark = mark_of(outcome)
    value, unit = _written(answer.value, rule.unit)
    production = _production(rule, found)
    return Tile(
        rule.label,
        value,
        unit,
        mark,
        {"bad": "fails", "warn": "warning", "ok": "passes"}.get(mark, ""),
        f"#{rule.section}",
        change=_change(rule, found, answer.value, production),
        digits=1 if rule.unit is not Unit.PLAIN else 4,
        against=_against(found, rule, production),
        limit=outcome.required if outcome and mark else "",
        note=str(found.facts.get(_NOTES.get(rule.shows, ""), "")),
    )


def _written(value: Any, unit: Unit) -> tuple[str, str]:
    """The value as it stands on the tile, and its unit apart."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and unit is Unit.POINTS:
        return f"{100 * value:.1f}".replace("-", "−"), "pts"
    if number and unit is Unit.PERCENT:
        return f"{100 * value:.1f}".replace("-", "−"), "%"
    if isinstance(value, float):
        return f"{value:.4f}".replace("-", "−"), ""
    return shown(value), ""


def _production(rule: TileRule, found: Evaluation) -> Any:
    if found.live is None:
        return None
    answer = LANGUAGE.ask(rule.shows, production_side(found.facts))
    return None if answer.error else answer.value


def _change(rule: TileRule, found: Evaluation, value: Any, production: Any) -> Change | None:
    """The difference from production: as measured on the same rows, else from two intervals, else without judgement.

    Where nothing is live there is none, even when a worker compared the version with one that was.
    """
    if found.live is None:
        return None
    lower = rule.better == "lower"
    measured = paired(_estimate(found.facts, rule.difference), lower_is_better=lower) if rule.difference else None
    if measured is None and production is not None:
        measured = change(
            _estimate(found.facts, rule.shows),
            _estimate(production_side(found.facts), rule.shows),
            lower_is_better=lower,
        )
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (value, production))
    if measured is None and numbers and found.live is not None:
        measured = Change(value - production, None, None, None)
    if measured is None or rule.unit is Unit.PLAIN:
        return measured
    scaled = [None if end is None else 100 * end for end in (measured.low, measured.high)]
    return replace(measured, value=100 * measured.value, low=scaled[0], high=scaled[1])


def _estimate(facts: Mapping[str, Any], name: str) -> dict[str, float]:
    ends = {"value": name, "low": f"{name}_low", "high": f"{name}_high"}
    return {end: facts[fact] for end, fact in ends.items() if isinstance(facts.get(fact), int | float)}


def _against(found: Evaluation, rule: TileRule, production: Any) -> str:
    if found.live is None:
        return "first release" if rule.gate else ""
    return f"on v{found.live.version.number}" if production is not None or rule.difference else ""


def mark_of(outcome: GateOutcome | None) -> str:
    """The component's mark for a gate: ok, warn, bad, or nothing where it was not asked."""
    if outcome is None or outcome.status is RequirementStatus.NOT_APPLICABLE:
        return ""
    if outcome.status is RequirementStatus.EXCEPTED:
        return "warn"
    return "bad" if outcome.blocks else "warn" if outcome.warns else "ok"


def gates_shown(gates: Iterable[GateOutcome]) -> list[GateOutcome]:
    """Gates that fail, cannot be evaluated, are excepted, or warn: what stands open on the page."""
    return [one for one in gates if one.blocks or one.warns or one.status is RequirementStatus.EXCEPTED]
