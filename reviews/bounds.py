"""Decides whether a retrained version stays within the bounds that reviewers signed in advance. Pure.

A bounds document is closed, and complete: every setting of the training has to be named, and one that is not is outside. Every bound
yields a requirement with what was measured and what is required; what cannot be evaluated is outside too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from foundation.refusals import Invalid, Requirement, RequirementStatus
from reviews.facts import METRIC_NAMES, METRICS, Facts

NUMBER: Final = (int, float)
SEED: Final = "random_state"
MOST_USES: Final = 50


class Setting(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What one setting of the training may be: a number between `low` and `high` (both included), or one of `allowed`."""

    low: float | None = None
    high: float | None = None
    allowed: tuple[Any, ...] = ()

    def admits(self, value: Any) -> bool:
        """Whether `value` is within."""
        if self.allowed:
            return any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in self.allowed)
        number = isinstance(value, NUMBER) and not isinstance(value, bool)
        return number and self.low is not None and self.high is not None and self.low <= value <= self.high

    def __str__(self) -> str:
        if self.allowed:
            return " or ".join(_written(one) for one in self.allowed)
        return f"{_written(self.low)} to {_written(self.high)}"


class MetricBound(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """That a metric may not be worse than the champion's by more than `margin`; `better` is `higher` or `lower`."""

    metric: str
    margin: float
    better: str = "higher"

    @property
    def metric_name(self) -> str:
        """How pages name the metric."""
        return METRIC_NAMES.get(self.metric, self.metric)


class Bounds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that a retrained version may be without a new round.

    `dataset`: name of the dataset. `recipe`: its digest. `features`: exactly these columns. `settings`: of the algorithm, by name.
    `worst_gap_at_most`: upper interval end of the worst equal-opportunity gap. `max_uses`: how many versions may go live by it.
    """

    dataset: str
    recipe: str
    features: tuple[str, ...]
    algorithm: str
    settings: dict[str, Setting]
    metrics: tuple[MetricBound, ...]
    worst_gap_at_most: float
    max_uses: int = 4

    def as_dict(self) -> dict[str, Any]:
        """As JSON types, as stored and hashed."""
        found: dict[str, Any] = json.loads(msgspec.json.encode(self))
        return found


@dataclass(frozen=True)
class Made:
    """How a version came to be, as far as it is known: empty where it is not."""

    by_training: bool
    dataset: str
    recipe: str
    features: tuple[str, ...]
    algorithm: str
    settings: Mapping[str, Any]


def parse(content: Mapping[str, Any]) -> Bounds:
    """The document that `content` is; raises `Invalid` naming what is wrong with it."""
    try:
        bounds = msgspec.convert(content, Bounds)
    except msgspec.ValidationError as error:
        raise _invalid(f"{error}.") from error
    for flaw in _flaws(bounds):
        raise _invalid(flaw)
    return bounds


def _invalid(flaw: str) -> Invalid:
    return Invalid(f"These bounds cannot be signed: {flaw}", code="bounds-invalid", errors={"bounds": flaw})


def _flaws(bounds: Bounds) -> Iterable[str]:
    if not bounds.features or not bounds.dataset or not bounds.recipe or not bounds.algorithm:
        yield "Name the dataset, the recipe, the features and the algorithm."
    if not bounds.metrics:
        yield "Name at least one metric that may not become worse than the champion's."
    for one in bounds.metrics:
        if one.metric not in METRICS:
            yield f"{one.metric} is not a metric; choose of {', '.join(METRICS)}."
        if one.better not in {"higher", "lower"} or not 0 <= one.margin <= 0.5:
            yield f"{one.metric} needs a margin from 0 to 0.5, and higher or lower as what is better."
    for name, setting in bounds.settings.items():
        ranged = setting.low is not None and setting.high is not None and setting.low <= setting.high
        if bool(setting.allowed) == ranged:
            yield f"{name} needs either low and high, or a list of allowed values."
    if not 0 <= bounds.worst_gap_at_most <= 1:
        yield "The worst gap lies between 0 and 1."
    if not 1 <= bounds.max_uses <= MOST_USES:
        yield f"From 1 to {MOST_USES} versions may go live by one envelope."


def evaluate(bounds: Bounds, made: Made, facts: Facts, *, uses: int, link: str = "") -> tuple[Requirement, ...]:
    """Every bound with what was measured. `uses`: how many versions went live by the envelope before."""
    rows = (
        _row(
            "made",
            "Trained here",
            made.by_training,
            "a training job" if made.by_training else "registered by hand",
            "a training job",
        ),
        _row("data", "Data source", made.dataset == bounds.dataset, made.dataset, bounds.dataset),
        _row("recipe", "Recipe", made.recipe == bounds.recipe, made.recipe[:12], bounds.recipe[:12]),
        _features(bounds.features, made.features),
        _row("algorithm", "Algorithm", made.algorithm == bounds.algorithm, made.algorithm, bounds.algorithm),
        *_settings(bounds.settings, made.settings),
        *(_metric(one, facts) for one in bounds.metrics),
        _gap(bounds.worst_gap_at_most, facts),
        _row("uses", "Uses of the envelope", uses < bounds.max_uses, str(uses), f"fewer than {bounds.max_uses}"),
    )
    return tuple(replace(row, link=link) for row in rows)


def _row(key: str, title: str, holds: bool | None, measured: str, required: str) -> Requirement:
    """`holds` is None where it cannot be told, which is outside as well."""
    known = holds is not None
    status = (
        RequirementStatus.SATISFIED if holds else RequirementStatus.UNSATISFIED if known else RequirementStatus.ERROR
    )
    explanation = "" if holds else f"Outside the envelope: {measured or 'not known'} instead of {required}."
    return Requirement(
        f"bound-{key}",
        title,
        status,
        measured=measured or "not known",
        required=required,
        explanation=explanation,
        cleared_by="" if holds else "Reviewers, by a normal review of this version",
    )


def _features(bound: Sequence[str], used: Sequence[str]) -> Requirement:
    added, removed = sorted(set(used) - set(bound)), sorted(set(bound) - set(used))
    said = [f"with {', '.join(added)}"] if added else []
    said += [f"without {', '.join(removed)}"] if removed else []
    same = not added and not removed
    measured = "the same" if same else " and ".join(said) if used else ""
    return _row("features", "Features", same if used else None, measured, f"exactly {len(bound)}")


def _settings(bounds: Mapping[str, Setting], used: Mapping[str, Any]) -> Iterable[Requirement]:
    for name in sorted(bounds.keys() | used.keys() - {SEED}):
        title = f"Setting {name.replace('_', ' ')}"
        if name not in bounds:
            yield _row(f"setting-{name}", title, False, _written(used[name]), "not set: the envelope does not name it")
        elif name not in used:
            yield _row(f"setting-{name}", title, None, "", str(bounds[name]))
        else:
            yield _row(
                f"setting-{name}", title, bounds[name].admits(used[name]), _written(used[name]), str(bounds[name])
            )


def _metric(bound: MetricBound, facts: Facts) -> Requirement:
    """By the end of the interval that is worse: of the paired difference with the champion where it is known, else end against end."""
    higher = bound.better == "higher"
    end = "low" if higher else "high"
    sign = 1 if higher else -1
    paired = facts.get(f"comparison.{bound.metric}_difference_{end}") if facts.get("comparison.current") else None
    own, champion = facts.get(f"metrics.{bound.metric}_{end}"), facts.get(f"production.metrics.{bound.metric}_{end}")
    difference = paired if paired is not None else own - champion if own is not None and champion is not None else None
    holds = None if difference is None else sign * difference >= -bound.margin
    measured = "" if difference is None else f"{difference:+.4f}"
    limit = f"{-sign * bound.margin:+.4f}"
    return _row(
        f"metric-{bound.metric}",
        f"{METRICS[bound.metric]} against the champion".capitalize(),
        holds,
        measured,
        f"at {'least' if higher else 'most'} {limit}",
    )


def _gap(most: float, facts: Facts) -> Requirement:
    gap = facts.get("fairness.worst_gap_high", facts.get("fairness.worst_gap"))
    holds = None if gap is None else gap <= most
    return _row(
        "worst-gap", "Worst equal-opportunity gap", holds, "" if gap is None else f"{gap:.3f}", f"at most {most:g}"
    )


def _written(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else "none" if value is None else str(value)
