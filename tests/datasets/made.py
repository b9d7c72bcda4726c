"""Makes datasets, files and versions for tests, through the actions."""

from __future__ import annotations

import io

import pandas as pd

from access.models import User
from datasets.actions import add_recipe, add_version, register_dataset
from datasets.models import Dataset, DatasetVersion, Recipe
from tests.conftest import as_
from tests.datasets.frames import RECIPE, SCHEMA, loans


def registered(owner: User, name: str = "loans") -> Dataset:
    """A declared dataset without a version."""
    return register_dataset(name, title="Loans", target="repaid", time_column="year", schema=SCHEMA, by=as_(owner))


def parquet(frame: pd.DataFrame) -> io.BytesIO:
    """`frame` as a Parquet file."""
    file = io.BytesIO()
    frame.to_parquet(file, index=False)
    file.seek(0)
    return file


def versioned(dataset: Dataset, owner: User, *, seed: int = 0, rows: int = 1_200) -> DatasetVersion:
    """The next version, of made-up loans."""
    return add_version(dataset, parquet(loans(rows, seed=seed)), filename="loans.parquet", by=as_(owner))


def prepared(dataset: Dataset, owner: User) -> Recipe:
    """The standard recipe; the dataset needs a version."""
    return add_recipe(dataset, "standard", RECIPE, by=as_(owner))
