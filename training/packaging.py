"""Writes a fitted pipeline as an MLflow model directory in skops format. Pure: no Django, no network.

Only types that skops trusts of itself, and a short list that is said in the file, are written; nothing is ever pickled.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # before mlflow is imported: it reads this once

import mlflow.sklearn
import pandas as pd
import skops.io
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema
from sklearn.pipeline import Pipeline

from datasets.drift import Kind
from datasets.recipes import Recipe
from datasets.schema import TableSchema

KNOWN_TYPES: Final = frozenset(
    {"numpy.dtype", "sklearn.tree._tree.Tree", "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"}
)


class UnknownTypes(ValueError):
    """The pipeline holds types that may not be written."""


def write_model(
    pipeline: Pipeline,
    folder: Path,
    *,
    frame: pd.DataFrame,
    recipe: Recipe,
    schema: TableSchema,
    packages: Sequence[str],
    cutoff: float,
) -> tuple[str, ...]:
    """Write `folder` (MLmodel, model.skops, requirements, signature, input example); the types in it that skops does not trust.

    `cutoff` goes into the MLmodel, so that the score from which workers decide "yes" is part of the bytes that are signed.
    The input example is a typical row made of medians and most frequent codes, not a person. Raises `UnknownTypes`.
    """
    untrusted = tuple(skops.io.get_untrusted_types(data=skops.io.dumps(pipeline)))
    if unknown := sorted(set(untrusted) - KNOWN_TYPES):
        raise UnknownTypes(f"The pipeline holds {', '.join(unknown)}, which cannot be stored safely.")
    with warnings.catch_warnings():
        # mlflow 3.17 compares pandas columns in a way that pandas 3.1 deprecates, and advises on integer columns that are never missing
        warnings.simplefilter("ignore")
        mlflow.sklearn.save_model(
            pipeline,
            str(folder),
            serialization_format="skops",
            skops_trusted_types=list(untrusted) or None,
            signature=_signature(frame, recipe),
            input_example=_typical_row(frame, recipe, schema),
            pip_requirements=[*packages],
            metadata={"cutoff": cutoff},
        )
    return untrusted


def _signature(frame: pd.DataFrame, recipe: Recipe) -> ModelSignature:
    return ModelSignature(
        Schema([ColSpec(_type(frame[name]), name) for name in recipe.features]), Schema([ColSpec("long")])
    )


def _type(values: pd.Series[Any]) -> str:
    """The widest MLflow type of the column's sort, so that callers need not know how narrowly the training file was stored."""
    if pd.api.types.is_bool_dtype(values):
        return "boolean"
    if pd.api.types.is_integer_dtype(values):
        return "long"
    return "double" if pd.api.types.is_numeric_dtype(values) else "string"


def _typical_row(frame: pd.DataFrame, recipe: Recipe, schema: TableSchema) -> pd.DataFrame:
    row = {}
    for name in recipe.features:
        values, whole = frame[name].dropna(), pd.api.types.is_integer_dtype(frame[name])
        typical = values.median() if schema.column(name).kind is Kind.NUMERIC else values.mode().iloc[0]
        row[name] = [int(typical) if whole else typical]
    return pd.DataFrame(row)
