"""How well the version does on held-out rows, beside the version it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from foundation.charts import Bin, Curve, Drawing, Reliability, calibration, pr, roc
from reviews.facts import METRIC_NAMES, METRICS, estimate
from reviews.sections.differences import Change, change, paired
from reviews.sections.measured import Measured

LOWER = {"log_loss", "brier", "ece"}
NEITHER = {"selection_rate"}


@dataclass(frozen=True)
class MetricRow:
    """One line of the table of metrics."""

    key: str
    name: str
    hint: str
    value: float
    low: float | None
    high: float | None
    baseline: float | None
    change: Change | None


@dataclass(frozen=True)
class Confusion:
    """Counts at the cut-off."""

    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def rows(self) -> int:
        """All of them."""
        return self.tp + self.fp + self.fn + self.tn

    @property
    def shares(self) -> dict[str, float]:
        """Each count as a share of the rows, which can be compared between versions that were tested on different ones."""
        return {name: getattr(self, name) / self.rows if self.rows else 0.0 for name in ("tp", "fp", "fn", "tn")}


@dataclass(frozen=True)
class Performance:
    """Everything that the section shows."""

    sub: str
    rows: Sequence[MetricRow]
    roc: Drawing
    roc_rows: Sequence[Sequence[str]]
    pr: Drawing
    calibration: Drawing
    calibration_rows: Sequence[Sequence[str]]
    confusion: Confusion | None
    baseline_confusion: Confusion | None
    cutoff: float | None
    note: str


def performance(new: Measured, old: Measured | None) -> Performance | None:
    """The section, or nothing where metrics were not measured."""
    metrics = new.content("metrics")
    if not metrics:
        return None
    holdout = metrics.get("holdout") or {}
    years = ", ".join(str(year) for year in holdout.get("years") or [])
    rows = holdout.get("rows")
    sub = (
        f"Held-out rows{f' of {years}' if years else ''}{f', {rows:,} people' if rows else ''}, never used in training"
    )
    return Performance(
        sub,
        tuple(metric_rows(new, old)),
        roc(curve(new, "roc", "auc"), curve(old, "roc", "auc") if old else None),
        [[f"{x:.2f}", f"{y:.3f}"] for x, y in (new.content("curves").get("roc") or [])[::10]],
        pr(curve(new, "pr", "average_precision"), curve(old, "pr", "average_precision") if old else None),
        calibration(reliability(new), reliability(old) if old else None, outcome="Observed rate"),
        [
            [f"{one['predicted']:.3f}", f"{one['observed']:.3f}", f"{one['n']:,}"]
            for one in new.content("calibration").get("bins") or []
        ],
        _confusion(new),
        _confusion(old) if old else None,
        estimate(metrics, "cutoff").get("value"),
        _note(new, old) if old else "",
    )


def _note(new: Measured, old: Measured) -> str:
    """Which rows the numbers of `old` are from."""
    own, other = ((side.content("metrics").get("holdout") or {}) for side in (new, old))
    if own.get("scores") == other.get("scores") and own.get("rows") == other.get("rows"):
        return ""
    rows = f"{other['rows']:,} " if other.get("rows") else ""
    table = metric_rows(new, old)
    together = [row.name for row in table if row.change and row.change.paired]
    if table and len(together) == len(table):
        return f"Values and changes are of both versions on the held-out rows of {new.name}, with the same resamples."
    both = f"{', '.join(together)}: of both versions on the rows of {new.name}. " if together else ""
    return (
        f"{both}The other values of {old.name} are from its own {rows}held-out rows, "
        "so those changes also hold what differs between the rows."
    )


def metric_rows(new: Measured, old: Measured | None) -> Sequence[MetricRow]:
    """The table: each metric with interval and its change against `old`."""
    found = []
    for key in METRICS:
        own = estimate(new.content("metrics").get("metrics") or {}, key)
        other = estimate((old.content("metrics").get("metrics") or {}) if old else {}, key)
        if "value" not in own:
            continue
        moved = metric_change(new, old, key)
        hint = "for information" if key in NEITHER else "lower is better" if key in LOWER else "higher is better"
        found.append(
            MetricRow(
                key,
                METRIC_NAMES[key],
                hint,
                own["value"],
                own.get("low"),
                own.get("high"),
                own["value"] - moved.value if moved and moved.paired else other.get("value"),
                moved,
            )
        )
    return found


def metric_change(new: Measured, old: Measured | None, key: str) -> Change | None:
    """The change of one metric; on the same rows, with the same resamples, where a worker compared exactly these two."""
    if old is None:
        return None
    if found := _paired_change(new, old, key):
        return found
    own, other = (estimate(side.content("metrics").get("metrics") or {}, key) for side in (new, old))
    found = change(own, other, lower_is_better=key in LOWER)
    return found and Change(found.value, found.low, found.high, None if key in NEITHER else found.better)


def _paired_change(new: Measured, old: Measured, key: str) -> Change | None:
    if not compared(new, old):
        return None
    comparison = new.content("comparison")
    differences = {"auc": comparison.get("auc_difference")} | dict(comparison.get("differences") or {})
    found = paired(estimate(differences, key), lower_is_better=key in LOWER)
    return replace(found, better=None) if found and key in NEITHER else found


def compared(new: Measured, old: Measured) -> bool:
    """Whether a worker scored both on the same rows."""
    return new.content("comparison").get("against") == old.version.number


def curve(side: Measured, kind: str, score: str) -> Curve:
    """The curve of one kind (`roc`, `pr`) with the score that belongs to it."""
    value = estimate(side.content("metrics").get("metrics") or {}, score).get("value")
    return Curve(side.name, side.content("curves").get(kind) or [], value)


def reliability(side: Measured) -> Reliability:
    """The bins of the calibration with its error."""
    bins = [
        Bin(one["predicted"], one["observed"], int(one.get("n") or 0), one.get("low"), one.get("high"))
        for one in side.content("calibration").get("bins") or []
    ]
    return Reliability(side.name, bins, estimate(side.content("calibration"), "ece").get("value"))


def _confusion(side: Measured) -> Confusion | None:
    found = side.content("metrics").get("confusion") or {}
    return (
        Confusion(*(int(found[name]) for name in ("tp", "fp", "fn", "tn")))
        if {"tp", "fp", "fn", "tn"} <= set(found)
        else None
    )
