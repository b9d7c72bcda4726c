"""What can be done in training against unequal treatment of groups, and how it is recorded. Pure.

Reweighing (Kamiran and Calders 2012, "Data preprocessing techniques for classification without discrimination", section 3.3): every
training row gets the weight that makes group and outcome independent in the weighted data, P(group) · P(outcome) / P(group, outcome).
Threshold: one cut-off for everybody, chosen on rows set aside from the training rows (never on the held-out ones) so that the worst
equal-opportunity gap is smallest at a bounded cost in accuracy. Cut-offs by group would close gaps further, but whoever scores would
need to know each person's protected attributes, and to treat two people with the same score differently; they are not offered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from datasets.profile import positive
from datasets.schema import TableSchema, groups_of
from training.fairness import Groups, intersect
from training.measures import Floats

FOLD: Final = 0.25
GRID: Final = np.round(np.arange(0.05, 0.951, 0.01), 2)
MIN_POSITIVES: Final = 20
MAX_ACCURACY_LOSS: Final = 0.02
REWEIGHING: Final = "reweighing"
THRESHOLD: Final = "threshold"


class MitigationMistake(ValueError):
    """The mitigation asked for cannot be made; the sentence says why."""


@dataclass(frozen=True)
class Plan:
    """What was asked for: attributes to reweigh by, attributes whose gaps the cut-off is chosen for, and what that may cost."""

    reweighing: tuple[str, ...] = ()
    threshold: tuple[str, ...] = ()
    max_accuracy_loss: float = MAX_ACCURACY_LOSS

    @classmethod
    def of(cls, given: Mapping[str, Any], protected: Sequence[str]) -> Plan:
        """The plan in `given` (`{"reweighing": [attributes], "threshold": [attributes], "max_accuracy_loss": share}`).

        `protected`: the protected attributes that the data declare. Raises `MitigationMistake`.
        """
        unknown = sorted(set(given) - {REWEIGHING, THRESHOLD, "max_accuracy_loss"})
        if unknown:
            raise MitigationMistake(
                f"There is no mitigation {', '.join(unknown)}; there are {REWEIGHING} and {THRESHOLD}, each with a list of protected "
                "attributes, and max_accuracy_loss."
            )
        loss = given.get("max_accuracy_loss", MAX_ACCURACY_LOSS)
        if isinstance(loss, bool) or not isinstance(loss, int | float) or not 0 <= loss <= 0.2:
            raise MitigationMistake("max_accuracy_loss is a number from 0 to 0.2.")
        return cls(
            _attributes(given.get(REWEIGHING), REWEIGHING, protected),
            _attributes(given.get(THRESHOLD), THRESHOLD, protected),
            float(loss),
        )

    @property
    def method(self) -> str:
        """What is done, in the words of the facts: `none`, `reweighing`, `threshold` or `reweighing + threshold`."""
        done = [name for name in (REWEIGHING, THRESHOLD) if getattr(self, name)]
        return " + ".join(done) or "none"

    @property
    def attributes(self) -> list[str]:
        """The attributes that it is made for, each once."""
        return list(dict.fromkeys([*self.reweighing, *self.threshold]))

    @property
    def unweighted(self) -> Plan:
        """The same without reweighing."""
        return replace(self, reweighing=())

    def as_dict(self) -> dict[str, Any]:
        """The canonical form, which `of` reads; empty without a mitigation."""
        if self.method == "none":
            return {}
        found: dict[str, Any] = {
            name: list(getattr(self, name)) for name in (REWEIGHING, THRESHOLD) if getattr(self, name)
        }
        return found | ({"max_accuracy_loss": self.max_accuracy_loss} if self.threshold else {})


def _attributes(given: Any, name: str, protected: Sequence[str]) -> tuple[str, ...]:
    if given is None:
        return ()
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise MitigationMistake(f"{name} takes a list of protected attributes.")
    if strangers := [one for one in given if one not in protected]:
        raise MitigationMistake(
            f"{', '.join(strangers)} is not a protected attribute of these data; they declare {', '.join(protected) or 'none'}."
        )
    return tuple(dict.fromkeys(given))


@dataclass(frozen=True)
class Choice:
    """A cut-off with what it was chosen by, on the rows set aside: gaps and accuracies at the cut-off asked for and at the chosen one."""

    asked: float
    chosen: float
    rows: int
    gap_asked: float
    gap_chosen: float
    accuracy_asked: float
    accuracy_chosen: float

    def as_dict(self) -> dict[str, float | int]:
        """JSON form, rounded to six digits."""
        return {name: value if isinstance(value, int) else round(value, 6) for name, value in vars(self).items()}


def joint_groups(frame: pd.DataFrame, names: Sequence[str], schema: TableSchema) -> Groups:
    """The group of each row by all of `names` together, as text `(n,)`."""
    attributes = {attribute.name: attribute for attribute in schema.protected}
    found = groups_of(frame, attributes[names[0]], schema)
    for name in names[1:]:
        found = intersect(found, groups_of(frame, attributes[name], schema))
    return found


def weights(label: Floats, groups: Groups) -> Floats:
    """The weight of each row `(n,)`: expected over observed share of its group and outcome together. They add up to `n`."""
    codes, names = pd.factorize(groups)
    cell = 2 * codes + label.astype(np.int64)
    observed = np.bincount(cell, minlength=2 * len(names)).astype(np.float64)
    by_group, by_label = np.bincount(codes, minlength=len(names)), np.bincount(label.astype(np.int64), minlength=2)
    expected = np.outer(by_group, by_label).ravel() / len(label)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = (expected / observed)[cell]
    return found


def weight_table(label: Floats, groups: Groups, weight: Floats) -> list[dict[str, Any]]:
    """One row for each group and outcome, for the record."""
    frame = pd.DataFrame({"group": groups, "outcome": label.astype(int), "weight": weight})
    rows = frame.groupby(["group", "outcome"], sort=True)["weight"].agg(["size", "first"]).reset_index()
    return [
        {
            "group": str(row["group"]),
            "outcome": int(row["outcome"]),
            "rows": int(row["size"]),
            "weight": round(float(row["first"]), 6),
        }
        for row in rows.to_dict("records")
    ]


def choose_cutoff(
    label: Floats, score: Floats, groups: Mapping[str, Groups], *, asked: float, max_accuracy_loss: float
) -> Choice:
    """The cut-off from 0.05 to 0.95 with the smallest worst gap among those that lose at most `max_accuracy_loss` of accuracy.

    Groups with fewer than 20 positive rows decide nothing. Of equally good ones the nearest to the cut-off asked for; that itself
    where nothing is better. Arrays are `(n,)`, of rows that neither the model learned from nor the result is judged on.
    """
    members = _members(label, groups)
    candidates = sorted({asked, *GRID.tolist()}, key=lambda cutoff: abs(cutoff - asked))
    gaps = {cutoff: _worst_gap(label, score, members, cutoff) for cutoff in candidates}
    right = {cutoff: float(np.mean((score >= cutoff) == (label == 1))) for cutoff in candidates}
    allowed = [cutoff for cutoff in candidates if right[cutoff] >= right[asked] - max_accuracy_loss]
    chosen = min(allowed, key=lambda cutoff: (round(gaps[cutoff], 9), abs(cutoff - asked)))
    return Choice(asked, chosen, len(label), gaps[asked], gaps[chosen], right[asked], right[chosen])


def _members(label: Floats, groups: Mapping[str, Groups]) -> list[npt.NDArray[np.bool_]]:
    """The positive rows of each group that has enough of them."""
    found = [(values == group) & (label == 1) for values in groups.values() for group in pd.unique(values)]
    return [rows for rows in found if rows.sum() >= MIN_POSITIVES]


def _worst_gap(label: Floats, score: Floats, members: Sequence[npt.NDArray[np.bool_]], cutoff: float) -> float:
    selected = score >= cutoff
    overall = selected[label == 1].mean() if (label == 1).any() else 0.0
    return max((abs(float(selected[rows].mean() - overall)) for rows in members), default=0.0)


def row_weights(frame: pd.DataFrame, plan: Plan, schema: TableSchema) -> Floats | None:
    """The training rows' weights under `plan`; None where it does not reweigh."""
    if not plan.reweighing:
        return None
    return weights(positive(frame[schema.label]), joint_groups(frame, plan.reweighing, schema))
