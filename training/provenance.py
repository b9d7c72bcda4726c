"""Where a model came from: the installed environment and the data, written down so that a run can be repeated. Pure."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib import metadata
from typing import Any

import pandas as pd

from datasets.recipes import Recipe
from datasets.schema import TableSchema
from training.splits import Split, years_apart


def environment() -> dict[str, Any]:
    """The evidence `environment`: Python, platform and every installed distribution as `name==version`, sorted, no paths."""
    found = {(d.metadata["Name"] or "").lower().replace("_", "-"): d.version for d in metadata.distributions()}
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": [f"{name}=={version}" for name, version in sorted(found.items()) if name],
    }


def requirements(
    packages: Sequence[str], needed: Sequence[str] = ("numpy", "pandas", "scikit-learn", "scipy", "skops")
) -> list[str]:
    """The pins of `needed` out of an environment's `packages`, for a version's requirements.txt."""
    return [pin for pin in packages if pin.split("==")[0] in needed]


def data_fingerprint(
    *, dataset: str, version: int, digest: str, frame: pd.DataFrame, split: Split, recipe: Recipe, schema: TableSchema
) -> dict[str, Any]:
    """The evidence `data`: which bytes (SHA-256 `digest`), which rows were trained on and held out, and what the columns are."""
    return {
        "dataset": dataset,
        "version": version,
        "digest": digest,
        "rows": len(frame),
        "train_rows": len(split.train),
        "test_rows": len(split.test),
        "train_years": list(split.train_periods),
        "test_years": list(split.test_periods),
        "years_apart": years_apart(split.train_periods, split.test_periods) if split.test_periods else None,
        "columns": list(frame.columns),
        "features": list(recipe.features),
        "held_back": list(recipe.held_back),
        "schema": [{"name": c.name, "kind": c.kind.value, "type": str(frame[c.name].dtype)} for c in schema.columns],
        "protected": [attribute.name for attribute in schema.protected],
        "target": recipe.target,
        "recipe": recipe.as_dict(),
    }
