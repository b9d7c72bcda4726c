"""What the review page shows as files: the table of each section of evidence and its drawings, and those of one piece of evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from foundation.charts import Drawing, calibration, has_picture, pr, roc, sheet
from foundation.spreadsheets import Cell
from registry.models import Evidence, ModelVersion
from reviews.pages import VersionPage
from reviews.sections.changes import changes
from reviews.sections.differences import Change
from reviews.sections.fairness import GroupRow, PairRow, fairness
from reviews.sections.measured import Measured
from reviews.sections.performance import curve, reliability

Charts = Sequence[tuple[str, Drawing]]


@dataclass(frozen=True)
class Table:
    """A table as it is written into a file; numbers are as measured, not as rounded on the page."""

    columns: Sequence[str]
    rows: Iterable[Sequence[Cell]]


def _gates(page: VersionPage) -> Table:
    columns = ("key", "gate", "status", "blocks", "measured", "required", "in_production", "explanation", "cleared_by")
    return Table(
        columns,
        [
            (
                *(one.gate.key, one.gate.title, one.status.value, str(one.blocks).lower()),
                *(one.measured, one.required, one.production, one.explanation, one.gate.cleared_by),
            )
            for one in page.found.gates
        ],
    )


def _performance(page: VersionPage) -> Table:
    columns = (
        *("key", "metric", "version", "value", "low", "high"),
        *("compared_with", "compared_value", "change", "change_low", "change_high", "paired", "judged"),
    )
    other = page.old.name if page.old else ""
    rows = page.performance.rows if page.performance else ()
    return Table(
        columns,
        [
            (one.key, one.name, page.new.name, one.value, one.low, one.high, other, one.baseline, *_change(one.change))
            for one in rows
        ],
    )


def _change(change: Change | None) -> tuple[Cell, ...]:
    if change is None:
        return (None,) * 5
    judged = {"1": "better", "0": "worse"}.get(change.judged, "within noise" if change.noise else "")
    return (change.value, change.low, change.high, str(change.paired).lower(), judged)


def _fairness(page: VersionPage) -> Table:
    columns = (
        *("attribute", "group", "people", "positives", "selection_rate", "true_positive_rate", "false_positive_rate"),
        *(
            "gap",
            "gap_low",
            "gap_high",
            "compared_with",
            "compared_true_positive_rate",
            "sufficient",
            "why_insufficient",
        ),
    )
    shown = page.fairness
    if shown is None:
        return Table(columns, ())
    other = page.old.name if page.old else ""
    pairs = [*shown.pairs, *shown.pairs_insufficient]
    return Table(columns, [*(_group(one, other) for one in shown.rows), *map(_pair, pairs)])


def _group(one: GroupRow, other: str) -> tuple[Cell, ...]:
    measured = (one.attribute, one.group, one.n, None, None, one.tpr, None, one.gap, one.low, one.high)
    return (*measured, other, one.baseline, str(one.sufficient).lower(), "" if one.sufficient else one.why)


def _pair(one: PairRow) -> tuple[Cell, ...]:
    rates = (one.n, one.positives, one.selection, one.tpr, one.fpr, one.gap, one.low, one.high)
    sufficient = (str(one.sufficient).lower(), "" if one.sufficient else one.why)
    return (one.attribute, one.group, *rates, None, None, *sufficient)


def _data(page: VersionPage) -> Table:
    return Table(("field", "value"), list(leaves(page.new.content("data"))))


def _changes(page: VersionPage) -> Table:
    """Fields, then how much each feature matters, then decisions that change by group; the last two say nothing of `differs`."""
    old, new, shown = page.old.name if page.old else "before", page.new.name, page.changes
    rows: list[tuple[Cell, ...]] = [
        (one.field, one.kind, one.before, one.after, str(not one.same).lower()) for one in shown.rows
    ]
    rows += [(feature, "importance", None, lost, None) for feature, lost in shown.importance_rows]
    for one in shown.flips.by_group if shown.flips else ():
        change = f"{one.to_positive} newly positive, {one.to_negative} newly negative of {one.rows}"
        rows.append((f"{one.attribute}: {one.group}", "decisions", None, change, None))
    return Table(("field", "kind", old, new, "differs"), rows)


def _card(page: VersionPage) -> Table:
    rows = [(section.key, section.title, text, str(changed).lower()) for section, text, changed in page.card]
    return Table(("key", "section", "text", "differs"), rows)


def _supply_chain(page: VersionPage) -> Table:
    version, new = page.found.version, page.new
    environment, scan = new.content("environment"), new.content("scan")
    rows: list[tuple[Cell, ...]] = [("file", one.path, f"sha256:{one.sha256}", one.size) for one in version.files]
    if "python" in environment:
        rows.append(("python", "python", _plain(environment["python"]), None))
    for pin in environment.get("packages") or []:
        name, _, number = str(pin).partition("==")
        rows.append(("package", name, number, None))
    rows += [
        ("input", str(one.get("name", "")), str(one.get("type", "")), None)
        for one in new.content("signature").get("inputs") or []
    ]
    if "verdict" in scan:
        rows.append(("scan", "verdict", _plain(scan["verdict"]), None))
    return Table(("what", "name", "value", "bytes"), rows)


TABLES: Final[Mapping[str, Callable[[VersionPage], Table]]] = {
    "gates": _gates,
    "performance": _performance,
    "fairness": _fairness,
    "data": _data,
    "changes": _changes,
    "card": _card,
    "supply-chain": _supply_chain,
}
"""The sections that have a table, which are all of them."""


def charts_of_section(page: VersionPage, section: str) -> Charts:
    """What the section draws; empty where it draws nothing."""
    drawn: list[tuple[str, Drawing]] = []
    if section == "performance" and page.performance:
        shown = page.performance
        drawn = [("ROC curve", shown.roc), ("Calibration", shown.calibration), ("Precision and recall", shown.pr)]
    elif section == "fairness" and page.fairness:
        drawn = [("True-positive rate by group", page.fairness.drawing)]
    elif section == "changes":
        drawn = [("Feature importance: AUC lost when shuffled", page.changes.importance)]
    return [one for one in drawn if has_picture(one[1])]


def charts_of_evidence(version: ModelVersion, evidence: Evidence) -> Charts:
    """What one piece of evidence draws by itself; empty where it is of numbers and words only."""
    side = Measured(version, {evidence.kind: evidence}, None)
    drawn: list[tuple[str, Drawing]] = []
    if evidence.kind == Evidence.Kind.CURVES:
        drawn = [
            ("ROC curve", roc(curve(side, "roc", "auc"), None)),
            ("Precision and recall", pr(curve(side, "pr", "average_precision"), None)),
        ]
    elif evidence.kind == Evidence.Kind.CALIBRATION:
        drawn = [("Calibration", calibration(reliability(side), None, outcome="Observed rate"))]
    elif evidence.kind == Evidence.Kind.FAIRNESS and (shown := fairness(side, None)):
        drawn = [("True-positive rate by group", shown.drawing)]
    elif evidence.kind == Evidence.Kind.IMPORTANCE:
        drawn = [("Feature importance: AUC lost when shuffled", changes(side, None).importance)]
    return [one for one in drawn if has_picture(one[1])]


def sheet_of(version: ModelVersion, old: Measured | None, title: str, charts: Charts, digest: str) -> str:
    """The drawings as one SVG file, with what they rest on at its foot."""
    legend = [("c-candfill", f"v{version.number}")] + ([("c-prodfill", old.name)] if old else [])
    name = f"{version.model.name} v{version.number}"
    notes = (f"{name}, artifact sha256:{version.digest}", f"evidence sha256:{digest}")
    return sheet(f"{name}: {title}", charts, legend=legend, notes=notes)


def leaves(content: Mapping[str, Any]) -> Iterator[tuple[str, Cell]]:
    """Every single value inside nested objects and lists as (path, value), in the order of the content; empty ones are left out."""
    waiting: list[tuple[str, Any]] = [("", content)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, Mapping | list):
            inner = value.items() if isinstance(value, Mapping) else enumerate(value)
            waiting += reversed([(f"{path}.{key}" if path else str(key), one) for key, one in inner])
        else:
            yield path, _plain(value)


def _plain(value: Any) -> Cell:
    """A JSON value as a cell; true, false and null as JSON writes them."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return value if isinstance(value, str | int | float) else str(value)
