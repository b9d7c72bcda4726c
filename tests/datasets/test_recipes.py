"""Recipes: closed key sets, a sentence for each mistake, and nothing that crashes."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.recipes import RecipeMistakes, StepName, parse, select_rows, unimputed
from datasets.schema import parse as parse_schema
from tests.datasets.frames import RECIPE, loans, schema

SHIPPED = Path(__file__).resolve().parents[2] / "data"


def mistakes_of(content: Any) -> str:
    with pytest.raises(RecipeMistakes) as caught:
        parse(content, schema())
    return " ".join(caught.value.mistakes)


def with_steps(*steps: dict[str, Any]) -> dict[str, Any]:
    return {**RECIPE, "steps": [*RECIPE["steps"], *steps]}


def test_a_recipe_says_what_the_model_reads_and_what_is_held_back() -> None:
    recipe = parse(RECIPE, schema())

    assert recipe.features == ("age", "income", "region")
    assert recipe.held_back == ("sex",)
    assert [step.name for step in recipe.chain("age")] == [StepName.CLIP, StepName.SCALE]


def test_a_recipe_survives_json() -> None:
    recipe = parse(RECIPE, schema())

    assert parse(json.loads(json.dumps(recipe.as_dict())), schema()) == recipe


def test_every_step_reads_as_a_sentence() -> None:
    assert all(sentence.endswith(".") for sentence in parse(RECIPE, schema()).sentences())


@pytest.mark.parametrize(
    ("step", "sentence"),
    [
        ({"step": "drop", "columns": ["wealth"]}, "there is no column 'wealth'"),
        ({"step": "scale", "columns": ["income"], "method": "robust"}, "'income' has the step scale twice"),
        ({"step": "drop", "columns": ["repaid"]}, "target 'repaid' cannot be used"),
        ({"step": "explode", "columns": ["age"]}, "needs a name that is one of"),
        ({"step": "bin", "columns": ["region"], "bins": 3}, "holds codes, so bin does not apply"),
        ({"step": "bin", "columns": ["income"], "bins": 3}, "comes after the encoding scale"),
        ({"step": "impute", "columns": ["region"], "strategy": "median"}, "codes, which have no median"),
        (
            {"step": "impute", "columns": ["income"], "strategy": "constant"},
            "value is needed with the strategy constant",
        ),
        ({"step": "filter_rows", "column": "age", "op": "in", "value": 3}, "in needs a list of values"),
        ({"step": "filter_rows", "column": "age", "op": ">", "value": "old"}, "compared with numbers only"),
        ({"step": "filter_rows", "column": "age", "op": "~", "value": 1}, "op must be one of"),
        ({"step": "clip", "columns": ["income"], "low": 5, "high": 5}, "low must be smaller than high"),
        ({"step": "one_hot", "columns": ["region"], "max_categories": 1}, "max_categories must be"),
        ({"step": "one_hot", "columns": ["region"], "top": 3}, "unknown key 'top'"),
        ({"step": "one_hot", "columns": ["sex"]}, "'sex' is transformed but not a feature"),
        ({"step": "drop", "columns": ["sex"]}, "'sex' is chosen more than once"),
        ({"step": "drop"}, "needs a list of columns"),
        ({"step": "drop", "columns": ["age", "age"]}, "names column 'age' twice"),
        ({"step": "map_codes", "columns": ["region"], "mapping": {"1": 0}}, "map_codes must be its first step"),
        ({"step": "map_codes", "columns": ["region"], "mapping": {"1": "x"}}, "mapping must be"),
        ({"step": "bin", "columns": ["income"], "edges": [3, 2]}, "edges must be ascending"),
    ],
)
def test_each_mistake_gets_its_sentence(step: dict[str, Any], sentence: str) -> None:
    assert sentence in mistakes_of(with_steps(step))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"target": None}, "needs a target"),
        ({"target": "wealth"}, "not a column of the dataset"),
        ({"target": "sex"}, "declares the label 'repaid'"),
        ({"recipe": 2}, "format is 2"),
        ({"recipe": True}, "format is True"),
        ({"steps": []}, "at least one entry"),
        ({"steps": "all"}, "at least one entry"),
        ({"colour": "red"}, "Unknown key 'colour'"),
    ],
)
def test_the_recipe_itself_is_checked(change: dict[str, Any], sentence: str) -> None:
    assert sentence in mistakes_of({**RECIPE, **change})


def test_all_mistakes_are_told_at_once() -> None:
    text = mistakes_of({"recipe": 9, "target": "wealth", "steps": [{"step": "drop", "columns": ["a"]}, {"step": "x"}]})

    assert text.count(".") >= 4


def test_codes_have_to_be_encoded_or_left_out() -> None:
    assert "'region' holds codes and needs one_hot or map_codes" in mistakes_of(
        {**RECIPE, "steps": [{"step": "hold_back", "columns": ["sex"]}]}
    )


def test_the_time_column_is_never_a_feature() -> None:
    assert "year" not in parse(RECIPE, schema()).features
    assert "cannot be a feature" in mistakes_of(
        with_steps({"step": "select", "columns": ["year", "age", "income", "region"]})
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_anything_else_than_a_recipe_is_a_mistake_and_never_a_crash(content: Any) -> None:
    with pytest.raises(RecipeMistakes):
        parse(content, schema())


@given(st.integers(0, 3), st.sampled_from(["step", "columns", "low", "method", "x"]), json_values)
def test_a_damaged_step_is_a_mistake_or_still_a_recipe_but_never_a_crash(place: int, key: str, value: Any) -> None:
    damaged = copy.deepcopy(RECIPE)
    damaged["steps"][place][key] = value

    try:
        recipe = parse(damaged, schema())
    except RecipeMistakes as error:
        mistakes = error.mistakes
    else:
        mistakes = ()
        assert parse(recipe.as_dict(), schema()) == recipe
    assert all(mistake.endswith(".") for mistake in mistakes)


@pytest.mark.parametrize(
    ("op", "value", "kept"),
    [
        (">=", 40, [40, 70]),
        ("<", 40, [20]),
        ("==", 40, [40]),
        ("!=", 40, [20, 70, None]),
        ("in", [20, 70], [20, 70]),
        ("not_in", [20, 70], [40, None]),
    ],
)
def test_rows_are_filtered_and_missing_values_pass_only_what_they_are_not(op: str, value: Any, kept: list[Any]) -> None:
    recipe = parse(with_steps({"step": "filter_rows", "column": "age", "op": op, "value": value}), schema())
    frame = pd.DataFrame({"age": [20.0, 40.0, 70.0, None]})

    found = select_rows(frame, recipe)["age"]

    assert [None if pd.isna(age) else int(age) for age in found] == kept


def test_missing_values_without_a_step_for_them_are_told() -> None:
    frame = loans(50)
    frame.loc[0, "income"] = None
    frame["region"] = frame["region"].astype("float64").where(frame.index != 1)

    assert unimputed(frame, parse(RECIPE, schema())) == (
        "Column 'income' has 1 missing values; add an impute step for it.",
    )


def test_the_shipped_recipe_fits_the_shipped_schema() -> None:
    declared = parse_schema(json.loads((SHIPPED / "employment_ma.schema.json").read_text()))

    recipe = parse(json.loads((SHIPPED / "employment_ma.recipe.json").read_text()), declared)

    assert recipe.held_back == ("SEX", "RAC1P")
    assert not {"SEX", "RAC1P", "year", "employed"} & set(recipe.features)
