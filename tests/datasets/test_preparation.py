"""Compiled recipes: the numbers that come out, and that skops stores them without a type on trust."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io

from datasets.preparation import compile_recipe
from datasets.recipes import parse
from tests.datasets.frames import RECIPE, loans, schema


def compiled(steps: list[dict[str, Any]], frame: pd.DataFrame) -> Any:
    recipe = parse({"recipe": 1, "target": "repaid", "steps": steps}, schema())
    return compile_recipe(recipe, frame).fit(frame[list(recipe.features)])


def only(*columns: str) -> dict[str, Any]:
    return {"step": "select", "columns": list(columns)}


def test_clipping_limits_values_and_keeps_gaps() -> None:
    frame = pd.DataFrame({"age": [3.0, 20.0, 99.0, np.nan]})

    made = compiled([only("age"), {"step": "clip", "columns": ["age"], "low": 18, "high": 80}], frame)

    np.testing.assert_array_equal(made.transform(frame), [[18.0], [20.0], [80.0], [np.nan]])


@pytest.mark.parametrize("otherwise", [None, -1])
def test_codes_become_the_numbers_of_the_table(otherwise: int | None) -> None:
    frame = pd.DataFrame({"region": np.array([1, 2, 3], dtype="int8")})
    step: dict[str, Any] = {"step": "map_codes", "columns": ["region"], "mapping": {"1": 10, "2": 2.5}}
    step |= {} if otherwise is None else {"otherwise": otherwise}

    found = compiled([only("region"), step], frame).transform(frame)

    np.testing.assert_array_equal(found, [[10.0], [2.5], [np.nan if otherwise is None else -1.0]])


def test_texts_can_be_mapped_too() -> None:
    frame = pd.DataFrame({"region": ["1", "2", "elsewhere"]})
    steps = [
        only("region"),
        {"step": "map_codes", "columns": ["region"], "mapping": {"1": 10, "2": 20}, "otherwise": 0},
    ]

    np.testing.assert_array_equal(compiled(steps, frame).transform(frame), [[10.0], [20.0], [0.0]])


def test_a_table_with_texts_for_a_numeric_column_is_refused() -> None:
    frame = pd.DataFrame({"region": [1, 2]})

    with pytest.raises(ValueError, match="region"):
        compiled([only("region"), {"step": "map_codes", "columns": ["region"], "mapping": {"north": 1}}], frame)


def test_given_edges_cut_as_written() -> None:
    frame = pd.DataFrame({"age": [17, 18, 24, 25, 90]})
    made = compiled([only("age"), {"step": "bin", "columns": ["age"], "edges": [18, 25]}], frame)

    assert made.transform(frame).argmax(axis=1).tolist() == [0, 1, 1, 2, 2]


def test_rare_codes_share_a_column_and_unseen_ones_join_them() -> None:
    frame = pd.DataFrame({"region": [1] * 50 + [2] * 40 + [3] * 2})
    made = compiled([only("region"), {"step": "one_hot", "columns": ["region"], "min_rows": 10}], frame)

    found = made.transform(pd.DataFrame({"region": [1, 2, 3, 77]}))

    assert found.argmax(axis=1).tolist() == [0, 1, 2, 2]


def test_a_chain_applies_in_its_order() -> None:
    frame = pd.DataFrame({"age": [10.0, np.nan, 60.0]})
    steps = [
        only("age"),
        {"step": "impute", "columns": ["age"], "strategy": "constant", "value": 99},
        {"step": "clip", "columns": ["age"], "low": 18, "high": 80},
        {"step": "scale", "columns": ["age"], "method": "min_max"},
    ]

    np.testing.assert_allclose(compiled(steps, frame).transform(frame).ravel(), [0.0, 1.0, (60 - 18) / (80 - 18)])


def test_the_target_and_what_is_held_back_never_reach_the_model() -> None:
    frame = loans(100)
    recipe = parse(RECIPE, schema())
    made = compile_recipe(recipe, frame).fit(frame[list(recipe.features)])

    changed = frame.assign(sex=3 - frame["sex"], repaid=1 - frame["repaid"], year=1999)

    np.testing.assert_array_equal(made.transform(frame), made.transform(changed))


EVERYTHING_BUT_IMPUTE: list[dict[str, Any]] = [
    {"step": "hold_back", "columns": ["sex"]},
    {"step": "map_codes", "columns": ["region"], "mapping": {"1": 0, "2": 1, "3": 2}, "otherwise": 0},
    {"step": "clip", "columns": ["age"], "low": 18, "high": 80},
    {"step": "bin", "columns": ["age"], "bins": 4},
    {"step": "bin", "columns": ["income"], "edges": [20, 40]},
    {"step": "scale", "columns": ["region"], "method": "robust"},
]


@pytest.mark.parametrize("steps", [RECIPE["steps"], EVERYTHING_BUT_IMPUTE])
def test_skops_stores_a_compiled_recipe_without_a_type_on_trust(steps: list[dict[str, Any]]) -> None:
    assert skops.io.get_untrusted_types(data=skops.io.dumps(compiled(steps, loans(200)))) == []


def test_an_imputer_adds_numpys_dtype_and_nothing_else() -> None:
    """scikit-learn's SimpleImputer keeps the dtype it was fitted on; skops asks about it, though it is only data."""
    steps: list[dict[str, Any]] = [
        *RECIPE["steps"][:1],
        {"step": "impute", "columns": ["income"], "strategy": "median"},
        *RECIPE["steps"][1:],
    ]

    assert skops.io.get_untrusted_types(data=skops.io.dumps(compiled(steps, loans(200)))) == ["numpy.dtype"]


def test_what_is_stored_and_loaded_transforms_the_same() -> None:
    frame = loans(200)
    made = compiled(EVERYTHING_BUT_IMPUTE, frame)

    again = skops.io.loads(skops.io.dumps(made), trusted=[])

    np.testing.assert_array_equal(again.transform(frame), made.transform(frame))
