"""Decides which numbers and drawings of the evidence a certificate shows: the few that a reader asks for first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from foundation.charts import Bin, Curve, Drawing, Reliability, calibration, roc
from registry.models import Evidence, ModelVersion


def measures(evidence: Mapping[str, Evidence]) -> tuple[tuple[str, str], ...]:
    """The few numbers that a reader asks for first, with their intervals."""
    metrics = _content(evidence, Evidence.Kind.METRICS).get("metrics") or {}
    lines = [
        (title, metrics.get(name))
        for name, title in (("auc", "AUC"), ("brier", "Brier score"), ("ece", "Calibration error"))
    ]
    worst = _content(evidence, Evidence.Kind.FAIRNESS).get("worst") or {}
    if worst:
        lines.append(
            (
                f"Largest equal-opportunity gap ({worst.get('attribute')}, {worst.get('group')})",
                worst.get("equal_opportunity_gap"),
            )
        )
    return tuple(
        (title, _estimate(value))
        for title, value in lines
        if isinstance(value, dict) and value.get("value") is not None
    )


def _estimate(value: Mapping[str, Any]) -> str:
    low, high = value.get("low"), value.get("high")
    interval = f", 95% interval {low:.3f} to {high:.3f}" if low is not None and high is not None else ""
    rows = f", {value['n']:,} rows" if value.get("n") else ""
    return f"{value['value']:.3f}{interval}{rows}"


def charts(
    version: ModelVersion,
    evidence: Mapping[str, Evidence],
    other: ModelVersion | None,
    baseline: Mapping[str, Evidence],
) -> tuple[tuple[str, Drawing], ...]:
    """ROC and calibration of the version, with those of what it was compared with behind them."""
    mine, theirs = _curve(version, evidence), _curve(other, baseline) if other else None
    own, before = _reliability(version, evidence), _reliability(other, baseline) if other else None
    drawn = []
    if mine:
        drawn.append(("ROC", roc(mine, theirs)))
    if own:
        drawn.append(("Calibration", calibration(own, before)))
    return tuple(drawn)


def _curve(version: ModelVersion, evidence: Mapping[str, Evidence]) -> Curve | None:
    points = _content(evidence, Evidence.Kind.CURVES).get("roc")
    area = ((_content(evidence, Evidence.Kind.METRICS).get("metrics") or {}).get("auc") or {}).get("value")
    return Curve(f"v{version.number}", points, area) if points else None


def _reliability(version: ModelVersion, evidence: Mapping[str, Evidence]) -> Reliability | None:
    content = _content(evidence, Evidence.Kind.CALIBRATION)
    bins: Sequence[Mapping[str, Any]] = content.get("bins") or []
    drawn = [Bin(one["predicted"], one["observed"], one.get("n", 0), one.get("low"), one.get("high")) for one in bins]
    return Reliability(f"v{version.number}", drawn, content.get("ece")) if drawn else None


def _content(evidence: Mapping[str, Evidence], kind: Evidence.Kind) -> dict[str, Any]:
    found = evidence.get(kind)
    return found.content if found and isinstance(found.content, dict) else {}
