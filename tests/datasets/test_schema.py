"""Declared schemas: what is accepted, and a sentence for each thing that is not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datasets.drift import Kind
from datasets.schema import SchemaMistakes, arrow_mistakes, group_order, groups_of, infer, parse
from tests.datasets.frames import SCHEMA, loans, schema

SHIPPED = Path(__file__).resolve().parents[2] / "data"


def test_a_schema_survives_json() -> None:
    assert parse(json.loads(json.dumps(schema().as_dict()))) == schema()


def test_every_mistake_gets_a_sentence() -> None:
    bad = {
        "columns": [
            {"name": "a", "kind": "numeric"},
            {"name": "a", "kind": "numeric"},
            {"name": "b", "kind": "number"},
            {"kind": "numeric"},
            {"name": "c", "kind": "category", "colour": 1},
        ],
        "label": "z",
        "protected": [{"column": "a"}, {"column": "nobody"}, {"column": "c", "bands": [1]}],
        "extra": 1,
    }

    with pytest.raises(SchemaMistakes) as caught:
        parse(bad)

    text = " ".join(caught.value.mistakes)
    for part in (
        "'extra'",
        "declared twice",
        "numeric or category",
        "Column 4",
        "'colour'",
        "label column 'z'",
        "needs bands",
        "'nobody'",
        "not numeric",
    ):
        assert part in text


@pytest.mark.parametrize("data", [None, [], {}, {"columns": []}, {"columns": [1]}, {"columns": [{"name": 3}]}])
def test_nonsense_is_a_mistake_and_not_a_crash(data: object) -> None:
    with pytest.raises(SchemaMistakes):
        parse(data)


def test_groups_follow_bands_and_codes() -> None:
    frame = pd.DataFrame({"age": [24, 25, 39.0, 65, np.nan], "sex": [1, 2, 2, 1, 9]})
    sex, age = schema().protected

    assert list(groups_of(frame, age, schema())) == ["under 25", "25 to 39", "25 to 39", "65 and over", "missing"]
    assert list(groups_of(frame, sex, schema())) == ["male", "female", "female", "male", "9"]
    assert group_order(age, schema()) == ("under 25", "25 to 39", "40 to 64", "65 and over")
    assert group_order(sex, schema()) == ("male", "female")


def test_a_file_with_a_missing_column_does_not_fit() -> None:
    found = pa.Schema.from_pandas(loans(10).drop(columns=["income"]), preserve_index=False)

    assert arrow_mistakes(schema(), found) == ["Column 'income' is missing."]


def test_a_file_with_other_types_or_columns_does_not_fit() -> None:
    frame = loans(10).assign(age="old", surprise=1)

    mistakes = arrow_mistakes(schema(), pa.Schema.from_pandas(frame, preserve_index=False))

    assert any("surprise" in mistake for mistake in mistakes)
    assert any("'age' must be numeric" in mistake for mistake in mistakes)


def test_a_schema_is_guessed_from_rows() -> None:
    guessed = infer(loans(400), label="repaid", time="year", protected=["sex", "age"])

    assert guessed.kinds() == schema().kinds()
    assert [attribute.name for attribute in guessed.protected] == ["sex", "age"]
    assert len(guessed.protected[1].bands) == 4


def test_the_shipped_data_fit_their_declared_schema() -> None:
    declared = parse(json.loads((SHIPPED / "employment_ma.schema.json").read_text()))

    assert arrow_mistakes(declared, pq.read_schema(SHIPPED / "employment_ma.parquet")) == []
    assert {attribute.name for attribute in declared.protected} == {"sex", "race", "age", "disability"}
    assert declared.column("AGEP").kind is Kind.NUMERIC


def test_the_declared_schema_of_these_tests_is_right() -> None:
    assert arrow_mistakes(parse(SCHEMA), pa.Schema.from_pandas(loans(10), preserve_index=False)) == []
