"""How the version treats groups of people, beside the version it is compared with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from foundation.charts import Drawing, Slice, forest
from reviews.facts import estimate
from reviews.sections.measured import Measured

BAND = 0.2


@dataclass(frozen=True)
class GroupRow:
    """One group of one attribute: true-positive rate, its distance from everyone's, and what is not known."""

    attribute: str
    group: str
    n: int
    tpr: float | None
    gap: float | None
    baseline: float | None
    sufficient: bool
    why: str


@dataclass(frozen=True)
class Fairness:
    """Everything that the section shows. `worst` is a sentence."""

    worst: str
    overall: float | None
    drawing: Drawing
    rows: Sequence[GroupRow]
    insufficient: Sequence[GroupRow]
    rule: str


def fairness(new: Measured, old: Measured | None) -> Fairness | None:
    """The section, or nothing where fairness was not measured."""
    content = new.content("fairness")
    if not content:
        return None
    before = (
        {(attribute, group["group"]): estimate(group, "tpr").get("value") for attribute, group in _groups(old)}
        if old
        else {}
    )
    rows, slices = [], []
    for attribute, group in _groups(new):
        tpr = estimate(group, "tpr")
        baseline = before.get((attribute, group["group"]))
        sufficient = group.get("sufficient") is not False
        rows.append(
            GroupRow(
                attribute,
                str(group["group"]),
                int(group.get("n") or 0),
                tpr.get("value"),
                estimate(group, "equal_opportunity_gap").get("value"),
                baseline,
                sufficient,
                str(group.get("why_insufficient") or "too few people"),
            )
        )
        if sufficient and "value" in tpr:
            slices.append(
                Slice(
                    attribute,
                    str(group["group"]),
                    int(group.get("n") or 0),
                    tpr["value"],
                    tpr.get("low"),
                    tpr.get("high"),
                    baseline,
                )
            )
    overall = estimate(content, "overall_tpr").get("value")
    drawing = forest(
        slices,
        title="True-positive rate by group",
        overall=overall,
        band=BAND,
        candidate=new.name,
        baseline=old.name if old else "production",
    )
    return Fairness(
        _worst(content, old),
        overall,
        drawing,
        rows,
        [row for row in rows if not row.sufficient],
        str(content.get("rule") or ""),
    )


def _groups(side: Measured | None) -> Iterable[tuple[str, dict[str, Any]]]:
    attributes = (side.content("fairness").get("attributes") or {}) if side else {}
    for attribute, found in attributes.items():
        for group in found.get("groups") or []:
            yield str(attribute), group


def _worst(content: Any, old: Measured | None) -> str:
    worst = content.get("worst") or {}
    gap = estimate(worst, "equal_opportunity_gap").get("value")
    if gap is None:
        return ""
    before = estimate((old.content("fairness").get("worst") or {}) if old else {}, "equal_opportunity_gap").get("value")
    compared = f" In {old.name} the widest gap was {100 * before:.1f} points." if old and before is not None else ""
    return f"Widest gap: {worst.get('attribute')}, {worst.get('group')}: {100 * gap:.1f} points from the overall rate.{compared}"
