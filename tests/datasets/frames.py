"""Small tables and schemas that the tests of datasets and training share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from datasets.schema import TableSchema, parse

SCHEMA: dict[str, Any] = {
    "columns": [
        {"name": "year", "kind": "category"},
        {"name": "age", "kind": "numeric", "meaning": "age in years"},
        {"name": "income", "kind": "numeric"},
        {"name": "region", "kind": "category", "codes": {"1": "north", "2": "south", "3": "west"}},
        {"name": "sex", "kind": "category", "codes": {"1": "male", "2": "female"}},
        {"name": "repaid", "kind": "category", "codes": {"0": "no", "1": "yes"}},
    ],
    "label": "repaid",
    "time": "year",
    "protected": [
        {"column": "sex", "name": "sex", "bands": []},
        {"column": "age", "name": "age", "bands": [25, 40, 65]},
    ],
}

RECIPE: dict[str, Any] = {
    "recipe": 1,
    "target": "repaid",
    "steps": [
        {"step": "hold_back", "columns": ["sex"]},
        {"step": "clip", "columns": ["age"], "low": 18, "high": 80},
        {"step": "scale", "columns": ["age", "income"], "method": "standard"},
        {"step": "one_hot", "columns": ["region"]},
    ],
}


def schema() -> TableSchema:
    """The parsed schema of `loans`."""
    return parse(SCHEMA)


def loans(rows: int = 1200, *, seed: int = 0, years: tuple[int, ...] = (2020, 2021)) -> pd.DataFrame:
    """Made-up loans: repayment depends on income and a little on age and region; seeded."""
    rng = np.random.default_rng(seed)
    income = rng.gamma(4.0, 10.0, rows).round(2)
    age = rng.integers(18, 85, rows)
    region = rng.choice([1, 2, 3], rows, p=[0.5, 0.3, 0.2])
    logit = 0.06 * (income - 40) + 0.02 * (age - 50) - 0.4 * (region == 3)
    return pd.DataFrame(
        {
            "year": rng.choice(years, rows).astype("int16"),
            "age": age.astype("int16"),
            "income": income,
            "region": region.astype("int8"),
            "sex": rng.choice([1, 2], rows).astype("int8"),
            "repaid": (rng.random(rows) < 1 / (1 + np.exp(-logit))).astype("int8"),
        }
    )
