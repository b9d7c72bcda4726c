"""How a model treats groups of people: selection, true and false positive rates and AUC by group, with intervals. Pure.

Equal-opportunity gap: the group's true positive rate minus the overall one (Hardt, Price, Srebro 2016). Demographic parity
difference: largest minus smallest selection rate. A group too small to say anything is marked, never hidden.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from training.measures import Estimate, Floats, Ranked, auc, estimate, resample

MIN_ROWS: Final = 200
MIN_POSITIVES: Final = 50
MAX_WIDTH: Final = 0.15
AREA_RESAMPLES: Final = 200
"""Of the resamples, how many the groups' AUC is measured on: it takes ten times as long as everything else together."""
CELLS: Final = 4
Groups = npt.NDArray[np.object_]


@dataclass(frozen=True)
class GroupResult:
    """One group of one attribute. `why_insufficient` is empty when the evidence suffices."""

    attribute: str
    group: str
    n: int
    positives: int
    selection_rate: Estimate
    tpr: Estimate
    fpr: Estimate
    accuracy: Estimate
    auc: Estimate
    equal_opportunity_gap: Estimate
    why_insufficient: str

    @property
    def sufficient(self) -> bool:
        """Whether there are enough people, positives and precision to judge this group."""
        return not self.why_insufficient


@dataclass(frozen=True)
class Worst:
    """The sufficient group of an attribute whose gap is the largest in either direction.

    `size`: that gap as a positive number; `gap`: the same with its interval; `draws`: in each resample `(resamples,)`.
    """

    attribute: str
    group: str
    size: float
    gap: Estimate
    draws: Floats = field(compare=False)


@dataclass(frozen=True)
class AttributeResult:
    """All groups of one attribute; `worst` is None where no group is sufficient.

    `gap_draws`: each group's gap in each resample `(resamples, groups)`.
    """

    attribute: str
    groups: tuple[GroupResult, ...]
    worst: Worst | None
    demographic_parity_difference: Estimate
    gap_draws: Floats

    @property
    def worst_gap(self) -> Estimate:
        """The size of the worst group's gap with its interval; undefined without one."""
        return self.worst.gap if self.worst else NOTHING


@dataclass(frozen=True)
class FairnessResult:
    """Every attribute, intersections included, and the overall true positive rate that the gaps refer to."""

    attributes: tuple[AttributeResult, ...]
    overall_tpr: Estimate


@dataclass(frozen=True)
class _Table:
    """One attribute counted: group names and, for the point and each resample, rows in cells of (label, decision): `(b, g, 4)`."""

    names: tuple[str, ...]
    point: Floats
    draws: Floats

    def rates(self, numerator: Sequence[int], denominator: Sequence[int]) -> tuple[Floats, Floats]:
        """The ratio of two sums of cells, for the point `(g,)` and the draws `(b, g)`; NaN for an empty denominator."""
        with np.errstate(invalid="ignore", divide="ignore"):
            point, draws = (
                cells[..., list(numerator)].sum(axis=-1) / cells[..., list(denominator)].sum(axis=-1)
                for cells in (self.point[0], self.draws)
            )
        return point, draws


NOTHING: Final = Estimate(None, None, None, 0)
# Cells: 0 true negative, 1 false positive, 2 false negative, 3 true positive
ALL: Final = (0, 1, 2, 3)
SELECTED: Final = (1, 3)
POSITIVE: Final = (2, 3)
NEGATIVE: Final = (0, 1)


def fairness(
    ranked: Ranked,
    groups: Mapping[str, Groups],
    cutoff: float,
    *,
    seed: int,
    resamples: int,
    decided: npt.NDArray[np.bool_] | None = None,
    areas: int = AREA_RESAMPLES,
) -> FairnessResult:
    """The result for each attribute in `groups`, whose arrays `(n,)` follow the ranked rows.

    `decided` `(n,)`: the decisions to judge, where they are not those of the ranked scores at `cutoff` (another model's on the same
    rows). `areas`: how many of the resamples measure the groups' AUC; 0: not measured.
    """
    encoded = {name: pd.factorize(values, sort=True) for name, values in groups.items()}
    decided = ranked.score >= cutoff if decided is None else decided
    indicator = _indicator(ranked.label, decided, {name: codes for name, (codes, _) in encoded.items()})
    transposed = indicator.T.tocsr()
    cells = np.concatenate(
        [(transposed @ weights.T).T for weights in resample(ranked.label, seed=seed, resamples=resamples)]
    )
    point = (transposed @ np.ones(ranked.n)).reshape(1, -1)
    overall = _Table(("overall",), point[:, :CELLS].reshape(1, 1, CELLS), cells[:, :CELLS].reshape(-1, 1, CELLS))
    measured = _areas(ranked, encoded, seed=seed, resamples=min(areas, resamples)) if areas else {}
    results, column = [], CELLS
    for name, (_, found) in encoded.items():
        width = len(found) * CELLS
        part = slice(column, column + width)
        table = _Table(
            tuple(str(group) for group in found),
            point[:, part].reshape(1, -1, CELLS),
            cells[:, part].reshape(len(cells), -1, CELLS),
        )
        unmeasured = np.full(len(found), np.nan)
        results.append(_attribute(name, table, overall, *measured.get(name, (unmeasured, unmeasured[np.newaxis]))))
        column += width
    tpr, draws = overall.rates((3,), POSITIVE)
    return FairnessResult(tuple(results), estimate(float(tpr[0]), draws[:, 0], int(ranked.label.sum())))


def simultaneous(results: Sequence[AttributeResult]) -> tuple[dict[tuple[str, str], tuple[float, float]], float, int]:
    """Intervals of the gaps of all sufficient groups that hold together with 95 %: by (attribute, group); the factor; how many.

    Looking at many groups finds a wide gap by chance in one of them. Each interval is the gap plus and minus `factor` standard errors,
    where the factor is the 95th percentile, over the resamples, of the largest standardized deviation in any group (max-T bootstrap:
    Westfall and Young 1993, chapter 2; Romano and Wolf 2005). Bonferroni's correction would be wider, as the groups overlap.
    """
    judged = [
        (one.attribute, group, one.gap_draws[:, place])
        for one in results
        for place, group in enumerate(one.groups)
        if group.sufficient
    ]
    if not judged:
        return {}, 0.0, 0
    gaps = np.array([group.equal_opportunity_gap.value for _, group, _ in judged], dtype=np.float64)
    drawn = np.column_stack([draws for _, _, draws in judged])
    error = np.nanstd(drawn, axis=0, ddof=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        deviation = np.where(error > 0, np.abs(drawn - gaps) / error, 0.0)
    factor = float(np.quantile(np.nanmax(deviation, axis=1), 0.95))
    found = {
        (attribute, group.group): (float(gap - factor * width), float(gap + factor * width))
        for (attribute, group, _), gap, width in zip(judged, gaps, error, strict=True)
    }
    return found, factor, len(judged)


def worst_of(results: Sequence[AttributeResult]) -> Worst | None:
    """The worst group of all attributes; None where no group could be judged."""
    return max((one.worst for one in results if one.worst), key=lambda worst: worst.size, default=None)


def intersect(first: Groups, second: Groups) -> Groups:
    """The groups of two attributes together, as text `(n,)`: `female, Asian`."""
    return np.array([f"{a}, {b}" for a, b in zip(first, second, strict=True)], dtype=object)


def _indicator(label: Floats, decided: npt.NDArray[np.bool_], codes: Mapping[str, npt.NDArray[np.intp]]) -> Any:
    """Sparse `(n, 4 + Σ 4 * groups)`: one for the cell of the row overall, and one for its cell in each attribute."""
    cell = (2 * label + decided).astype(np.int64)
    places, column = [cell], CELLS
    for values in codes.values():
        places.append(column + values * CELLS + cell)
        column += (int(values.max()) + 1) * CELLS
    rows = np.tile(np.arange(label.size), len(places))
    ones = np.ones(rows.size)
    return sparse.csr_matrix((ones, (rows, np.concatenate(places))), shape=(label.size, column))


def _areas(
    ranked: Ranked, encoded: Mapping[str, tuple[Any, Any]], *, seed: int, resamples: int
) -> dict[str, tuple[Floats, Floats]]:
    """By attribute, the groups' AUC `(g,)` and its values in the first `resamples` resamples `(resamples, g)`."""
    members = {
        name: [_subset(ranked, np.flatnonzero(codes == g)) for g in range(len(found))]
        for name, (codes, found) in encoded.items()
    }

    def measure(weights: Floats) -> dict[str, Floats]:
        return {
            name: np.column_stack([auc(label, starts, weights[:, rows]) for rows, label, starts in groups])
            for name, groups in members.items()
        }

    points = measure(np.ones((1, ranked.n)))
    drawn = [measure(weights) for weights in resample(ranked.label, seed=seed, resamples=resamples)]
    return {name: (points[name][0], np.concatenate([one[name] for one in drawn])) for name in members}


def _subset(ranked: Ranked, rows: Any) -> tuple[Any, Floats, Any]:
    score = ranked.score[rows]
    return rows, ranked.label[rows], np.flatnonzero(np.r_[True, score[1:] != score[:-1]])


def _attribute(name: str, table: _Table, overall: _Table, auc_point: Floats, auc_draws: Floats) -> AttributeResult:
    rates = {
        "selection_rate": table.rates(SELECTED, ALL),
        "tpr": table.rates((3,), POSITIVE),
        "fpr": table.rates((1,), NEGATIVE),
        "accuracy": table.rates((0, 3), ALL),
        "auc": (auc_point, auc_draws),
    }
    base, base_draws = overall.rates((3,), POSITIVE)
    rates["gap"] = (rates["tpr"][0] - base, rates["tpr"][1] - base_draws)
    groups = tuple(_group(name, number, table, rates) for number in range(len(table.names)))
    judged = [number for number, group in enumerate(groups) if group.sufficient]
    if not judged:
        return AttributeResult(name, groups, None, NOTHING, rates["gap"][1])
    sizes, draws = (np.abs(values) for values in rates["gap"])
    worst = max(judged, key=lambda number: float(sizes[number]))
    size, resampled = float(sizes[worst]), draws[:, worst]
    n = sum(groups[number].n for number in judged)
    selected, drawn = (values[..., judged] for values in rates["selection_rate"])
    return AttributeResult(
        name,
        groups,
        Worst(name, groups[worst].group, size, estimate(size, resampled, groups[worst].positives), resampled),
        estimate(float(np.ptp(selected)), np.ptp(drawn, axis=-1), n),
        rates["gap"][1],
    )


def _group(name: str, number: int, table: _Table, rates: Mapping[str, tuple[Floats, Floats]]) -> GroupResult:
    cells = table.point[0, number]
    n, positives = int(cells.sum()), int(cells[list(POSITIVE)].sum())
    support = {"tpr": positives, "gap": positives, "fpr": n - positives}
    found = {
        key: estimate(float(point[number]), draws[:, number], support.get(key, n))
        for key, (point, draws) in rates.items()
    }
    return GroupResult(
        attribute=name,
        group=table.names[number],
        n=n,
        positives=positives,
        selection_rate=found["selection_rate"],
        tpr=found["tpr"],
        fpr=found["fpr"],
        accuracy=found["accuracy"],
        auc=found["auc"],
        equal_opportunity_gap=found["gap"],
        why_insufficient=_why_insufficient(n, positives, found["gap"]),
    )


def _why_insufficient(n: int, positives: int, gap: Estimate) -> str:
    if n < MIN_ROWS:
        return f"{n} people are fewer than {MIN_ROWS}"
    if positives < MIN_POSITIVES:
        return f"{positives} positive outcomes are fewer than {MIN_POSITIVES}"
    if gap.low is None or gap.high is None:
        return "the interval of the gap is undefined"
    if gap.high - gap.low > MAX_WIDTH:
        return f"the interval of the gap is {gap.high - gap.low:.2f} wide, more than {MAX_WIDTH}"
    return ""
