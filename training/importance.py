"""Which raw columns a fitted pipeline leans on: permutation importance (Breiman 2001; Fisher, Rudin, Dominici 2019). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.pipeline import Pipeline

from training.measures import Ranked, auc

SAMPLE: Final = 5_000
REPEATS: Final = 5


def permutation_importance(
    pipeline: Pipeline, frame: pd.DataFrame, label: npt.NDArray[np.float64], *, features: Sequence[str], seed: int
) -> dict[str, Any]:
    """The evidence `importance`: how much AUC is lost when a column is shuffled, on a seeded sample of at most 5,000 rows.

    `low` and `high` are the smallest and largest of five shuffles. Columns that move together share their importance.
    """
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(frame))[:SAMPLE])
    sample, y = frame.iloc[rows][list(features)].reset_index(drop=True), label[rows]
    whole = _auc(pipeline, sample, y)
    found = []
    for name in features:
        losses = [whole - _auc(pipeline, _shuffled(sample, name, rng), y) for _ in range(REPEATS)]
        found.append(
            {
                "feature": name,
                "mean": round(float(np.mean(losses)), 6),
                "low": round(float(min(losses)), 6),
                "high": round(float(max(losses)), 6),
            }
        )
    found.sort(key=lambda entry: (-float(str(entry["mean"])), str(entry["feature"])))
    return {
        "metric": "auc",
        "method": "permutation",
        "rows": len(sample),
        "repeats": REPEATS,
        "seed": seed,
        "features": found,
    }


def _shuffled(sample: pd.DataFrame, name: str, rng: np.random.Generator) -> pd.DataFrame:
    return sample.assign(**{name: sample[name].to_numpy()[rng.permutation(len(sample))]})


def _auc(pipeline: Pipeline, frame: pd.DataFrame, label: npt.NDArray[np.float64]) -> float:
    ranked, _ = Ranked.of(label, pipeline.predict_proba(frame)[:, 1])
    return float(auc(ranked.label, ranked.starts, np.ones((1, ranked.n)))[0])
