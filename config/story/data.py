"""The story's data: rows of the shipped ACS employment file, by year, as files and as requests."""

from __future__ import annotations

import io
import json
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from config.environment import BASE_DIR

FILE: Final = BASE_DIR / "data" / "employment_ma.parquet"
SCHEMA: Final = BASE_DIR / "data" / "employment_ma.schema.json"
RECIPE: Final = BASE_DIR / "data" / "employment_ma.recipe.json"
TARGET: Final = "employed"
TIME_COLUMN: Final = "year"
GROWN_UP: Final = 16
SEED: Final = 20_261_123


def schema() -> dict[str, Any]:
    """The declared columns with meanings, codes and protected attributes."""
    content: dict[str, Any] = json.loads(SCHEMA.read_text())
    return content


def recipe() -> dict[str, Any]:
    """The transformation recipe of the story's model."""
    content: dict[str, Any] = json.loads(RECIPE.read_text())
    return content


def years(first: int, last: int) -> io.BytesIO:
    """The rows of the years from `first` to `last`, both included, as a Parquet file in memory."""
    table = _rows(first, last)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    buffer.seek(0)
    return buffer


def people_of(year: int, rows: int) -> pd.DataFrame:
    """A seeded sample of grown-up people of one year: columns as in the file, `rows` rows."""
    frame = _rows(year, year).to_pandas()
    return frame[frame["AGEP"] >= GROWN_UP].sample(rows, random_state=SEED).reset_index(drop=True)


def younger(frame: pd.DataFrame, *, by_years: int) -> pd.DataFrame:
    """The same people, made `by_years` younger (not under 16): a shift that is injected, and said to be."""
    shifted = frame.copy()
    shifted["AGEP"] = (shifted["AGEP"] - by_years).clip(lower=GROWN_UP)
    return shifted


def features(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as a scoring request holds them: no target."""
    rows: list[dict[str, Any]] = json.loads(frame.drop(columns=[TARGET]).to_json(orient="records"))
    return rows


def _rows(first: int, last: int) -> pa.Table:
    table = pq.read_table(FILE)
    year = table.column(TIME_COLUMN)
    return table.filter(pc.and_(pc.greater_equal(year, first), pc.less_equal(year, last)))
