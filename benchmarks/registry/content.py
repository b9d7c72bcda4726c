"""Which models both registries hold, so that the same is asked of both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

TEAMS: Final = ("risk", "fraud", "growth", "care", "ops")
A_MODEL: Final = 100
FEWEST_MODELS: Final = 60
A_BATCH: Final = 10


def model_count(versions: int) -> int:
    """Models with a hundred versions each; sixty at the least, so that a page of fifty is full."""
    return max(FEWEST_MODELS, versions // A_MODEL)


def model_name(index: int) -> str:
    """The name of one of them."""
    return f"m{index:05d}"


def placed(versions: int) -> Iterator[tuple[int, int, dict[str, str]]]:
    """For each version: the index of its model, its number there, and its tags; ten versions share a `batch`."""
    models = model_count(versions)
    for index in range(versions):
        yield index % models, index // models + 1, {"team": TEAMS[index % len(TEAMS)], "batch": f"b{index // A_BATCH}"}
