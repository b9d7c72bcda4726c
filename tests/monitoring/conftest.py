"""A deployment whose version was trained on known rows, and a worker's log to write into."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from access.models import User
from datasets import actions as datasets
from datasets.models import DatasetVersion
from monitoring.archive import log_folder
from monitoring.models import Thresholds
from registry import actions as registry
from registry.models import ModelVersion, RegisteredModel, Stage
from serving.models import Deployment
from tests.conftest import as_
from tests.factories import store_files

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
RECIPE = {
    "recipe": 1,
    "target": "employed",
    "steps": [
        {"step": "filter_rows", "column": "age", "op": ">=", "value": 16},
        {"step": "one_hot", "columns": ["sex"]},
    ],
}


def people(n: int, *, seed: int = 0, older: float = 0.0) -> pd.DataFrame:
    """Rows as the dataset has them; `older` shifts the ages."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "year": rng.choice([2015, 2016], n),
            "age": np.clip(rng.normal(40 + older, 15, n).round(1), 0, 99),
            "sex": rng.integers(1, 3, n),
            "employed": rng.integers(0, 2, n),
        }
    )


@pytest.fixture
def table(alice: User) -> DatasetVersion:
    """The dataset that versions are trained on: 4,000 rows of 2015 and 2016."""
    dataset = datasets.register_dataset("people", title="People", target="employed", time_column="year", by=as_(alice))
    csv = people(4_000).to_csv(index=False).encode()
    return datasets.add_version(dataset, io.BytesIO(csv), filename="people.csv", by=as_(alice))


def trained(model: RegisteredModel, table: DatasetVersion, by: User, *, content: bytes = b"model") -> ModelVersion:
    """A version with the evidence that a training worker records; its bytes are only a name here."""
    rng = np.random.default_rng(9)
    version = registry.register_version(
        model, store_files({"model.txt": content}), by=as_(by), dataset_version=table, admit=False
    )
    counts, edges = np.histogram(rng.beta(2, 2, 2_000), np.linspace(0, 1, 41))
    kinds = {"year": "category", "age": "numeric", "sex": "category", "employed": "category"}
    data = {
        "dataset": table.dataset.name,
        "version": table.number,
        "digest": table.digest,
        "train_years": ["2015"],
        "features": ["age", "sex"],
        "schema": [{"name": name, "kind": kind, "type": "int64"} for name, kind in kinds.items()],
        "recipe": RECIPE,
        "target": "employed",
    }
    registry.add_evidence(version, "data", data, by=as_(by))
    histogram = {"edges": [float(edge) for edge in edges], "counts": [int(n) for n in counts]}
    registry.add_evidence(version, "curves", {"roc": [], "pr": [], "score_histogram": histogram}, by=as_(by))
    auc = {"value": 0.9, "low": 0.88, "high": 0.92, "n": 2_000}
    registry.add_evidence(version, "metrics", {"cutoff": 0.5, "metrics": {"auc": auc}}, by=as_(by))
    return version


@pytest.fixture
def version(model: RegisteredModel, table: DatasetVersion, alice: User) -> ModelVersion:
    """Version 1 of `credit`, trained on the rows of 2015."""
    return trained(model, table, alice)


@pytest.fixture
def deployment(version: ModelVersion, production: Stage, erin: User) -> Deployment:
    """Where version 1 serves."""
    made = Deployment.objects.create(
        name="credit-live", model=version.model, stage=production, version=version, created_by=erin
    )
    Thresholds.objects.create(deployment=made, minimum_rows=200)
    log_folder(made).mkdir(parents=True)
    return made


class Worker:
    """Writes what a scoring worker writes."""

    def __init__(self, deployment: Deployment, version: ModelVersion) -> None:
        self.deployment, self.version, self.written = deployment, version, 0
        self.segment = log_folder(deployment) / "20261123T120000.000000Z.log"

    def lines(
        self,
        rows: pd.DataFrame,
        *,
        at: datetime = NOON,
        scores: Sequence[float] | None = None,
        caller: str = "scorer",
        **changes: Any,
    ) -> bytes:
        """The lines of answers to `rows`."""
        given = scores if scores is not None else np.random.default_rng(self.written).beta(2, 2, len(rows))
        out = []
        for row, score in zip(rows.drop(columns=["year", "employed"]).to_dict("records"), given, strict=True):
            self.written += 1
            out.append(
                {
                    "id": f"p{self.written}",
                    "t": int(at.timestamp() * 1_000_000) + self.written,
                    "version": self.version.number,
                    "digest": self.version.digest,
                    "row": row,
                    "score": float(score),
                    "decision": int(score >= 0.5),
                    "caller": caller,
                }
                | changes
            )
        return b"".join(json.dumps(line).encode() + b"\n" for line in out)

    def answer(self, rows: pd.DataFrame, **options: Any) -> Path:
        """Answer `rows` and log it."""
        with self.segment.open("ab") as file:
            file.write(self.lines(rows, **options))
        return self.segment


@pytest.fixture
def worker(deployment: Deployment, version: ModelVersion) -> Worker:
    """The deployment's worker."""
    return Worker(deployment, version)
