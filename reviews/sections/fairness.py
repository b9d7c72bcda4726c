"""How the version treats groups of people, beside the version it is compared with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from foundation.charts import Drawing, Slice, forest
from reviews.facts import estimate, gap
from reviews.sections.differences import Change, change, paired
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
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class PairRow:
    """One group by two attributes; `low` and `high` are the ends of the gap's interval, which holds for all such groups at once."""

    attribute: str
    group: str
    n: int
    positives: int
    selection: float | None
    tpr: float | None
    fpr: float | None
    gap: float | None
    low: float | None
    high: float | None
    sufficient: bool
    why: str

    @property
    def certain(self) -> bool:
        """Whether the gap is there whichever group one looks at: its interval excludes zero."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


@dataclass(frozen=True)
class Fairness:
    """Everything that the section shows. `worst` is a sentence; `pairs` has the most extreme first, `pairs_insufficient` the rest."""

    worst: str
    worst_change: Change | None
    overall: float | None
    drawing: Drawing
    rows: Sequence[GroupRow]
    insufficient: Sequence[GroupRow]
    rule: str
    pairs: Sequence[PairRow]
    pairs_insufficient: Sequence[PairRow]
    pairs_worst: str
    mitigation: Mitigation | None


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
                estimate(group, "equal_opportunity_gap").get("low"),
                estimate(group, "equal_opportunity_gap").get("high"),
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
    pairs = sorted(_pairs(content), key=lambda row: -abs(row.gap or 0.0))
    return Fairness(
        _worst(content, old),
        _worst_change(new, old),
        overall,
        drawing,
        rows,
        [row for row in rows if not row.sufficient],
        str(content.get("rule") or ""),
        [row for row in pairs if row.sufficient],
        [row for row in pairs if not row.sufficient],
        _worst_pair(content),
        mitigation(content),
    )


def _pairs(content: Mapping[str, Any]) -> Iterable[PairRow]:
    for attribute, found in (content.get("intersections") or {}).items():
        for group in found.get("groups") or []:
            ends = group.get("simultaneous") or group.get("equal_opportunity_gap") or {}
            yield PairRow(
                str(attribute),
                str(group["group"]),
                int(group.get("n") or 0),
                int(group.get("positives") or 0),
                estimate(group, "selection_rate").get("value"),
                estimate(group, "tpr").get("value"),
                estimate(group, "fpr").get("value"),
                estimate(group, "equal_opportunity_gap").get("value"),
                ends.get("low"),
                ends.get("high"),
                group.get("sufficient") is not False,
                str(group.get("why_insufficient") or "too few people"),
            )


def _worst_pair(content: Mapping[str, Any]) -> str:
    worst = content.get("worst_intersection") or {}
    found = estimate(worst, "equal_opportunity_gap")
    if "value" not in found or "group" not in worst:
        return ""
    judged = (content.get("simultaneous") or {}).get("groups")
    among = f" of {judged} groups by two attributes" if judged else ""
    interval = (
        f", interval {100 * found['low']:.1f} to {100 * found['high']:.1f}" if {"low", "high"} <= set(found) else ""
    )
    return f"Widest{among}: {worst['attribute']}, {worst['group']}: {100 * found['value']:.1f} points{interval}."


def _worst_change(new: Measured, old: Measured | None) -> Change | None:
    """How the widest gap differs from the other version's: on the same rows where a worker compared these two."""
    if old is None:
        return None
    comparison = new.content("comparison")
    if comparison.get("against") == old.version.number and (
        found := paired(estimate(comparison, "worst_gap_difference"), lower_is_better=True)
    ):
        return found
    own, other = (gap(side.content("fairness").get("worst") or {}) for side in (new, old))
    return change(own, other, lower_is_better=True)


@dataclass(frozen=True)
class Mitigation:
    """What training did against unequal treatment. `rows`: measure, without it, with it, change."""

    method: str
    attributes: Sequence[str]
    cutoff: str
    rows: Sequence[tuple[str, str, str]]


def mitigation(content: Mapping[str, Any]) -> Mitigation | None:
    """The mitigation that the fairness evidence records; None where there was none, or nobody said."""
    found = content.get("mitigation") or {}
    if found.get("method", "none") == "none":
        return None
    before, after = found.get("before") or {}, found.get("after") or {}
    threshold = found.get("threshold") or {}
    names = {
        "worst_gap": "Widest gap",
        "accuracy": "Accuracy",
        "auc": "AUC",
        "selection_rate": "Selection rate",
    }
    rows = [
        (label, _with_interval(estimate(before, key)), _with_interval(estimate(after, key)))
        for key, label in names.items()
        if estimate(before, key) or estimate(after, key)
    ]
    cutoff = (
        f"One cut-off for everybody, {threshold['chosen']:.2f} instead of {threshold['asked']:.2f}, chosen on "
        f"{int(threshold.get('rows') or 0):,} training rows set aside."
        if threshold
        else ""
    )
    return Mitigation(str(found["method"]), [str(one) for one in found.get("attributes") or []], cutoff, rows)


def _with_interval(found: Mapping[str, float]) -> str:
    if "value" not in found:
        return ""
    interval = f" ({found['low']:.3f} to {found['high']:.3f})" if {"low", "high"} <= set(found) else ""
    return f"{found['value']:.3f}{interval}"


def _groups(side: Measured | None) -> Iterable[tuple[str, dict[str, Any]]]:
    attributes = (side.content("fairness").get("attributes") or {}) if side else {}
    for attribute, found in attributes.items():
        for group in found.get("groups") or []:
            yield str(attribute), group


def _worst(content: Any, old: Measured | None) -> str:
    worst = content.get("worst") or {}
    wide = estimate(worst, "equal_opportunity_gap").get("value")
    if wide is None:
        return ""
    before = estimate((old.content("fairness").get("worst") or {}) if old else {}, "equal_opportunity_gap").get("value")
    compared = f" In {old.name} the widest gap was {100 * before:.1f} points." if old and before is not None else ""
    return f"Widest gap: {worst.get('attribute')}, {worst.get('group')}: {100 * wide:.1f} points from the overall rate.{compared}"


@dataclass(frozen=True)
class GroupPair:
    """One group of one attribute in two versions: gaps from everyone's true-positive rate, None where too little is known."""

    attribute: str
    group: str
    new: float | None
    old: float | None
    change: Change | None


def side_by_side(new: Measured, old: Measured) -> list[GroupPair]:
    """Every group that either version was judged on; the change is of separate estimates, coloured only beyond noise."""
    sides = [{(attribute, str(group["group"])): group for attribute, group in _groups(side)} for side in (new, old)]
    found = []
    for attribute, group in dict.fromkeys([*sides[0], *sides[1]]):
        own, other = (_gap_size(side.get((attribute, group))) for side in sides)
        moved = change(own, other, lower_is_better=True)
        found.append(GroupPair(attribute, group, own.get("signed"), other.get("signed"), moved))
    return found


def _gap_size(group: Mapping[str, Any] | None) -> dict[str, float]:
    """The gap as a size with its interval, and as it is (`signed`); empty where there is too little evidence."""
    if group is None or group.get("sufficient") is False:
        return {}
    signed = estimate(group, "equal_opportunity_gap")
    return gap(group) | ({"signed": signed["value"]} if "value" in signed else {})
