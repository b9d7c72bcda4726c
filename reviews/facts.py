"""Decides which facts a policy's rules may use: their names, types and meanings, and how evidence becomes them. Pure.

A fact whose evidence is missing is absent, and a rule that asks for it ends as an error, which blocks. Every fact of the
candidate exists a second time under `production.`, for the version that holds the stage's alias now.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from foundation.cel import FactType, Language
from registry import cards

Content = Mapping[str, Any]
Facts = dict[str, Any]

METRICS: Final = {
    "auc": "area under the ROC curve on the held-out rows",
    "average_precision": "average precision",
    "log_loss": "logarithmic loss, lower is better",
    "brier": "Brier score, lower is better",
    "ece": "expected calibration error, lower is better",
    "accuracy": "share of right decisions at the cut-off",
    "precision": "share of positive decisions that are right",
    "recall": "share of positives that are found",
    "selection_rate": "share of positive decisions",
}
METRIC_NAMES: Final = {
    "auc": "AUC",
    "average_precision": "Average precision",
    "log_loss": "Log loss",
    "brier": "Brier score",
    "ece": "Calibration error",
    "accuracy": "Accuracy",
    "precision": "Precision",
    "recall": "Recall",
    "selection_rate": "Selection rate",
}
"""How pages name them."""
LOWER_IS_BETTER: Final = frozenset({"log_loss", "brier", "ece"})
ENOUGH_TO_FLIP: Final = 200
INTERSECTION: Final = " × "
"""How evidence names two attributes together: `race × age`."""
EXPECTED_EVIDENCE: Final = (
    "scan",
    "metrics",
    "curves",
    "calibration",
    "slices",
    "fairness",
    "importance",
    "environment",
    "data",
    "signature",
)


@dataclass(frozen=True)
class FactField:
    """One name that rules may use."""

    name: str
    type: FactType
    meaning: str


def _estimate_fields(name: str, meaning: str) -> Iterable[FactField]:
    yield FactField(name, FactType.NUMBER, meaning)
    yield FactField(f"{name}_low", FactType.NUMBER, f"lower end of the 95% interval: {meaning}")
    yield FactField(f"{name}_high", FactType.NUMBER, f"upper end of the 95% interval: {meaning}")


def _metric_fields() -> Iterable[FactField]:
    for name, meaning in METRICS.items():
        yield from _estimate_fields(f"metrics.{name}", meaning)


def _difference_fields() -> Iterable[FactField]:
    for name, meaning in METRICS.items():
        yield from _estimate_fields(
            f"comparison.{name}_difference", f"this version minus the other on the same rows: {meaning}"
        )
    yield from _estimate_fields(
        "comparison.worst_gap_difference", "worst gap of this version minus that of the other; above zero it is wider"
    )


OWN_FIELDS: Final = (
    *_metric_fields(),
    FactField("metrics.holdout_rows", FactType.WHOLE, "rows that were held out"),
    FactField("metrics.cutoff", FactType.NUMBER, "score from which the decision is positive"),
    FactField("calibration.ece", FactType.NUMBER, "expected calibration error over the bins shown"),
    FactField(
        "fairness.worst_gap",
        FactType.NUMBER,
        "equal opportunity: how far the true-positive rate of the worst group is from the overall one, as a positive number",
    ),
    FactField("fairness.worst_gap_low", FactType.NUMBER, "lower end of the 95% interval of the worst gap"),
    FactField("fairness.worst_gap_high", FactType.NUMBER, "upper end of the 95% interval of the worst gap"),
    FactField("fairness.worst_group", FactType.TEXT, "attribute and group of the worst gap"),
    FactField("fairness.gaps", FactType.NUMBERS, "worst gap by protected attribute"),
    FactField("fairness.gaps_low", FactType.NUMBERS, "lower end of the 95% interval of the worst gap, by attribute"),
    FactField("fairness.gaps_high", FactType.NUMBERS, "upper end of the 95% interval of the worst gap, by attribute"),
    FactField("fairness.smallest_group", FactType.COUNTS, "held-out rows of the smallest group, by attribute"),
    FactField(
        "fairness.smallest_positives", FactType.COUNTS, "fewest positive outcomes held out in any group, by attribute"
    ),
    FactField(
        "fairness.judged_share", FactType.NUMBERS, "share of people in groups large enough to judge, by attribute"
    ),
    FactField("fairness.insufficient", FactType.COUNTS, "groups with too few rows to say anything, by attribute"),
    FactField("fairness.insufficient_names", FactType.TEXTS, "those groups by name"),
    FactField("fairness.worst_intersection", FactType.TEXT, "the pair of attributes and group of the widest such gap"),
    FactField(
        "fairness.worst_intersection_gap",
        FactType.NUMBER,
        "widest gap of any group by two protected attributes together, as a positive number",
    ),
    FactField(
        "fairness.worst_intersection_gap_low",
        FactType.NUMBER,
        "lower end of its interval, which holds for all such groups at once",
    ),
    FactField(
        "fairness.worst_intersection_gap_high",
        FactType.NUMBER,
        "upper end of its interval, which holds for all such groups at once",
    ),
    FactField("fairness.intersections", FactType.WHOLE, "groups by two attributes that could be judged"),
    FactField("fairness.insufficient_intersections", FactType.WHOLE, "groups by two attributes that were too small"),
    FactField("fairness.attributes", FactType.TEXTS, "protected attributes that were measured"),
    FactField("fairness.unmeasured", FactType.TEXTS, "protected attributes of the data that were not measured"),
    FactField("fairness.insufficient_groups", FactType.WHOLE, "groups with too few rows to say anything"),
    FactField(
        "slices.worst_auc",
        FactType.NUMBER,
        "lowest area under the ROC curve of any group by one attribute with enough rows",
    ),
    FactField("slices.worst_auc_group", FactType.TEXT, "the group with that area"),
    FactField("slices.intersections", FactType.WHOLE, "groups by two attributes with enough rows"),
    FactField(
        "slices.worst_intersection_auc",
        FactType.NUMBER,
        "lowest area under the ROC curve of any group by two attributes with enough rows",
    ),
    FactField("slices.worst_intersection_auc_group", FactType.TEXT, "the group with that area"),
    FactField("data.rows", FactType.WHOLE, "rows of the dataset version"),
    FactField("data.digest", FactType.TEXT, "SHA-256 of the dataset version's bytes"),
    FactField("data.fingerprinted", FactType.FLAG, "dataset, version and digest are recorded"),
    FactField("data.protected", FactType.TEXTS, "columns with protected attributes"),
    FactField("data.train_years", FactType.TEXTS, "periods it learned from"),
    FactField("data.test_years", FactType.TEXTS, "periods it was tested on"),
    FactField("data.shared_years", FactType.TEXTS, "periods that are in both"),
    FactField(
        "data.years_apart", FactType.WHOLE, "whole years from the newest training period to the oldest held-out one"
    ),
    FactField("data.held_out", FactType.FLAG, "some rows were held out, and no period is in both training and test"),
    FactField("environment.python", FactType.TEXT, "Python version"),
    FactField("environment.packages", FactType.WHOLE, "packages in the lock"),
    FactField("environment.locked", FactType.FLAG, "every package is pinned to one version"),
    FactField("environment.unpinned", FactType.TEXTS, "packages without a version"),
    FactField("scan.admitted", FactType.FLAG, "the admission scan let the files in"),
    FactField("scan.reasons", FactType.TEXTS, "reason codes of the scan"),
    FactField("signature.inputs", FactType.WHOLE, "columns in the input signature"),
    FactField("card.completeness", FactType.NUMBER, "share of the card's sections that say something"),
    FactField("card.missing", FactType.TEXTS, "sections of the card that say nothing"),
    FactField("evidence.kinds", FactType.TEXTS, "kinds of evidence for exactly these bytes"),
    FactField(
        "evidence.missing", FactType.TEXTS, "kinds of evidence that a classifier should have and that are missing"
    ),
    FactField(
        "evidence.measured_after_policy",
        FactType.FLAG,
        "the evaluation was made when the policies that judge it were in force already, so that limits came first",
    ),
    FactField(
        "evidence.discounted",
        FactType.TEXTS,
        "kinds of evidence whose newest is by somebody whom the policy does not list",
    ),
    FactField("comparison.exists", FactType.FLAG, "there is a paired comparison with an earlier version"),
    FactField("comparison.against", FactType.WHOLE, "the version that it was compared with"),
    FactField(
        "comparison.current",
        FactType.FLAG,
        "nothing is live to compare with, or the comparison is with the version that is live now",
    ),
    *_difference_fields(),
    FactField("comparison.rows", FactType.WHOLE, "held-out rows on which both were asked"),
    FactField("comparison.flip_share", FactType.NUMBER, "share of held-out rows whose decision changes"),
    FactField("comparison.to_positive", FactType.WHOLE, "held-out rows whose decision becomes positive"),
    FactField("comparison.to_negative", FactType.WHOLE, "held-out rows whose decision becomes negative"),
    FactField(
        "comparison.worst_flip_group", FactType.TEXT, "the group, of 200 rows or more, with the most changed decisions"
    ),
    FactField("comparison.worst_flip_share", FactType.NUMBER, "share of that group's decisions that change"),
    FactField("mitigation.method", FactType.TEXT, "none, reweighing, threshold, or reweighing + threshold"),
    FactField("mitigation.attributes", FactType.TEXTS, "protected attributes that the mitigation was made for"),
    FactField("mitigation.gap_before", FactType.NUMBER, "worst gap on the held-out rows without the mitigation"),
    FactField("mitigation.gap_after", FactType.NUMBER, "worst gap on the held-out rows with it"),
    FactField("version.number", FactType.WHOLE, "number of the version"),
    FactField("model.tier", FactType.WHOLE, "risk tier: 1 high, 2 medium, 3 low"),
)
EXISTS: Final = FactField("production.exists", FactType.FLAG, "a version holds this stage's alias now")
LIVE_FIELDS: Final = tuple(
    FactField(f"production.{own.name}", own.type, f"of the version now live: {own.meaning}") for own in OWN_FIELDS
)
FIELDS: Final = (*OWN_FIELDS, EXISTS, *LIVE_FIELDS)
SCHEMA: Final = {one.name: one.type for one in FIELDS}
LANGUAGE: Final = Language(SCHEMA)


@dataclass(frozen=True)
class VersionFacts:
    """What is known of one version, before it becomes named facts: newest evidence that counts by kind, the card's sections,
    number and tier. `discounted`: by kind, the sentence that says why its newest evidence does not count.
    """

    number: int
    tier: int
    evidence: Mapping[str, Content] = field(default_factory=dict)
    card: Mapping[str, str] = field(default_factory=dict)
    discounted: Mapping[str, str] = field(default_factory=dict)
    measured_after_policy: bool | None = None


def facts_for(candidate: VersionFacts, production: VersionFacts | None) -> Facts:
    """All facts of a decision: the candidate's, and those of the version now live under `production.`."""
    facts = facts_of(candidate)
    facts["production.exists"] = production is not None
    facts["comparison.current"] = production is None or facts.get("comparison.against") == production.number
    if production is not None:
        facts |= {f"production.{name}": value for name, value in facts_of(production).items()}
    return facts


def production_side(facts: Facts) -> Facts:
    """The same names, but holding what is true of the version now live: for showing its value beside the candidate's."""
    prefix = "production."
    return {
        name.removeprefix(prefix): value
        for name, value in facts.items()
        if name.startswith(prefix) and name != EXISTS.name
    }


def facts_of(version: VersionFacts) -> Facts:
    """The facts of one version; those whose evidence is missing or malformed are left out."""
    facts: Facts = {"version.number": version.number, "model.tier": version.tier}
    facts |= _evidence_facts(version.evidence) | _card_facts(version.card)
    for kind, derive in _DERIVATIONS.items():
        content = version.evidence.get(kind)
        if content is not None:
            facts |= derive(content)
    facts["comparison.exists"] = "comparison" in version.evidence
    facts["evidence.discounted"] = sorted(version.discounted)
    facts["evidence.measured_after_policy"] = version.measured_after_policy
    facts |= _unmeasured(facts)
    return {name: value for name, value in facts.items() if value is not None}


def estimate(content: Content, name: str) -> dict[str, float]:
    """`value`, `low` and `high` of an estimate as far as they are there; a plain number is a value without interval."""
    found = content.get(name)
    if isinstance(found, int | float) and not isinstance(found, bool):
        return {"value": float(found)}
    if not isinstance(found, Mapping):
        return {}
    return {part: float(found[part]) for part in ("value", "low", "high") if isinstance(found.get(part), int | float)}


def gap(content: Content) -> dict[str, float]:
    """An equal-opportunity gap as a magnitude: a group that is worse off is no pass because somebody wrote it with a minus sign."""
    found = estimate(content, "equal_opportunity_gap")
    if found.get("value", 0.0) >= 0:
        return found
    ends = {"low": "high", "high": "low", "value": "value"}
    return {ends[part]: -value for part, value in found.items()}


def _named(prefix: str, parts: Mapping[str, float]) -> Facts:
    return {prefix if part == "value" else f"{prefix}_{part}": value for part, value in parts.items()}


def _metrics(content: Content) -> Facts:
    measured = content.get("metrics") or {}
    facts: Facts = {}
    for name in METRICS:
        facts |= _named(f"metrics.{name}", estimate(measured, name))
    facts["metrics.holdout_rows"] = _whole((content.get("holdout") or {}).get("rows"))
    facts |= _named("metrics.cutoff", estimate(content, "cutoff"))
    return facts


def _calibration(content: Content) -> Facts:
    return {"calibration.ece": estimate(content, "ece").get("value")}


def _fairness(content: Content) -> Facts:
    attributes = content.get("attributes") or {}
    worst = content.get("worst") or {}
    gaps = {name: gap(found).get("value") for name, found in attributes.items()}
    groups = [group for found in attributes.values() for group in found.get("groups", [])]
    facts: Facts = {
        "fairness.attributes": sorted(attributes),
        "fairness.gaps": {name: width for name, width in gaps.items() if width is not None},
        "fairness.insufficient_groups": sum(1 for group in groups if _insufficient(group)),
        "fairness.worst_group": f"{worst['attribute']}: {worst['group']}"
        if "group" in worst and "attribute" in worst
        else None,
    }
    return (
        facts
        | _named("fairness.worst_gap", gap(worst))
        | _sizes(attributes)
        | _intersections(content)
        | _mitigation(content)
    )


def _sizes(attributes: Mapping[str, Content]) -> Facts:
    """How much there is to judge on, by attribute: what a rule needs in order to say "not enough" instead of "passed"."""
    groups = {name: list(found.get("groups") or []) for name, found in attributes.items()}
    gaps = {name: gap(found) for name, found in attributes.items()}
    return {
        "fairness.gaps_low": {name: found["low"] for name, found in gaps.items() if "low" in found},
        "fairness.gaps_high": {name: found["high"] for name, found in gaps.items() if "high" in found},
        "fairness.smallest_group": _smallest(groups, "n"),
        "fairness.smallest_positives": _smallest(groups, "positives"),
        "fairness.judged_share": {
            name: share for name, rows in groups.items() if (share := _judged_share(rows)) is not None
        },
        "fairness.insufficient": {name: sum(map(_insufficient, rows)) for name, rows in groups.items()},
        "fairness.insufficient_names": [
            f"{name}: {group['group']}" for name, rows in groups.items() for group in rows if _insufficient(group)
        ],
    }


def _smallest(groups: Mapping[str, Sequence[Content]], size: str) -> dict[str, int]:
    """The smallest `size` of any group, by attribute; attributes of which one group does not say it are left out."""
    found = {name: [_whole(group.get(size)) for group in rows] for name, rows in groups.items()}
    return {
        name: min(known)
        for name, sizes in found.items()
        if len(known := [size for size in sizes if size is not None]) == len(sizes) and known
    }


def _judged_share(groups: Sequence[Content]) -> float | None:
    sizes = [_whole(group.get("n")) or 0 for group in groups]
    judged = sum(size for size, group in zip(sizes, groups, strict=True) if not _insufficient(group))
    return judged / sum(sizes) if sum(sizes) else None


def _insufficient(group: Content) -> bool:
    return group.get("sufficient") is False


def _intersections(content: Content) -> Facts:
    found = content.get("intersections")
    if not isinstance(found, Mapping):
        return {}
    groups = [group for one in found.values() for group in one.get("groups") or []]
    worst = content.get("worst_intersection") or {}
    facts: Facts = {
        "fairness.intersections": sum(1 for group in groups if not _insufficient(group)),
        "fairness.insufficient_intersections": sum(map(_insufficient, groups)),
    }
    if "attribute" in worst and "group" in worst:
        facts["fairness.worst_intersection"] = f"{worst['attribute']}: {worst['group']}"
    return facts | _named("fairness.worst_intersection_gap", gap(worst))


def _mitigation(content: Content) -> Facts:
    found = content.get("mitigation") or {}
    before, after = (found.get(name) or {} for name in ("before", "after"))
    return {
        "mitigation.method": str(found.get("method") or "none"),
        "mitigation.attributes": _texts(found.get("attributes")),
        "mitigation.gap_before": gap({"equal_opportunity_gap": before.get("worst_gap")}).get("value"),
        "mitigation.gap_after": gap({"equal_opportunity_gap": after.get("worst_gap")}).get("value"),
    }


def _slices(content: Content) -> Facts:
    """Groups by one attribute apart from those by two: where an attribute is held fixed, there is less left to rank people by."""
    enough = [one for one in content.get("slices") or [] if one.get("sufficient") is not False]
    pairs = [one for one in enough if INTERSECTION in str(one.get("attribute"))]
    single = [one for one in enough if one not in pairs]
    return {
        "slices.intersections": len(pairs),
        **_lowest_auc("slices.worst_auc", single),
        **_lowest_auc("slices.worst_intersection_auc", pairs),
    }


def _lowest_auc(name: str, groups: Iterable[Content]) -> Facts:
    measured = [(estimate(one, "auc").get("value"), f"{one.get('attribute')}: {one.get('group')}") for one in groups]
    known = [(value, group) for value, group in measured if value is not None]
    if not known:
        return {}
    value, group = min(known)
    return {name: value, f"{name}_group": group}


def _data(content: Content) -> Facts:
    train, test = _texts(content.get("train_years")), _texts(content.get("test_years"))
    shared = sorted(set(train) & set(test))
    digest = str(content.get("digest") or "")
    return {
        "data.rows": _whole(content.get("rows")),
        "data.digest": digest,
        "data.fingerprinted": bool(digest and content.get("dataset") and content.get("version")),
        "data.protected": [str(name) for name in content.get("protected") or []],
        "data.train_years": train,
        "data.test_years": test,
        "data.shared_years": shared,
        "data.years_apart": _whole(content.get("years_apart")),
        "data.held_out": not shared and bool((train and test) or _whole(content.get("test_rows"))),
    }


def _environment(content: Content) -> Facts:
    packages = [str(line) for line in content.get("packages") or []]
    unpinned = [line for line in packages if "==" not in line]
    return {
        "environment.python": str(content.get("python") or ""),
        "environment.packages": len(packages),
        "environment.unpinned": unpinned,
        "environment.locked": bool(packages and not unpinned),
    }


def _scan(content: Content) -> Facts:
    reasons = [str(reason.get("code", "")) for reason in content.get("reasons") or []]
    return {"scan.admitted": content.get("verdict") == "admitted", "scan.reasons": reasons}


def _signature(content: Content) -> Facts:
    return {"signature.inputs": len(content.get("inputs") or [])}


def _comparison(content: Content) -> Facts:
    flips = content.get("decision_flips") or {}
    rows, changed = _whole(flips.get("rows")), _whole(flips.get("changed"))
    differences = {"auc": content.get("auc_difference")} | dict(content.get("differences") or {})
    facts: Facts = {
        "comparison.against": _whole(content.get("against")),
        "comparison.rows": rows,
        "comparison.to_positive": _whole(flips.get("to_positive")),
        "comparison.to_negative": _whole(flips.get("to_negative")),
        "comparison.flip_share": changed / rows if rows and changed is not None else None,
    }
    for name in METRICS:
        facts |= _named(f"comparison.{name}_difference", estimate(differences, name))
    facts |= _named("comparison.worst_gap_difference", estimate(content, "worst_gap_difference"))
    return facts | _worst_flips(content.get("flips_by_group") or [])


def _worst_flips(groups: Sequence[Content]) -> Facts:
    shares = [
        (
            (_whole(one.get("to_positive")) or 0) + (_whole(one.get("to_negative")) or 0),
            _whole(one.get("rows")) or 0,
            one,
        )
        for one in groups
    ]
    enough = [
        (changed / rows, f"{one.get('attribute')}: {one.get('group')}")
        for changed, rows, one in shares
        if rows >= ENOUGH_TO_FLIP
    ]
    if not enough:
        return {}
    share, name = max(enough)
    return {"comparison.worst_flip_group": name, "comparison.worst_flip_share": share}


_DERIVATIONS: Final = {
    "metrics": _metrics,
    "calibration": _calibration,
    "fairness": _fairness,
    "slices": _slices,
    "data": _data,
    "environment": _environment,
    "scan": _scan,
    "signature": _signature,
    "comparison": _comparison,
}


def _evidence_facts(evidence: Mapping[str, Content]) -> Facts:
    return {
        "evidence.kinds": sorted(evidence),
        "evidence.missing": [kind for kind in EXPECTED_EVIDENCE if kind not in evidence],
    }


def _card_facts(card: Mapping[str, str]) -> Facts:
    return {
        "card.missing": [section.title for section in cards.missing(card)],
        "card.completeness": cards.completeness(card),
    }


def _unmeasured(facts: Facts) -> Facts:
    if "data.protected" not in facts or "fairness.attributes" not in facts:
        return {}
    measured = {name.casefold() for name in facts["fairness.attributes"]}
    return {"fairness.unmeasured": [name for name in facts["data.protected"] if name.casefold() not in measured]}


def _whole(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _texts(values: Sequence[Any] | None) -> list[str]:
    return [str(value) for value in values or []]
