"""Everything that differs from the version it is compared with: parameters, schema, data, environment, code, importance, decisions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from foundation.charts import Drawing, Weight, importance
from reviews.sections.fairness import Mitigation, mitigation
from reviews.sections.measured import Measured


@dataclass(frozen=True)
class DiffRow:
    """One field on both sides; empty text means that it is not present."""

    field: str
    kind: str
    before: str
    after: str

    @property
    def same(self) -> bool:
        """Whether nothing changed."""
        return self.before == self.after


@dataclass(frozen=True)
class Flips:
    """How many held-out rows get another decision."""

    rows: int
    changed: int
    to_positive: int
    to_negative: int
    by_group: Sequence[GroupFlips]
    to_right: int | None = None

    @property
    def share(self) -> float:
        """The share of all rows."""
        return self.changed / self.rows


@dataclass(frozen=True)
class GroupFlips:
    """The same for one group."""

    attribute: str
    group: str
    rows: int
    to_positive: int
    to_negative: int

    @property
    def changed(self) -> int:
        """In either direction."""
        return self.to_positive + self.to_negative

    @property
    def share(self) -> float | None:
        """The share of the group's rows; None where they were not counted."""
        return self.changed / self.rows if self.rows else None


@dataclass(frozen=True)
class Changes:
    """Everything that the section shows."""

    rows: Sequence[DiffRow]
    importance: Drawing
    importance_rows: Sequence[Sequence[str]]
    flips: Flips | None
    mitigation: Mitigation | None
    stale_against: int | None

    @property
    def differences(self) -> int:
        """How many fields differ."""
        return sum(1 for row in self.rows if not row.same)


def changes(new: Measured, old: Measured | None) -> Changes:
    """The section; without `old`, importance alone."""
    before = {one["feature"]: one for one in (old.content("importance").get("features") or [])} if old else {}
    weights = [
        Weight(str(one["feature"]), float(one["mean"]), _mean(before.get(one["feature"])))
        for one in new.content("importance").get("features") or []
        if isinstance(one.get("mean"), int | float)
    ]
    return Changes(
        tuple(_rows(new, old)) if old else (),
        importance(weights, candidate=new.name, baseline=old.name if old else ""),
        [[weight.feature, f"{weight.value:.4f}"] for weight in weights],
        _flips(new, old),
        mitigation(new.content("fairness")),
        _stale_against(new, old),
    )


def _stale_against(new: Measured, old: Measured | None) -> int | None:
    """The version that it was compared with, where that is not the one it stands beside."""
    against = new.content("comparison").get("against")
    return int(against) if old and against is not None and against != old.version.number else None


def _mean(found: Mapping[str, Any] | None) -> float | None:
    return float(found["mean"]) if found and isinstance(found.get("mean"), int | float) else None


def _rows(new: Measured, old: Measured) -> Iterable[DiffRow]:
    yield from _pairs("parameter", _parameters(old), _parameters(new))
    yield from _pairs("schema", _columns(old), _columns(new))
    yield from _pairs("data", _data(old), _data(new))
    yield from _pairs("environment", _packages(old), _packages(new))
    yield DiffRow("code", "code", old.version.code_reference, new.version.code_reference)


def _pairs(kind: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterable[DiffRow]:
    for name in [*before, *(name for name in after if name not in before)]:
        yield DiffRow(name, kind, before.get(name, ""), after.get(name, ""))


def _parameters(side: Measured) -> dict[str, str]:
    metrics = side.content("metrics")
    found = {"flavour": side.version.flavour, "cut-off": str(metrics.get("cutoff", ""))}
    done = side.content("fairness").get("mitigation") or {}
    if done:
        found["mitigation"] = ", ".join([str(done.get("method", "none")), *map(str, done.get("attributes") or [])])
    parameters = metrics.get("parameters") or side.content("data").get("parameters") or {}
    return found | {str(name): _text(value) for name, value in parameters.items()}


def _columns(side: Measured) -> dict[str, str]:
    return {
        f"input.{one.get('name')}": str(one.get("type", "")) for one in side.content("signature").get("inputs") or []
    }


def _data(side: Measured) -> dict[str, str]:
    content = side.content("data")
    names = {
        "dataset": "dataset",
        "version": "dataset version",
        "rows": "rows",
        "train_rows": "training rows",
        "test_rows": "held-out rows",
        "train_years": "training periods",
        "test_years": "held-out periods",
        "digest": "data digest",
    }
    found = {label: _text(content[name]) for name, label in names.items() if name in content}
    recipe = side.version.recipe
    return found | ({"recipe": f"{recipe.name} {recipe.number}"} if recipe else {})


def _packages(side: Measured) -> dict[str, str]:
    content = side.content("environment")
    pins = dict(line.split("==", 1) for line in content.get("packages") or [] if "==" in line)
    return {"python": str(content.get("python", ""))} | pins


def _flips(new: Measured, old: Measured | None) -> Flips | None:
    comparison = new.content("comparison")
    found = comparison.get("decision_flips") or {}
    if not old or comparison.get("against") != old.version.number or not found.get("rows"):
        return None
    groups = [
        GroupFlips(
            str(one.get("attribute")),
            str(one.get("group")),
            *(int(one.get(name) or 0) for name in ("rows", "to_positive", "to_negative")),
        )
        for one in comparison.get("flips_by_group") or []
    ]
    right = found.get("to_right")
    return Flips(
        rows=int(found["rows"]),
        changed=int(found.get("changed") or 0),
        to_positive=int(found.get("to_positive") or 0),
        to_negative=int(found.get("to_negative") or 0),
        by_group=sorted((one for one in groups if one.changed), key=lambda one: -(one.share or 0.0)),
        to_right=int(right) if isinstance(right, int | float) else None,
    )


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else json.dumps(value)
