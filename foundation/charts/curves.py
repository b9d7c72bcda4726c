"""Curves of a scoring model against the one in production: ROC, precision and recall, calibration."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from foundation.charts.plot import (
    Drawing,
    Plot,
    Point,
    clamped,
    finite,
    is_number,
    nothing,
    percent,
    percent1,
    points_of,
    three,
    ticks,
    tip,
)

QUARTERS: Final = (0, 0.25, 0.5, 0.75, 1)
MOST_HITS: Final = 40


@dataclass(frozen=True)
class Curve:
    """`points`: (x, y) pairs by rising x, both from 0 to 1; `score`: the area, when it is known."""

    name: str
    points: Sequence[Sequence[float]]
    score: float | None = None


@dataclass(frozen=True)
class Bin:
    """One bin of a calibration: mean prediction, observed share with its 95 % interval, rows."""

    predicted: float
    observed: float
    n: int = 0
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Reliability:
    """The calibration of one version; `error` is its expected calibration error."""

    name: str
    bins: Sequence[Bin]
    error: float | None = None


def _value_at(points: Sequence[Point], x: float) -> float:
    """The height of a curve at `x`, between its two neighbours."""
    i = bisect_left([p[0] for p in points], x)
    if i == 0:
        return points[0][1]
    if i == len(points):
        return points[-1][1]
    (x0, y0), (x1, y1) = points[i - 1], points[i]
    return y1 if x1 == x0 else y0 + (y1 - y0) * (x - x0) / (x1 - x0)


def _scores(word: str, candidate: Curve, baseline: Curve | None) -> str:
    own = f"{candidate.name} has {word} {three(candidate.score)}"
    return f"{own}, {baseline.name} has {three(baseline.score)}." if baseline else f"{own}."


def _standing(candidate: Sequence[Point], baseline: Sequence[Point]) -> str:
    higher = sum(y >= _value_at(baseline, x) for x, y in candidate) / len(candidate)
    return (
        "above" if higher > 0.95 else "mostly above" if higher > 0.5 else "mostly below" if higher > 0.05 else "below"
    )


def _draw(plot: Plot, names: tuple[str, str], candidate: Curve, baseline: Curve | None) -> Drawing:
    """Both curves with tooltips; `names` are those of x and y."""
    own = points_of(candidate.points)
    other = points_of(baseline.points) if baseline else []
    plot.axes(QUARTERS, QUARTERS, xlabel=names[0], ylabel=names[1])
    plot.path(other, "c-prod")
    plot.path(own, "c-cand")
    shown = own[:: max(1, len(own) // MOST_HITS)]
    hints = []
    for x, y in shown:
        lines = [f"{candidate.name}: {names[1].lower()} {y:.3f}"]
        if baseline and other:
            lines.append(f"{baseline.name}: {_value_at(other, x):.3f}")
        hints.append(tip(f"{names[0]} {x:.2f}", *lines))
    plot.hits([x for x, _ in shown], hints)
    return plot.drawing()


def roc(candidate: Curve, baseline: Curve | None = None) -> Drawing:
    """Receiver operating characteristic: points are (false-positive rate, true-positive rate), score is the area."""
    own = points_of(candidate.points)
    if not own:
        return nothing("There is no ROC curve: the evaluation holds no scored rows of both outcomes.")
    described = "Receiver operating characteristic on the hold-out rows. " + _scores("area", candidate, baseline)
    other = points_of(baseline.points) if baseline else []
    if baseline and other:
        described += f" {candidate.name} is {_standing(own, other)} {baseline.name} across the range."
    plot = Plot("ROC curve", described)
    plot.add(f'<path class="c-ref" d="M{plot.X(0):g} {plot.Y(0):g}L{plot.X(1):g} {plot.Y(1):g}"/>')
    return _draw(plot, ("False-positive rate", "True-positive rate"), candidate, baseline)


def pr(candidate: Curve, baseline: Curve | None = None, *, base_rate: float | None = None) -> Drawing:
    """Precision against recall: points are (recall, precision), score is the average precision."""
    if not points_of(candidate.points):
        return nothing("There is no precision and recall curve: the evaluation holds no scored rows of both outcomes.")
    described = "Precision and recall on the hold-out rows. " + _scores("average precision", candidate, baseline)
    if is_number(base_rate):
        described += f" Base rate {percent1(base_rate)}."
    plot = Plot("Precision and recall", described)
    if base_rate is not None and is_number(base_rate):
        plot.line(plot.X(0), plot.X(1), plot.Y(base_rate), plot.Y(base_rate), "c-ref")
    return _draw(plot, ("Recall", "Precision"), _rising(candidate), _rising(baseline) if baseline else None)


def _rising(curve: Curve) -> Curve:
    return Curve(curve.name, sorted(points_of(curve.points)), curve.score)


def _known(bins: Sequence[Bin]) -> list[Bin]:
    return [b for b in bins if is_number(b.predicted) and is_number(b.observed)]


def calibration(
    candidate: Reliability, baseline: Reliability | None = None, *, outcome: str = "Observed rate"
) -> Drawing:
    """Observed share against prediction, by bin, with 95 % intervals; the axes reach as far as the data do."""
    own, other = _known(candidate.bins), _known(baseline.bins) if baseline else []
    if not own:
        return nothing("There is no calibration: the evaluation holds no bins with outcomes.")
    top = max(finite([*(b.predicted for b in own + other), *(b.observed for b in own + other)]) or [1.0])
    top = min(1.0, max(0.1, top * 1.06)) if top <= 1 else top * 1.06
    errors = f"Expected calibration error {three(candidate.error)} for {candidate.name}"
    errors += f", {three(baseline.error)} for {baseline.name}." if baseline else "."
    described = f"{outcome} against predicted probability in {len(own)} bins. {errors} Bars are 95% intervals."
    plot = Plot("Calibration", described, x=(0, top), y=(0, top))
    marks = ticks(0, top, 4)
    plot.axes(marks, marks, xlabel="Predicted probability", ylabel=outcome, xnumber=percent, ynumber=percent)
    plot.line(plot.X(0), plot.X(top), plot.Y(0), plot.Y(top), "c-ref")
    plot.path([(b.predicted, b.observed) for b in other], "c-prod")
    for b in own:
        if b.low is not None and b.high is not None and is_number(b.low) and is_number(b.high):
            low, high = plot.Y(max(0.0, clamped(b.low))), plot.Y(min(top, clamped(b.high)))
            plot.line(plot.X(b.predicted), plot.X(b.predicted), high, low, "c-err")
    plot.path([(b.predicted, b.observed) for b in own], "c-cand")
    for b in own:
        plot.dot(plot.X(b.predicted), plot.Y(b.observed), 3.4, "c-dot", hint=_bin_tip(b, candidate.name))
    return plot.drawing()


def _bin_tip(b: Bin, name: str) -> str:
    between = f" ({percent1(b.low)} to {percent1(b.high)})" if is_number(b.low) and is_number(b.high) else ""
    rows = f"Bin of {b.n:,} rows" if b.n else "Bin"
    return tip(rows, f"{name} predicted {percent1(b.predicted)}", f"observed {percent1(b.observed)}{between}")
