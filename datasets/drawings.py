"""Turns a stored profile (JSON) into drawings and table rows for the dataset's page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from foundation import charts
from foundation.charts import Drawing

Json = Mapping[str, Any]


@dataclass(frozen=True)
class ColumnCard:
    """One column as it is drawn: its facts in words, its distribution, and the same numbers as a table."""

    name: str
    meaning: str
    kind: str
    facts: str
    drawing: Drawing
    head: tuple[str, str]
    rows: list[tuple[str, str]]


@dataclass(frozen=True)
class AttributeCard:
    """One protected attribute: groups with share and label rate."""

    name: str
    column: str
    groups: Sequence[Json]


@dataclass(frozen=True)
class ProfilePage:
    """Everything that the page shows of one profile."""

    columns: list[ColumnCard]
    attributes: list[AttributeCard]
    label_rates: Drawing
    associations: Drawing
    strongest: Sequence[Json]
    drift: Drawing | None
    drifted: Sequence[Json]
    hints: Sequence[Json]
    times: Sequence[Json]
    missing_share: float


def draw(profile: Json) -> ProfilePage:
    """The page of a stored profile (`datasets.profile.Profile.as_dict`)."""
    cells = max(1, profile["rows"] * len(profile["columns"]))
    ranked = sorted(profile["associations"], key=lambda pair: -abs(pair["value"]))
    return ProfilePage(
        columns=[_column(column, profile["rows"]) for column in profile["columns"]],
        attributes=[AttributeCard(a["name"], a["column"], a["groups"]) for a in profile["protected"]],
        label_rates=_label_rates(profile),
        associations=_associations(profile),
        strongest=ranked[:12],
        drift=_drift(profile),
        drifted=profile["drift"][:12],
        hints=profile["hints"],
        times=profile["times"],
        missing_share=sum(column["missing"] for column in profile["columns"]) / cells,
    )


def _column(column: Json, rows: int) -> ColumnCard:
    numeric = column["numeric"]
    facts = [f"{column['distinct']:,} distinct", f"{column['missing'] / max(1, rows):.1%} missing"]
    if numeric:
        facts.append(f"median {numeric['median']:g}, middle half {numeric['q25']:g} to {numeric['q75']:g}")
        head, table = ("From … to", "Rows"), _histogram_rows(numeric)
    else:
        head, table = ("Value", "Rows"), [(_name(share), f"{share['count']:,}") for share in column["categories"]]
    return ColumnCard(
        column["name"], column["meaning"], column["kind"], ", ".join(facts), _distribution(column), head, table
    )


def _distribution(column: Json) -> Drawing:
    numeric = column["numeric"]
    if numeric:
        total = max(1, sum(numeric["counts"]))
        shares = charts.Shares("this version", [count / total for count in numeric["counts"]], total)
        return charts.histogram(column["name"], numeric["edges"], shares)
    if not column["categories"]:
        return charts.nothing(f"There is no distribution of {column['name']}: every value is missing.")
    names = [_name(share) for share in column["categories"]]
    values = [share["share"] for share in column["categories"]]
    if column["other_count"]:
        known = sum(share["count"] for share in column["categories"])
        names.append("all others")
        values.append(column["other_count"] / (known + column["other_count"]))
    return charts.categories(column["name"], names, charts.Shares("this version", values))


def _histogram_rows(numeric: Json) -> list[tuple[str, str]]:
    edges = numeric["edges"]
    return [
        (f"{low:g} … {high:g}", f"{n:,}") for low, high, n in zip(edges, edges[1:], numeric["counts"], strict=False)
    ]


def _name(share: Json) -> str:
    return f"{share['value']} {share['meaning']}" if share["meaning"] else str(share["value"])


def _label_rates(profile: Json) -> Drawing:
    slices = [
        charts.Slice(a["name"], group["group"], group["rows"], group["label_rate"], group["low"], group["high"])
        for a in profile["protected"]
        for group in a["groups"]
        if group["label_rate"] is not None
    ]
    title = f"Share with {profile['label']} by group"
    return charts.forest(slices, title=title, overall=profile["label_rate"], candidate="this version")


def _associations(profile: Json) -> Drawing:
    names = [column["name"] for column in profile["columns"]]
    values = {(pair["first"], pair["second"]): pair["value"] for pair in profile["associations"]}
    matrix = [[1.0 if a == b else values.get((a, b), values.get((b, a))) for b in names] for a in names]
    return charts.correlation(names, matrix)


def _drift(profile: Json) -> Drawing | None:
    if not profile["drift"]:
        return None
    return charts.psi_bars([(column["column"], column["psi"]) for column in profile["drift"]])
