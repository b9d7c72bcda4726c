"""What a dataset version holds, for the people who decide whether to train on it and whether to trust what came out.

Pure: a table and its declared schema go in, a frozen, JSON-able `Profile` comes out. Everything drawn on the dataset's page
and cited as evidence comes from here; nothing needs the rows again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from datasets import drift
from datasets.associations import Association, associations
from datasets.drift import Bins, ColumnDrift, Kind
from datasets.schema import ProtectedAttribute, TableSchema, group_order, groups_of

PROFILE_FORMAT: Final = 1
TOP_CATEGORIES: Final = 12
HISTOGRAM_BINS: Final = 24
STRONG: Final = 0.95
DOMINANT: Final = 0.995
Z_95: Final = 1.959963984540054


@dataclass(frozen=True)
class NumericSummary:
    """Moments, quantiles (linear interpolation) and an equal-width histogram of the present values."""

    mean: float
    std: float
    minimum: float
    q05: float
    q25: float
    median: float
    q75: float
    q95: float
    maximum: float
    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class CategoryShare:
    """One code with its meaning, how many rows have it, and their share of the present values."""

    value: str
    meaning: str
    count: int
    share: float


@dataclass(frozen=True)
class ColumnProfile:
    """One column. Exactly one of `numeric` and `categories` is filled unless every value is missing."""

    name: str
    kind: Kind
    dtype: str
    meaning: str
    missing: int
    distinct: int
    bins: Bins
    numeric: NumericSummary | None = None
    categories: tuple[CategoryShare, ...] = ()
    other_count: int = 0


@dataclass(frozen=True)
class GroupShare:
    """One group of a protected attribute: rows, share, and the label's rate with its 95 % Wilson interval (None without a label)."""

    group: str
    rows: int
    share: float
    label_rate: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class AttributeProfile:
    """A protected attribute and its groups."""

    column: str
    name: str
    groups: tuple[GroupShare, ...]


@dataclass(frozen=True)
class Hint:
    """Something to look at before training, with the column it is about and what to do."""

    code: str
    column: str
    sentence: str


@dataclass(frozen=True)
class Profile:
    """The whole profile of one table."""

    rows: int
    columns: tuple[ColumnProfile, ...]
    duplicates: int
    contradictions: int | None
    label: str
    label_rate: float | None
    times: tuple[GroupShare, ...]
    protected: tuple[AttributeProfile, ...]
    associations: tuple[Association, ...]
    hints: tuple[Hint, ...]
    drift: tuple[ColumnDrift, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON form with the format's number; floats are rounded to six digits after the point."""
        data = {"format": PROFILE_FORMAT, **asdict(self)}
        return _plain(data)  # type: ignore[no-any-return]  # a mapping stays a mapping

    def bins(self) -> dict[str, Bins]:
        """Column name to the reference bins with which later samples are compared."""
        return {column.name: column.bins for column in self.columns}


def profile(frame: pd.DataFrame, schema: TableSchema, *, previous: Mapping[str, Bins] | None = None) -> Profile:
    """The profile of `frame`, which fits `schema`; `previous` are the bins of the version before, for drift.

    Raises `ValueError` for a table without rows.
    """
    if frame.empty:
        raise ValueError("The table has no rows.")
    label = positive(frame[schema.label]) if schema.label else None
    columns = tuple(_column(frame[column.name], schema, column.name) for column in schema.columns)
    pairs = associations(frame, schema.kinds())
    return Profile(
        rows=len(frame),
        columns=columns,
        duplicates=int(frame.duplicated().sum()),
        contradictions=_contradictions(frame, schema),
        label=schema.label,
        label_rate=float(label.mean()) if label is not None else None,
        times=_times(frame, schema, label),
        protected=tuple(_attribute(frame, attribute, schema, label) for attribute in schema.protected),
        associations=pairs,
        hints=_hints(columns, pairs, schema, len(frame)),
        drift=compare(frame, {name: bins for name, bins in (previous or {}).items() if name != schema.time}),
    )


def compare(frame: pd.DataFrame, reference: Mapping[str, Bins]) -> tuple[ColumnDrift, ...]:
    """Each column that `frame` shares with `reference`, largest PSI first."""
    shared = [name for name in reference if name in frame.columns]
    found = [drift.compare(name, reference[name], drift.count(reference[name], frame[name])) for name in shared]
    return tuple(sorted(found, key=lambda column: (-column.psi, column.column)))


def bins_from(data: Mapping[str, Any]) -> dict[str, Bins]:
    """The reference bins out of a stored profile (`Profile.as_dict`)."""
    return {column["name"]: Bins.from_dict(column["bins"]) for column in data["columns"]}


def positive(values: pd.Series[Any]) -> npt.NDArray[np.float64]:
    """The label as 0 and 1: `(n,)`. Of two classes the larger code, or the later text, is positive.

    Raises `ValueError` when there are more than two classes or missing values.
    """
    if values.isna().any():
        raise ValueError(f"The label {values.name!r} has {int(values.isna().sum())} missing values.")
    classes = sorted(values.unique(), key=lambda value: (isinstance(value, str), value))
    if len(classes) > 2:
        raise ValueError(f"The label {values.name!r} must have two classes; it has {len(classes)}.")
    return (values == classes[-1]).to_numpy(dtype=np.float64) if set(classes) != {0} else np.zeros(len(values))


def wilson(successes: float, n: float) -> tuple[float, float]:
    """The 95 % interval of a proportion (Wilson 1927); (0, 1) without observations."""
    if n <= 0:
        return 0.0, 1.0
    p, z2 = successes / n, Z_95 * Z_95
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 * np.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return float(max(0.0, centre - half)), float(min(1.0, centre + half))


def _column(values: pd.Series[Any], schema: TableSchema, name: str) -> ColumnProfile:
    declared = schema.column(name)
    present = values.dropna()
    numeric = declared.kind is Kind.NUMERIC
    shares = () if numeric else _categories(present, declared.codes)
    return ColumnProfile(
        name=name,
        kind=declared.kind,
        dtype=str(values.dtype),
        meaning=declared.meaning,
        missing=int(values.isna().sum()),
        distinct=int(present.nunique()),
        bins=drift.reference_bins(values, kind=declared.kind),
        numeric=_numeric(present.to_numpy(dtype=np.float64)) if numeric and len(present) else None,
        categories=shares,
        other_count=len(present) - sum(share.count for share in shares) if not numeric else 0,
    )


def _numeric(values: npt.NDArray[np.float64]) -> NumericSummary:
    q05, q25, median, q75, q95 = (float(q) for q in np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95]))
    counts, edges = np.histogram(values, bins=min(HISTOGRAM_BINS, max(1, len(np.unique(values)))))
    return NumericSummary(
        mean=float(values.mean()),
        std=float(values.std()),
        minimum=float(values.min()),
        q05=q05,
        q25=q25,
        median=median,
        q75=q75,
        q95=q95,
        maximum=float(values.max()),
        edges=tuple(float(edge) for edge in edges),
        counts=tuple(int(n) for n in counts),
    )


def _categories(present: pd.Series[Any], codes: Mapping[str, str]) -> tuple[CategoryShare, ...]:
    frequent = present.value_counts().head(TOP_CATEGORIES)
    texts = [drift.category_text(value) for value in frequent.index]
    return tuple(
        CategoryShare(text, codes.get(text, ""), int(n), float(n / len(present)))
        for text, n in zip(texts, frequent.to_numpy(), strict=True)
    )


def _attribute(
    frame: pd.DataFrame, attribute: ProtectedAttribute, schema: TableSchema, label: npt.NDArray[np.float64] | None
) -> AttributeProfile:
    groups = groups_of(frame, attribute, schema)
    return AttributeProfile(attribute.column, attribute.name, _shares(groups, group_order(attribute, schema), label))


def _times(frame: pd.DataFrame, schema: TableSchema, label: npt.NDArray[np.float64] | None) -> tuple[GroupShare, ...]:
    if not schema.time or frame[schema.time].nunique() > TOP_CATEGORIES * 2:
        return ()
    texts = frame[schema.time].map(drift.category_text, na_action="ignore").fillna("missing").to_numpy(dtype=object)
    return _shares(texts, tuple(sorted(set(texts))), label)


def _shares(
    groups: npt.NDArray[np.object_], order: Sequence[str], label: npt.NDArray[np.float64] | None
) -> tuple[GroupShare, ...]:
    index, found = pd.factorize(groups)
    rows = np.bincount(index)
    positives = np.bincount(index, weights=label) if label is not None else None
    place = {group: number for number, group in enumerate(order)}
    shares = []
    for number, group in sorted(enumerate(found), key=lambda item: (place.get(item[1], len(place)), str(item[1]))):
        n = int(rows[number])
        rate = float(positives[number] / n) if positives is not None else None
        low, high = wilson(positives[number], n) if positives is not None else (None, None)
        shares.append(GroupShare(str(group), n, n / len(groups), rate, low, high))
    return tuple(shares)


def _contradictions(frame: pd.DataFrame, schema: TableSchema) -> int | None:
    """How many rows agree in every column but the label with a row that has another label; None without a label."""
    if not schema.label:
        return None
    features = [name for name in schema.names if name not in {schema.label, schema.time}]
    if not features:
        return 0
    labels = frame.groupby(features, dropna=False, sort=False)[schema.label]
    return int((labels.transform("nunique") > 1).sum())


def _hints(
    columns: Sequence[ColumnProfile], pairs: Sequence[Association], schema: TableSchema, rows: int
) -> tuple[Hint, ...]:
    found = [hint for column in columns for hint in _column_hints(column, schema, rows)]
    for pair in pairs:
        if abs(pair.value) < STRONG:
            continue
        if schema.label in (pair.first, pair.second):
            other = pair.second if pair.first == schema.label else pair.first
            found.append(
                Hint(
                    "leakage",
                    other,
                    f"{other} almost gives the label away ({pair.measure.label} {pair.value:.3f}). Is it known before the decision?",
                )
            )
        else:
            found.append(
                Hint(
                    "redundant",
                    pair.second,
                    f"{pair.first} and {pair.second} say nearly the same ({pair.measure.label} {pair.value:.3f}).",
                )
            )
    protected = {attribute.column: attribute.name for attribute in schema.protected}
    found += [_proxy(pair, protected) for pair in pairs if _is_proxy(pair, protected, schema)]
    return tuple(found)


def _column_hints(column: ColumnProfile, schema: TableSchema, rows: int) -> list[Hint]:
    name, hints = column.name, []
    if column.distinct <= 1 and name != schema.time:
        hints.append(Hint("constant", name, f"{name} has {column.distinct or 'no'} value. It can be dropped."))
    if column.missing:
        hints.append(
            Hint(
                "missing",
                name,
                f"{name} is missing in {column.missing / rows:.1%} of the rows. Impute it in the recipe.",
            )
        )
    if (
        column.distinct == rows
        and rows > 1
        and (column.kind is Kind.CATEGORY or column.dtype.startswith(("int", "uint")))
    ):
        hints.append(
            Hint("identifier", name, f"{name} is different in every row, like an identifier. Drop it in the recipe.")
        )
    if column.categories and column.distinct > 1 and column.categories[0].share >= DOMINANT:
        hints.append(
            Hint("dominant", name, f"{column.categories[0].share:.1%} of the rows have the same value of {name}.")
        )
    return hints


def _is_proxy(pair: Association, protected: Mapping[str, str], schema: TableSchema) -> bool:
    """A strong tie between a protected attribute and an unprotected feature: holding the attribute back does not hide it."""
    inside = [name in protected for name in (pair.first, pair.second)]
    roles = {schema.label, schema.time}
    return inside.count(True) == 1 and not roles & {pair.first, pair.second} and 0.5 <= abs(pair.value) < STRONG


def _proxy(pair: Association, protected: Mapping[str, str]) -> Hint:
    attribute, other = (pair.first, pair.second) if pair.first in protected else (pair.second, pair.first)
    return Hint(
        "proxy",
        other,
        f"{other} is tied to the protected attribute {protected[attribute]} ({pair.measure.label} {abs(pair.value):.2f}): "
        "it may stand in for it.",
    )


def _plain(value: Any) -> Any:
    """JSON types only: tuples to lists, enumerations to text, floats rounded; floats that are not finite become null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bool) or value is None or isinstance(value, int):
        return value
    if isinstance(value, float):
        return round(value, 6) if np.isfinite(value) else None
    return str(value)
