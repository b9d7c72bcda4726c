"""What the columns of a dataset are: names, kinds, the label, protected attributes and the meaning of codes.

Pure. A dataset declares this once (JSON); every version is checked against it before it is accepted, and profile, recipes
and evaluation read kinds and groups from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from datasets.drift import Kind, category_text, kind_of

MAX_COLUMNS: Final = 2_000
MISSING: Final = "missing"
_KEYS: Final = frozenset({"columns", "label", "time", "protected"})
_COLUMN_KEYS: Final = frozenset({"name", "kind", "meaning", "codes"})
_PROTECTED_KEYS: Final = frozenset({"column", "name", "bands"})


@dataclass(frozen=True)
class Column:
    """One column: its name, how its values are read, what it means, and what its codes stand for."""

    name: str
    kind: Kind
    meaning: str = ""
    codes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ProtectedAttribute:
    """A column by whose groups a model is judged. `bands` are the lower bounds of groups of a numeric column (age)."""

    column: str
    name: str
    bands: tuple[float, ...] = ()


@dataclass(frozen=True)
class TableSchema:
    """The declared shape of a dataset."""

    columns: tuple[Column, ...]
    label: str = ""
    time: str = ""
    protected: tuple[ProtectedAttribute, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The column names in order."""
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        """The column called `name`; raises `KeyError`."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def kinds(self) -> dict[str, Kind]:
        """Column name to kind."""
        return {column.name: column.kind for column in self.columns}

    def as_dict(self) -> dict[str, Any]:
        """JSON form; `parse` reads it back."""
        return {
            "columns": [
                {"name": c.name, "kind": c.kind.value, "meaning": c.meaning, "codes": dict(c.codes)}
                for c in self.columns
            ],
            "label": self.label,
            "time": self.time,
            "protected": [{"column": p.column, "name": p.name, "bands": list(p.bands)} for p in self.protected],
        }


class SchemaMistakes(ValueError):
    """A declared schema, or a table held against one, is wrong: one sentence for each mistake."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        """`mistakes`: sentences, in the order in which they were found."""
        super().__init__(" ".join(mistakes))
        self.mistakes = tuple(mistakes)


def parse(data: Any) -> TableSchema:
    """The declared schema in `data` (JSON); raises `SchemaMistakes` naming every mistake."""
    if not isinstance(data, Mapping):
        raise SchemaMistakes(["A schema is an object with the keys columns, label, time and protected."])
    mistakes = [f"Unknown key {key!r} in the schema." for key in sorted(set(data) - _KEYS)]
    columns = _columns(data.get("columns"), mistakes)
    names = {column.name for column in columns}
    label, time = str(data.get("label") or ""), str(data.get("time") or "")
    for role, name in (("label", label), ("time", time)):
        if name and name not in names:
            mistakes.append(f"The {role} column {name!r} is not among the columns.")
    protected = _protected(data.get("protected") or [], {column.name: column for column in columns}, mistakes)
    if mistakes:
        raise SchemaMistakes(mistakes)
    return TableSchema(tuple(columns), label, time, tuple(protected))


def infer(frame: pd.DataFrame, *, label: str = "", time: str = "", protected: Sequence[str] = ()) -> TableSchema:
    """A schema guessed from the rows of `frame`: small integers and texts are categories, other numbers numeric.

    A protected numeric column gets ten-year style bands from its quartiles. Raises `SchemaMistakes` for unknown roles.
    """
    columns = tuple(Column(str(name), kind_of(frame[name])) for name in frame.columns)
    kinds = {column.name: column.kind for column in columns}
    attributes = []
    for name in protected:
        numeric = kinds.get(name) is Kind.NUMERIC
        bands = tuple(float(q) for q in np.unique(frame[name].quantile([0, 0.25, 0.5, 0.75]))) if numeric else ()
        attributes.append({"column": name, "name": name, "bands": list(bands)})
    guess = TableSchema(columns, label, time).as_dict() | {"protected": attributes}
    return parse(guess)


def arrow_mistakes(schema: TableSchema, found: pa.Schema) -> list[str]:
    """What is wrong with a file whose Arrow schema is `found`, a sentence each; empty when it fits. Extra columns are mistakes too."""
    names = list(found.names)
    mistakes = [f"Column {name!r} is missing." for name in schema.names if name not in names]
    mistakes += [f"Column {name!r} is not in the dataset's schema." for name in names if name not in set(schema.names)]
    mistakes += [
        f"Column {name!r} appears more than once." for name in sorted({n for n in names if names.count(n) > 1})
    ]
    for column in schema.columns:
        if names.count(column.name) == 1:
            mistakes += _type_mistakes(column, found.field(column.name).type)
    return mistakes


def groups_of(frame: pd.DataFrame, attribute: ProtectedAttribute, schema: TableSchema) -> npt.NDArray[np.object_]:
    """The group of each row of `frame` under `attribute`, as readable text: `(n_rows,)`; missing values are a group of their own."""
    values = frame[attribute.column]
    if attribute.bands:
        return _banded(values, attribute.bands)
    codes = schema.column(attribute.column).codes
    index, uniques = pd.factorize(values, use_na_sentinel=True)
    texts = [codes.get(category_text(value), category_text(value)) for value in uniques]
    groups: npt.NDArray[np.object_] = np.array([*texts, MISSING], dtype=object)[index]
    return groups


def group_order(attribute: ProtectedAttribute, schema: TableSchema) -> tuple[str, ...]:
    """The groups in the order in which people expect them: bands ascending, codes as declared; empty when neither is declared."""
    if attribute.bands:
        return tuple(_band_names(attribute.bands))
    return tuple(schema.column(attribute.column).codes.values())


def _banded(values: pd.Series[Any], bands: tuple[float, ...]) -> npt.NDArray[np.object_]:
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    slots = np.searchsorted(np.asarray(bands), numbers, side="right")
    names = np.array([*_band_names(bands), MISSING], dtype=object)
    return names[np.where(np.isnan(numbers), len(names) - 1, slots)]


def _band_names(bands: tuple[float, ...]) -> list[str]:
    inner = [_span(low, high) for low, high in pairwise(bands)]
    return [f"under {bands[0]:g}", *inner, f"{bands[-1]:g} and over"]


def _span(low: float, high: float) -> str:
    whole = float(low).is_integer() and float(high).is_integer()
    return f"{low:g} to {high - 1:g}" if whole else f"{low:g} to under {high:g}"


def _columns(data: Any, mistakes: list[str]) -> list[Column]:
    if not isinstance(data, list) or not data:
        mistakes.append("A schema needs a list of columns with at least one entry.")
        return []
    if len(data) > MAX_COLUMNS:
        mistakes.append(f"A schema has at most {MAX_COLUMNS} columns; this one has {len(data)}.")
        return []
    columns: list[Column] = []
    for place, entry in enumerate(data, start=1):
        column = _column(entry, place, mistakes)
        if column and column.name in {known.name for known in columns}:
            mistakes.append(f"Column {column.name!r} is declared twice.")
        elif column:
            columns.append(column)
    return columns


def _column(entry: Any, place: int, mistakes: list[str]) -> Column | None:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str) or not entry["name"]:
        mistakes.append(f"Column {place} of the schema needs a name.")
        return None
    name = entry["name"]
    mistakes += [f"Unknown key {key!r} in column {name!r}." for key in sorted(set(entry) - _COLUMN_KEYS)]
    kind, codes = entry.get("kind"), entry.get("codes") or {}
    if kind not in set(Kind):
        mistakes.append(f"Column {name!r} needs a kind: numeric or category, not {kind!r}.")
        return None
    if not isinstance(codes, Mapping) or not all(isinstance(meaning, str) for meaning in codes.values()):
        mistakes.append(f"The codes of column {name!r} are an object from code to meaning.")
        return None
    return Column(name, Kind(kind), str(entry.get("meaning") or ""), {str(c): m for c, m in codes.items()})


def _protected(data: Any, columns: Mapping[str, Column], mistakes: list[str]) -> list[ProtectedAttribute]:
    attributes = []
    for entry in data if isinstance(data, list) else [data]:
        if not isinstance(entry, Mapping) or entry.get("column") not in columns:
            named = entry.get("column") if isinstance(entry, Mapping) else entry
            mistakes.append(f"The protected attribute {named!r} is not among the columns.")
            continue
        name, bands = str(entry.get("name") or entry["column"]), entry.get("bands") or []
        mistakes += [
            f"Unknown key {key!r} in the protected attribute {name!r}." for key in sorted(set(entry) - _PROTECTED_KEYS)
        ]
        column = columns[entry["column"]]
        if not _ascending(bands):
            mistakes.append(f"The bands of the protected attribute {name!r} must be ascending numbers.")
        elif bands and column.kind is not Kind.NUMERIC:
            mistakes.append(f"The protected attribute {name!r} has bands, but its column is not numeric.")
        elif not bands and column.kind is Kind.NUMERIC:
            mistakes.append(
                f"The protected attribute {name!r} is numeric and needs bands, for example [16, 25, 40, 65]."
            )
        else:
            attributes.append(ProtectedAttribute(column.name, name, tuple(float(band) for band in bands)))
    return attributes


def _ascending(bands: Any) -> bool:
    if not isinstance(bands, list) or not all(isinstance(b, int | float) and not isinstance(b, bool) for b in bands):
        return False
    return all(low < high for low, high in pairwise(bands))


def _type_mistakes(column: Column, found: pa.DataType) -> list[str]:
    values = found.value_type if pa.types.is_dictionary(found) else found
    number = pa.types.is_integer(values) or pa.types.is_floating(values) or pa.types.is_decimal(values)
    if column.kind is Kind.NUMERIC and not number:
        return [f"Column {column.name!r} must be numeric, but the file has {found}."]
    plain = number or pa.types.is_boolean(values) or pa.types.is_string(values) or pa.types.is_large_string(values)
    if column.kind is Kind.CATEGORY and not plain:
        return [f"Column {column.name!r} must hold codes or texts, but the file has {found}."]
    return []
