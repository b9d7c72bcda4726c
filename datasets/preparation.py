"""Compiles a checked recipe to scikit-learn, so that what was trained is exactly what is stored and served.

Pure. Only scikit-learn's own classes are used and no function of ours is referenced: skops stores the result without a
single untrusted type. Fixed transformations (clip limits, code tables, given bin edges) are estimators whose fitted state
is set here and frozen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    KBinsDiscretizer,
    MinMaxScaler,
    OneHotEncoder,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)

from datasets.recipes import Recipe, Step, StepName

SCALERS: Mapping[str, type] = {"standard": StandardScaler, "min_max": MinMaxScaler, "robust": RobustScaler}


def compile_recipe(recipe: Recipe, frame: pd.DataFrame) -> ColumnTransformer:
    """An unfitted transformer from the raw `recipe.features` to numbers; `frame` is read for its column types only.

    Input: a DataFrame with at least those columns, by name. Output: float64 `(n_rows, n_outputs)`, dense.
    Raises `ValueError` when a code of `map_codes` is not of the column's type.
    """
    branches = []
    for number, columns in enumerate(_branches(recipe, frame), start=1):
        chain = recipe.chain(columns[0])
        steps = [
            (step.name.value, _estimator(step, frame[columns], first=place == 0)) for place, step in enumerate(chain)
        ]
        name = f"{chain[-1].name if chain else 'as_is'}_{number}"
        branches.append((name, Pipeline(steps) if steps else "passthrough", columns))
    return ColumnTransformer(branches, remainder="drop", sparse_threshold=0.0)


def _branches(recipe: Recipe, frame: pd.DataFrame) -> list[list[str]]:
    """The features in groups that share their steps and the sort of their values."""
    groups: dict[tuple[object, ...], list[str]] = {}
    for name in recipe.features:
        chain = tuple(id(step) for step in recipe.chain(name))
        groups.setdefault((chain, pd.api.types.is_numeric_dtype(frame[name])), []).append(name)
    return list(groups.values())


def _estimator(step: Step, frame: pd.DataFrame, *, first: bool) -> Any:
    """The scikit-learn estimator of one step for the columns of `frame`; the first of a chain sees names, later ones arrays."""
    options = step.options
    match step.name:
        case StepName.MAP_CODES:
            return _code_table(options["mapping"], options.get("otherwise"), frame)
        case StepName.CLIP:
            return _clip(options["low"], options["high"], frame, named=first)
        case StepName.IMPUTE:
            return SimpleImputer(
                strategy=options["strategy"], fill_value=options.get("value"), keep_empty_features=True
            )
        case StepName.SCALE:
            return SCALERS[options["method"]]()
        case StepName.BIN if "edges" in options:
            return _fixed_bins(options["edges"], frame, named=first)
        case StepName.BIN:
            return KBinsDiscretizer(
                n_bins=options["bins"],
                strategy=options.get("strategy", "quantile"),
                encode="onehot-dense",
                quantile_method="averaged_inverted_cdf",
                subsample=None,
                dtype=np.float64,
            )
        case _:
            return OneHotEncoder(
                max_categories=options.get("max_categories"),
                min_frequency=options.get("min_rows"),
                handle_unknown="infrequent_if_exist",
                sparse_output=False,
            )


def _code_table(mapping: Mapping[str, float], otherwise: float | None, frame: pd.DataFrame) -> FrozenEstimator:
    """A lookup from code to number. Without smoothing, a TargetEncoder that saw each code once, with its number as the target, is one.

    Codes that the table does not know become `otherwise`, or missing without it.
    """
    numbers = np.array([float(number) for number in mapping.values()])
    table = pd.DataFrame({name: _typed(mapping, frame[name]) for name in frame.columns})
    encoder = TargetEncoder(target_type="continuous", smooth=0.0).fit(table, numbers)
    encoder.target_mean_ = np.float64(np.nan if otherwise is None else otherwise)
    return FrozenEstimator(encoder)


def _typed(codes: Sequence[str] | Mapping[str, Any], values: pd.Series[Any]) -> list[Any]:
    """JSON keys are text; the table's codes must have the type of the column."""
    if not pd.api.types.is_numeric_dtype(values):
        return list(codes)
    try:
        return [float(code) for code in codes]
    except ValueError as error:
        raise ValueError(
            f"Column {values.name!r} holds numbers, so map_codes cannot have the code in: {error}."
        ) from error


def _clip(low: float, high: float, frame: pd.DataFrame, *, named: bool) -> FrozenEstimator:
    """Values limited to [low, high]: a MinMaxScaler from that range onto itself; missing values stay missing."""
    scaler = MinMaxScaler(feature_range=(low, high), clip=True)
    return FrozenEstimator(scaler.fit(_synthetic(np.array([low, high], dtype=np.float64), frame, named=named)))


def _fixed_bins(edges: Sequence[float], frame: pd.DataFrame, *, named: bool) -> FrozenEstimator:
    """One column of 0 and 1 for each interval between the inner `edges`, the outermost open-ended."""
    n_bins = len(edges) + 1
    binner = KBinsDiscretizer(n_bins=n_bins, strategy="uniform", encode="onehot-dense", dtype=np.float64)
    binner.fit(_synthetic(np.arange(n_bins + 1, dtype=np.float64), frame, named=named))
    bounds = np.array([edges[0] - 1.0, *edges, edges[-1] + 1.0])
    for column in range(frame.shape[1]):
        binner.bin_edges_[column] = bounds
    return FrozenEstimator(binner)


def _synthetic(
    values: npt.NDArray[np.float64], frame: pd.DataFrame, *, named: bool
) -> pd.DataFrame | npt.NDArray[np.float64]:
    """`values` repeated in every column of `frame`, to fit a fixed estimator on."""
    grid = np.tile(values.reshape(-1, 1), (1, frame.shape[1]))
    return pd.DataFrame(grid, columns=frame.columns) if named else grid
