"""Real, tiny scikit-learn versions as path → bytes, as MLflow writes them, without MLflow."""

from __future__ import annotations

import json
from functools import cache

import pandas as pd
import skops.io
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

COLUMNS = [
    {"name": "age", "type": "long", "required": True},
    {"name": "income", "type": "double", "required": True},
    {"name": "region", "type": "string", "required": True},
]
ROWS = [
    {"age": 31, "income": 2100.0, "region": "north"},
    {"age": 58, "income": 5200.5, "region": "south"},
    {"age": 44, "income": 900.0, "region": "north"},
    {"age": 23, "income": 7600.0, "region": "east"},
]
MLMODEL = """\
flavors:
  python_function:
    env: {{conda: conda.yaml, virtualenv: python_env.yaml}}
    loader_module: mlflow.sklearn
    model_path: model.skops
    predict_fn: predict
    python_version: 3.11.2
  sklearn:
    code: null
    pickled_model: model.skops
    serialization_format: skops
    sklearn_version: 1.9.1
mlflow_version: 3.17.2
{more}signature:
  inputs: '{inputs}'
  outputs: '[{{"type": "long", "required": true}}]'
  params: null
"""


@cache
def estimator(flipped: bool = False) -> Pipeline:
    """A logistic regression behind a scaler and an encoder; `flipped` answers the other way round."""
    frame = pd.DataFrame(ROWS)
    columns = make_column_transformer(
        (StandardScaler(), ["age", "income"]), (OneHotEncoder(handle_unknown="ignore"), ["region"])
    )
    answers = [1, 0, 1, 0] if flipped else [0, 1, 0, 1]
    return make_pipeline(columns, LogisticRegression()).fit(frame, answers)


@cache
def tiny(flipped: bool = False, more: str = "") -> dict[str, bytes]:
    """The files of a version; `more` is added to its MLmodel."""
    return {
        "MLmodel": MLMODEL.format(inputs=json.dumps(COLUMNS), more=more).encode(),
        "model.skops": skops.io.dumps(estimator(flipped)),
        "conda.yaml": b"name: mlflow-env\n",
        "python_env.yaml": b"python: 3.11.2\n",
        "requirements.txt": b"scikit-learn==1.9.1\nskops==0.16.0\n",
    }
