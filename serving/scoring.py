"""Decides what a scoring worker may load and what it may be asked: models from verified bytes, rows that fit their signature.

No Django, no MLflow, no pickle: an `MLmodel` is read by our own strict reader, a model only from the skops format and only with
the types that we trust. Bytes arrive here after their digests have been checked, and are loaded from memory, so that nothing
can change in between.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import skops.io

from foundation.refusals import Invalid, TooLarge
from registry import mlmodel
from registry.skops_file import examine
from registry.strict import read_yaml
from registry.trusted_types import BEYOND_DEFAULT

MAX_ROWS: Final = 10_000
NOT_SERVED_YET: Final = "can be registered and pulled but not served yet"
DTYPES: Final = {
    "boolean": "bool",
    "integer": "int32",
    "long": "int64",
    "float": "float32",
    "double": "float64",
    "string": "str",
}
OIP_KINDS: Final = {"BOOL": "boolean", "BYTES": "string", "FP32": "float", "FP64": "double"} | {
    f"{sign}INT{bits}": "long" for sign in ("", "U") for bits in (8, 16, 32, 64)
}


class NotLoadable(ValueError):
    """The files are what was signed, but this worker cannot serve them; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Column:
    """One input of the model's signature; `kind` is MLflow's name of the type."""

    name: str
    kind: str
    required: bool


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer for one row: `score` is the probability of the positive class or the predicted number, `decision` the label."""

    score: float | None
    decision: str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What an `MLmodel` asks for: the file to load, the columns to expect, and the cutoff that its review was about."""

    model_file: str
    columns: tuple[Column, ...]
    cutoff: float | None


@dataclass(frozen=True)
class ScoringModel:
    """A loaded estimator with the columns that it expects and the cutoff that its review was about (none: the model's own)."""

    estimator: Any
    columns: tuple[Column, ...]
    cutoff: float | None

    def predict(self, columns: Mapping[str, Sequence[Any]]) -> list[Prediction]:
        """One prediction per row of `columns`, which `checked_columns` has returned."""
        frame = pd.DataFrame({column.name: _series(column, columns[column.name]) for column in self.columns})
        if not hasattr(self.estimator, "predict_proba"):
            return [Prediction(_number(value), _plain(value)) for value in self.estimator.predict(frame)]
        return self._classify(self.estimator.predict_proba(frame))

    def _classify(self, probabilities: np.ndarray[Any, Any]) -> list[Prediction]:
        """`probabilities`: (n_rows, n_classes)."""
        classes = self.estimator.classes_
        if len(classes) != 2:
            best = probabilities.argmax(axis=1)
            return [Prediction(_number(row[i]), _plain(classes[i])) for row, i in zip(probabilities, best, strict=True)]
        positive = probabilities[:, 1]
        chosen = (positive >= self.cutoff if self.cutoff is not None else probabilities.argmax(axis=1)).astype(int)
        return [Prediction(_number(score), _plain(classes[i])) for score, i in zip(positive, chosen, strict=True)]


def plan(content: bytes, paths: Set[str]) -> Plan:
    """What the bytes of an `MLmodel` say about a version with these paths; raises `NotLoadable` for what is not served."""
    description = mlmodel.read(content, paths)
    for problem in (*description.problems, *description.unserved):
        raise NotLoadable(problem.detail)
    if description.flavour != "sklearn":
        raise NotLoadable(f"Models of the flavour {description.flavour} {NOT_SERVED_YET}.")
    return Plan(description.model_file, _columns(description.signature), _cutoff(content))


def load(plan: Plan, content: bytes) -> ScoringModel:
    """The model in the bytes of the skops file that `plan` names; raises `NotLoadable` with a sentence.

    Our own reader looks first and lets only what we trust through; then skops applies the same list.
    """
    if findings := examine(io.BytesIO(content), len(content)):
        raise NotLoadable(f"{plan.model_file} is not loaded: {findings[0].detail}")
    try:
        estimator = skops.io.loads(content, trusted=sorted(BEYOND_DEFAULT))
    except Exception as error:
        # Whatever a damaged archive makes the loader raise means the same: this version is not served.
        raise NotLoadable(f"{plan.model_file} could not be loaded: {type(error).__name__}: {error}") from error
    return ScoringModel(estimator, plan.columns, plan.cutoff)


def columns_from_rows(rows: Any) -> dict[str, list[Any]]:
    """Rows (a list of objects) turned into columns; a column that is absent from some rows holds None there."""
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise Invalid(
            'Send {"rows": [{"column": value, …}, …]}: a list with one object per row.', code="rows-malformed"
        )
    _check_count(len(rows))
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def columns_from_tensors(inputs: Any) -> dict[str, list[Any]]:
    """The named, columnar inputs of an Open Inference Protocol request as columns."""
    if not isinstance(inputs, list) or not inputs:
        raise Invalid(
            'Send "inputs": one tensor per column, each with name, shape, datatype and data.', code="inputs-malformed"
        )
    columns = dict(_tensor(tensor) for tensor in inputs)
    if len(columns) != len(inputs):
        raise Invalid("Two inputs have the same name.", code="inputs-malformed")
    lengths = {len(data) for data in columns.values()}
    if len(lengths) != 1:
        raise Invalid(
            f"All inputs need the same number of rows; these have {sorted(lengths)}.", code="inputs-malformed"
        )
    _check_count(lengths.pop())
    return columns


def checked_columns(model: ScoringModel, columns: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    """The model's columns out of `columns`, in its order; raises `Invalid` with a sentence for each column that does not fit."""
    errors: dict[str, str] = {}
    checked = {}
    for column in model.columns:
        if column.name not in columns and column.required:
            errors[column.name] = f"The column {column.name} is missing."
            continue
        rows = len(next(iter(columns.values()), []))
        values = list(columns.get(column.name, [None] * rows))
        wrong = next((n for n, value in enumerate(values) if not _fits(column, value)), None)
        if wrong is not None:
            errors[column.name] = (
                f"The column {column.name} must be {_article(column.kind)}; row {wrong + 1} holds {_shown(values[wrong])}."
            )
        checked[column.name] = values
    if errors:
        raise Invalid(" ".join(errors.values()), code="signature-mismatch", errors=errors)
    return checked


def _columns(signature: Mapping[str, Any] | None) -> tuple[Column, ...]:
    specs = signature["inputs"] if signature else []
    try:
        columns = tuple(Column(spec["name"], spec["type"], bool(spec.get("required", True))) for spec in specs)
    except (KeyError, TypeError, AttributeError) as error:
        raise NotLoadable(
            "The model's signature does not name its input columns; log it with an input example."
        ) from error
    if not columns:
        raise NotLoadable(
            "The model has no signature, so requests could not be checked; log it with a signature or an input example."
        )
    if unknown := [column for column in columns if column.kind not in DTYPES]:
        raise NotLoadable(f"The column {unknown[0].name} has the type {unknown[0].kind}, which is not served yet.")
    return columns


def _cutoff(content: bytes) -> float | None:
    """`metadata.cutoff` of the MLmodel: the score from which the decision is the positive class; none: the model's own rule."""
    metadata = read_yaml(content).get("metadata")
    cutoff = metadata.get("cutoff") if isinstance(metadata, dict) else None
    return float(cutoff) if isinstance(cutoff, int | float) else None


def _tensor(tensor: Any) -> tuple[str, list[Any]]:
    name = tensor.get("name") if isinstance(tensor, dict) else None
    if not isinstance(name, str):
        raise Invalid("Every input needs a name, which is the name of a column.", code="inputs-malformed")
    data, shape = tensor.get("data"), tensor.get("shape")
    if not isinstance(data, list) or shape not in ([len(data)], [len(data), 1]):
        sentence = f"The input {name} needs data with one value per row and the shape [rows] or [rows, 1]."
        raise Invalid(sentence, code="inputs-malformed")
    if tensor.get("datatype") not in OIP_KINDS:
        known = ", ".join(OIP_KINDS)
        raise Invalid(
            f"The input {name} has the datatype {tensor.get('datatype')}; known are {known}.", code="inputs-malformed"
        )
    return name, data


def _check_count(rows: int) -> None:
    if rows == 0:
        raise Invalid("Send at least one row.", code="rows-missing")
    if rows > MAX_ROWS:
        raise TooLarge(f"{rows:,} rows are too many for one request; send at most {MAX_ROWS:,}.", code="too-many-rows")


def _fits(column: Column, value: Any) -> bool:
    if value is None:
        return not column.required
    if column.kind == "boolean":
        return isinstance(value, bool)
    if column.kind == "string":
        return isinstance(value, str)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if column.kind == "long":
        return float(value).is_integer() and -(2**63) <= value < 2**63
    if column.kind == "integer":
        return float(value).is_integer() and -(2**31) <= value < 2**31
    return math.isfinite(value)


def _series(column: Column, values: Sequence[Any]) -> pd.Series[Any]:
    """`values` with the type that a DataFrame read from a file would have; whole numbers with gaps become float64, as there."""
    gaps = column.kind != "string" and any(value is None for value in values)
    dtype = DTYPES[column.kind] if not gaps else ("object" if column.kind == "boolean" else "float64")
    return pd.Series(values, dtype=dtype)


def _article(kind: str) -> str:
    return {"boolean": "true or false", "string": "text", "integer": "a whole number", "long": "a whole number"}.get(
        kind, "a number"
    )


def _shown(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value, default=str)[:40]


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _plain(value: Any) -> str | int | float | bool | None:
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, float) and not math.isfinite(plain):
        return None
    return plain if isinstance(plain, str | int | float | bool) else str(plain)
