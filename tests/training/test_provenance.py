"""Where a model came from."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from datasets.recipes import parse
from tests.datasets.frames import RECIPE, loans, schema
from training.provenance import data_fingerprint, environment, requirements
from training.splits import divide


def test_the_environment_is_pinned_and_names_no_path_of_this_machine() -> None:
    found = environment()

    assert f"scikit-learn=={version('scikit-learn')}" in found["packages"]
    assert all("==" in line and "/" not in line for line in found["packages"])
    assert str(Path.home()) not in str(found)
    assert requirements(found["packages"], ["skops"]) == [f"skops=={version('skops')}"]


def test_the_fingerprint_names_bytes_rows_and_periods() -> None:
    frame, recipe = loans(400), parse(RECIPE, schema())
    split = divide(frame, {"train": [2020], "test": [2021]}, time_column="year", target="repaid", seed=0)

    found = data_fingerprint(
        dataset="loans", version=3, digest="ab" * 32, frame=frame, split=split, recipe=recipe, schema=schema()
    )

    assert found["digest"] == "ab" * 32
    assert found["rows"] == found["train_rows"] + found["test_rows"] == 400
    assert (found["train_years"], found["test_years"], found["years_apart"]) == (["2020"], ["2021"], 1)
    assert found["protected"] == ["sex", "age"]
    assert found["held_back"] == ["sex"]
