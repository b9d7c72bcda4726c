"""Decides what shape evidence of each kind has, so that whoever reads it (gates, pages, monitoring) can rely on it. Pure.

Only what readers take apart is named; a producer may add fields of its own. Estimates are a number, or
`{"value", "low", "high", "n"}` with the ends of the 95% interval.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

Number = float | None


class _Estimate(msgspec.Struct):
    value: Number = None
    low: Number = None
    high: Number = None
    n: Number = None


Estimate = float | _Estimate | None


class _Holdout(msgspec.Struct):
    rows: Number = None
    years: list[Any] = []


class _Metrics(msgspec.Struct):
    holdout: _Holdout | None = None
    cutoff: Estimate = None
    metrics: dict[str, Estimate] = {}
    confusion: dict[str, Number] = {}


class _Histogram(msgspec.Struct):
    edges: list[float]
    counts: list[float]

    def __post_init__(self) -> None:
        if len(self.edges) != len(self.counts) + 1:
            raise ValueError("a histogram has one edge more than counts")


class _Curves(msgspec.Struct):
    roc: list[tuple[float, float]] = []
    pr: list[tuple[float, float]] = []
    score_histogram: _Histogram | None = None


class _Bin(msgspec.Struct):
    predicted: float
    observed: float
    n: float
    low: Number = None
    high: Number = None


class _Calibration(msgspec.Struct):
    bins: list[_Bin] = []
    ece: Estimate = None


class _Slice(msgspec.Struct):
    attribute: str
    group: str | int | float
    n: Number = None
    auc: Estimate = None
    accuracy: Estimate = None
    sufficient: bool | None = None


class _Slices(msgspec.Struct):
    slices: list[_Slice] = []


class _Ends(msgspec.Struct):
    low: float
    high: float


class _Group(msgspec.Struct):
    group: str | int | float
    n: Number = None
    positives: Number = None
    selection_rate: Estimate = None
    tpr: Estimate = None
    fpr: Estimate = None
    equal_opportunity_gap: Estimate = None
    sufficient: bool | None = None
    simultaneous: _Ends | None = None


class _Attribute(msgspec.Struct):
    groups: list[_Group] = []
    equal_opportunity_gap: Estimate = None
    demographic_parity_difference: Estimate = None


class _Worst(msgspec.Struct):
    attribute: str | None = None
    group: str | int | float | None = None
    equal_opportunity_gap: Estimate = None


class _Summary(msgspec.Struct):
    cutoff: Number = None
    auc: Estimate = None
    accuracy: Estimate = None
    selection_rate: Estimate = None
    worst_gap: Estimate = None
    worst_group: str = ""


class _Threshold(msgspec.Struct):
    asked: float
    chosen: float
    rows: Number = None


class _Weight(msgspec.Struct):
    group: str
    outcome: int
    rows: Number
    weight: Number


class _Mitigation(msgspec.Struct):
    method: str = "none"
    attributes: list[str] = []
    parameters: dict[str, Any] = {}
    weights: list[_Weight] = []
    threshold: _Threshold | None = None
    before: _Summary | None = None
    after: _Summary | None = None


class _Fairness(msgspec.Struct):
    attributes: dict[str, _Attribute] = {}
    intersections: dict[str, _Attribute] = {}
    overall_tpr: Estimate = None
    worst: _Worst | None = None
    worst_intersection: _Worst | None = None
    mitigation: _Mitigation | None = None


class _Feature(msgspec.Struct):
    feature: str
    mean: float
    low: Number = None
    high: Number = None


class _Importance(msgspec.Struct):
    metric: str = ""
    features: list[_Feature] = []


class _Environment(msgspec.Struct):
    python: str = ""
    platform: str = ""
    packages: list[str] = []


class _Data(msgspec.Struct):
    dataset: str | None = None
    version: int | str | None = None
    digest: str | None = None
    rows: Number = None
    train_years: list[str | int | float] = []
    test_years: list[str | int | float] = []
    years_apart: Number = None
    columns: list[str] = []
    features: list[str] = []
    protected: list[str] = []
    held_back: list[str] = []
    schema: list[dict[str, Any]] = []
    target: str | None = None


class _Flips(msgspec.Struct):
    rows: Number = None
    changed: Number = None
    to_positive: Number = None
    to_negative: Number = None


class _GroupFlips(msgspec.Struct):
    attribute: str
    group: str | int | float
    rows: Number = None
    to_positive: Number = None
    to_negative: Number = None


class _Comparison(msgspec.Struct):
    against: int | None = None
    against_digest: str = ""
    auc_difference: Estimate = None
    differences: dict[str, Estimate] = {}
    other: dict[str, Estimate] = {}
    worst_gap_difference: Estimate = None
    decision_flips: _Flips | None = None
    flips_by_group: list[_GroupFlips] = []


SHAPES: Final[Mapping[str, type[msgspec.Struct]]] = {
    "metrics": _Metrics,
    "curves": _Curves,
    "calibration": _Calibration,
    "slices": _Slices,
    "fairness": _Fairness,
    "importance": _Importance,
    "environment": _Environment,
    "data": _Data,
    "comparison": _Comparison,
}


def flaw_in(kind: str, content: Mapping[str, Any]) -> str:
    """What is wrong with the shape of `content`, with the place (`$.bins[0].n`), or nothing."""
    shape = SHAPES.get(kind)
    if shape is None:
        return ""
    try:
        msgspec.convert(dict(content), shape)
    except msgspec.ValidationError as error:
        return str(error)
    return ""
