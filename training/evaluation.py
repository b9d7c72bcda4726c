"""The evaluation report of a model on held-out rows: what reviewers read and gates are judged on.

Pure. `evaluate` gives the contents of the evidence kinds metrics, curves, calibration, slices and fairness; `compare` those of
a comparison with another model on the same rows. Intervals are 95 % percentile bootstrap (stratified by the label, seeded).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from datasets.profile import positive, wilson
from datasets.schema import TableSchema, group_order, groups_of
from training.fairness import (
    MAX_WIDTH,
    MIN_POSITIVES,
    MIN_ROWS,
    AttributeResult,
    GroupResult,
    fairness,
    intersect,
    simultaneous,
    worst_of,
)
from training.measures import RESAMPLES, Estimate, Floats, Ranked, draws, estimate, estimates, headline, resample

CURVE_POINTS: Final = 101
SCORE_BINS: Final = 40
INTERSECTION: Final = " × "

Content = dict[str, Any]


@dataclass(frozen=True)
class Holdout:
    """Held-out rows as they are judged: labels and scores `(n,)`, and the group of each row in each attribute."""

    label: Floats
    score: Floats
    groups: Mapping[str, npt.NDArray[np.object_]]
    order: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(
        cls,
        frame: pd.DataFrame,
        score: npt.ArrayLike,
        schema: TableSchema,
        intersections: Sequence[tuple[str, str]] = (),
    ) -> Holdout:
        """The rows of `frame` with their scores; `intersections` are pairs of protected attributes' names judged together too."""
        attributes = {attribute.name: attribute for attribute in schema.protected}
        groups = {name: groups_of(frame, attribute, schema) for name, attribute in attributes.items()}
        order = {name: group_order(attribute, schema) for name, attribute in attributes.items()}
        for first, second in intersections:
            groups[first + INTERSECTION + second] = intersect(groups[first], groups[second])
        return cls(positive(frame[schema.label]), np.asarray(score, dtype=np.float64), groups, order)


def evaluate(holdout: Holdout, *, cutoff: float, seed: int, resamples: int = RESAMPLES) -> dict[str, Content]:
    """Evidence kind to content. A row is selected from `cutoff` on. Raises `ValueError` for an unusable cut-off or rows."""
    if not 0 < cutoff < 1:
        raise ValueError("The cut-off must lie between 0 and 1.")
    ranked, order = Ranked.of(holdout.label, holdout.score)
    found = estimates(headline(ranked, cutoff), ranked, seed=seed, resamples=resamples)
    groups = {name: values[order] for name, values in holdout.groups.items()}
    result = fairness(ranked, groups, cutoff, seed=seed, resamples=resamples)
    return {
        "metrics": {
            "cutoff": cutoff,
            "metrics": {name: value.as_dict() for name, value in found.items()},
            "confusion": _confusion(ranked, cutoff),
            "resamples": resamples,
            "seed": seed,
        },
        "curves": {"roc": _roc(ranked), "pr": _pr(ranked), "score_histogram": _histogram(ranked)},
        "calibration": {"bins": _calibration(ranked), "ece": found["ece"].as_dict()["value"]},
        "slices": {"slices": [_slice(group) for one in result.attributes for group in _ordered(one, holdout.order)]},
        "fairness": _fairness(result.attributes, holdout.order) | {"overall_tpr": result.overall_tpr.as_dict()},
    }


def compare(
    holdout: Holdout, other: npt.ArrayLike, *, cutoff: float, other_cutoff: float, seed: int, resamples: int = RESAMPLES
) -> Content:
    """This model against the scores `other` `(n,)` of another one on the same rows: paired differences and decision flips.

    Every difference is this model's value minus the other's, with the same resamples for both, so that what the rows have in common
    cancels out (Efron and Tibshirani 1993, section 16.4).
    """
    ours, order = Ranked.of(holdout.label, holdout.score)
    theirs, their_order = Ranked.of(holdout.label, other)
    to_theirs = np.argsort(order)[their_order]
    mine = holdout.score >= cutoff
    before = np.asarray(other, dtype=np.float64) >= other_cutoff

    def blocks() -> Iterator[Floats]:
        return resample(ours.label, seed=seed, resamples=resamples)

    own = draws(headline(ours, cutoff), ours.n, blocks())
    others = draws(headline(theirs, other_cutoff), ours.n, (weights[:, to_theirs] for weights in blocks()))
    differences = {
        name: estimate(point - others[name][0], drawn - others[name][1], ours.n).as_dict()
        for name, (point, drawn) in own.items()
    }
    return {
        "auc_difference": differences["auc"],
        "differences": differences,
        "other": {name: estimate(point, drawn, ours.n).as_dict() for name, (point, drawn) in others.items()},
        "worst_gap_difference": _gap_difference(holdout, ours, order, mine, before, seed=seed, resamples=resamples),
        "decision_flips": {
            "rows": ours.n,
            "changed": int((mine != before).sum()),
            "to_positive": int((mine & ~before).sum()),
            "to_negative": int((~mine & before).sum()),
            "to_right": int(((mine != before) & (mine == (holdout.label == 1))).sum()),
        },
        "flips_by_group": _flips(holdout, mine, before),
        "resamples": resamples,
        "seed": seed,
    }


def summary(holdout: Holdout, *, cutoff: float, seed: int, resamples: int = RESAMPLES) -> Content:
    """The few numbers by which two ways to train are weighed: AUC, accuracy, selection rate and the worst gap, with intervals."""
    ranked, order = Ranked.of(holdout.label, holdout.score)
    found = estimates(headline(ranked, cutoff), ranked, seed=seed, resamples=resamples)
    single = _single(holdout, order)
    worst = worst_of(fairness(ranked, single, cutoff, seed=seed, resamples=resamples, areas=0).attributes)
    return {
        "cutoff": cutoff,
        **{name: found[name].as_dict() for name in ("auc", "accuracy", "selection_rate")},
        "worst_gap": worst.gap.as_dict() if worst else None,
        "worst_group": f"{worst.attribute}: {worst.group}" if worst else "",
    }


def _gap_difference(
    holdout: Holdout,
    ours: Ranked,
    order: npt.NDArray[np.int64],
    mine: npt.NDArray[np.bool_],
    before: npt.NDArray[np.bool_],
    *,
    seed: int,
    resamples: int,
) -> Content | None:
    """How much wider the worst gap of this model is than that of the other, each in its own worst group; None where none is judged."""
    single = _single(holdout, order)
    sides = [
        worst_of(
            fairness(ours, single, 0.5, seed=seed, resamples=resamples, decided=decided[order], areas=0).attributes
        )
        for decided in (mine, before)
    ]
    own, other = sides
    if own is None or other is None:
        return None
    return estimate(own.size - other.size, own.draws - other.draws, ours.n).as_dict()


def _single(holdout: Holdout, order: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.object_]]:
    """The groups by one attribute each, in ranked order."""
    return {name: values[order] for name, values in holdout.groups.items() if INTERSECTION not in name}


def _confusion(ranked: Ranked, cutoff: float) -> dict[str, int]:
    decided = ranked.score >= cutoff
    cells = np.bincount((2 * ranked.label + decided).astype(np.int64), minlength=4)
    return {"tp": int(cells[3]), "fp": int(cells[1]), "fn": int(cells[2]), "tn": int(cells[0])}


def _cumulative(ranked: Ranked) -> tuple[Floats, Floats]:
    """True and false positives when everything up to each distinct score is selected."""
    ends = np.r_[ranked.starts[1:], ranked.n] - 1
    tp = np.cumsum(ranked.label)[ends]
    return tp, ends + 1 - tp


def _roc(ranked: Ranked) -> list[list[float]]:
    """False against true positive rate at 101 evenly spaced false positive rates, (0, 0) and (1, 1) included."""
    tp, fp = _cumulative(ranked)
    if tp[-1] == 0 or fp[-1] == 0:
        return []
    grid = np.linspace(0, 1, CURVE_POINTS)
    rate = np.interp(grid, np.r_[0, fp / fp[-1]], np.r_[0, tp / tp[-1]])
    rate[0] = 0.0
    return _points(grid, rate)


def _pr(ranked: Ranked) -> list[list[float]]:
    """Recall and the precision of the smallest selection that reaches it, at 101 evenly spaced recalls."""
    tp, fp = _cumulative(ranked)
    if tp[-1] == 0:
        return []
    grid = np.linspace(0, 1, CURVE_POINTS)
    place = np.searchsorted(tp / tp[-1], grid - 1e-12, side="left")
    return _points(grid, tp[place] / (tp[place] + fp[place]))


def _points(x: Floats, y: Floats) -> list[list[float]]:
    return [[round(float(a), 5), round(float(b), 5)] for a, b in zip(x, y, strict=True)]


def _histogram(ranked: Ranked) -> dict[str, list[float] | list[int]]:
    edges = np.linspace(0, 1, SCORE_BINS + 1)
    counts, _ = np.histogram(ranked.score, bins=edges)
    return {"edges": [round(float(edge), 4) for edge in edges], "counts": [int(count) for count in counts]}


def _calibration(ranked: Ranked) -> list[dict[str, float | int]]:
    """Ten equal-count bins, lowest scores first, with the Wilson interval of the observed rate."""
    bins = []
    for start, end in zip(ranked.bins, [*ranked.bins[1:], ranked.n], strict=True):
        label, score = ranked.label[start:end], ranked.score[start:end]
        low, high = wilson(float(label.sum()), len(label))
        observed = float(label.mean())
        bins.append(
            {
                "predicted": round(float(score.mean()), 6),
                "observed": round(observed, 6),
                "n": len(label),
                "low": round(low, 6),
                "high": round(high, 6),
            }
        )
    return bins[::-1]


def _ordered(result: AttributeResult, order: Mapping[str, tuple[str, ...]]) -> list[GroupResult]:
    place = {group: number for number, group in enumerate(order.get(result.attribute, ()))}
    return sorted(result.groups, key=lambda group: (place.get(group.group, len(place)), group.group))


def _slice(group: GroupResult) -> Content:
    return {
        "attribute": group.attribute,
        "group": group.group,
        "n": group.n,
        "auc": group.auc.as_dict(),
        "accuracy": group.accuracy.as_dict(),
        "sufficient": group.sufficient,
    }


def _fairness(results: Sequence[AttributeResult], order: Mapping[str, tuple[str, ...]]) -> Content:
    """Single attributes decide `worst`, pairs of attributes `worst_intersection`, whose intervals hold for all pairs at once."""
    single = [result for result in results if INTERSECTION not in result.attribute]
    pairs = [result for result in results if INTERSECTION in result.attribute]
    together, factor, judged = simultaneous(pairs)
    worst = worst_of(single)
    return {
        "attributes": {result.attribute: _attribute(result, order) for result in single},
        "intersections": {result.attribute: _intersection(result, order, together) for result in pairs},
        "worst": {
            "attribute": worst.attribute,
            "group": worst.group,
            "equal_opportunity_gap": worst.gap.as_dict(),
        }
        if worst
        else None,
        "worst_intersection": _worst_intersection(pairs, together),
        "simultaneous": {
            "level": 0.95,
            "groups": judged,
            "factor": round(factor, 4),
            "method": "max-T bootstrap over all groups by two attributes that could be judged",
        },
        "rule": (
            "A group's equal-opportunity gap is its true positive rate minus the overall one; an attribute's is the largest in either "
            f"direction, as a positive number. Evidence is insufficient below {MIN_ROWS} people, below {MIN_POSITIVES} positive outcomes, "
            f"or when the gap's interval is wider than {MAX_WIDTH}."
        ),
    }


def _worst_intersection(
    pairs: Sequence[AttributeResult], together: Mapping[tuple[str, str], tuple[float, float]]
) -> Content | None:
    found = worst_of(pairs)
    if found is None:
        return None
    low, high = together[found.attribute, found.group]
    reach = (high - low) / 2
    return {
        "attribute": found.attribute,
        "group": found.group,
        "equal_opportunity_gap": Estimate(
            found.size, max(0.0, found.size - reach), found.size + reach, found.gap.n
        ).as_dict(),
    }


def _intersection(
    result: AttributeResult,
    order: Mapping[str, tuple[str, ...]],
    together: Mapping[tuple[str, str], tuple[float, float]],
) -> Content:
    content = _attribute(result, order)
    for group in content["groups"]:
        if ends := together.get((result.attribute, group["group"])):
            group["simultaneous"] = {"low": round(ends[0], 6), "high": round(ends[1], 6)}
    return content


def _attribute(result: AttributeResult, order: Mapping[str, tuple[str, ...]]) -> Content:
    return {
        "groups": [_group(group) for group in _ordered(result, order)],
        "equal_opportunity_gap": result.worst_gap.as_dict(),
        "worst_group": result.worst.group if result.worst else None,
        "demographic_parity_difference": result.demographic_parity_difference.as_dict()["value"],
        "demographic_parity_interval": result.demographic_parity_difference.as_dict(),
    }


def _group(group: GroupResult) -> Content:
    return {
        "group": group.group,
        "n": group.n,
        "positives": group.positives,
        "selection_rate": group.selection_rate.as_dict(),
        "tpr": group.tpr.as_dict(),
        "fpr": group.fpr.as_dict(),
        "equal_opportunity_gap": group.equal_opportunity_gap.as_dict(),
        "sufficient": group.sufficient,
        "why_insufficient": group.why_insufficient,
    }


def _flips(holdout: Holdout, mine: npt.NDArray[np.bool_], before: npt.NDArray[np.bool_]) -> list[Content]:
    rows = []
    for name, groups in holdout.groups.items():
        if INTERSECTION in name:
            continue
        frame = pd.DataFrame({"group": groups, "up": mine & ~before, "down": ~mine & before})
        for group, part in frame.groupby("group", sort=True):
            rows.append(
                {
                    "attribute": name,
                    "group": str(group),
                    "rows": len(part),
                    "to_positive": int(part["up"].sum()),
                    "to_negative": int(part["down"].sum()),
                }
            )
    return rows
