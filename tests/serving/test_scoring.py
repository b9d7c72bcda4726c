"""What may be loaded, and what a request has to look like: every refusal names the column, the file or the limit."""

from __future__ import annotations

import io
import pickle
import zipfile
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression

from foundation.refusals import Invalid, TooLarge
from serving.scoring import (
    MAX_ROWS,
    Column,
    NotLoadable,
    ScoringModel,
    checked_columns,
    columns_from_rows,
    columns_from_tensors,
    load,
    plan,
)
from tests.serving.tiny_models import ROWS, estimator, tiny


def loaded(files: dict[str, bytes]) -> ScoringModel:
    wanted = plan(files["MLmodel"], set(files))
    return load(wanted, files[wanted.model_file])


@pytest.fixture(scope="module")
def model() -> ScoringModel:
    return loaded(tiny())


def complaints(model: ScoringModel, rows: list[dict[str, Any]]) -> dict[str, str]:
    with pytest.raises(Invalid) as refusal:
        checked_columns(model, columns_from_rows(rows))
    return refusal.value.errors


def test_scores_and_decisions_are_those_of_scikit_learn(model: ScoringModel) -> None:
    predictions = model.predict(checked_columns(model, columns_from_rows(ROWS)))

    frame = pd.DataFrame(ROWS)
    assert [one.score for one in predictions] == pytest.approx(estimator().predict_proba(frame)[:, 1])
    assert [one.decision for one in predictions] == estimator().predict(frame).tolist()


def test_the_cutoff_in_the_signed_description_decides() -> None:
    model = loaded(tiny(more="metadata: {cutoff: 0.76}\n"))

    predictions = model.predict(checked_columns(model, columns_from_rows(ROWS)))

    assert [one.decision for one in predictions] == [0, 0, 0, 1]


def test_a_regression_answers_with_its_number() -> None:
    fitted = LinearRegression().fit(pd.DataFrame({"x": [0.0, 1.0, 2.0]}), [1.0, 3.0, 5.0])
    model = ScoringModel(fitted, (Column("x", "double", required=True),), None)

    assert model.predict({"x": [4.0]})[0].score == pytest.approx(9.0)


def test_three_classes_answer_with_the_likeliest() -> None:
    fitted = LogisticRegression().fit(
        pd.DataFrame({"x": [0.0, 1.0, 5.0, 6.0, 10.0, 11.0]}), ["low", "low", "mid", "mid", "top", "top"]
    )
    model = ScoringModel(fitted, (Column("x", "double", required=True),), None)

    assert [one.decision for one in model.predict({"x": [0.0, 5.5, 12.0]})] == ["low", "mid", "top"]


def test_gaps_are_allowed_where_the_signature_says_so() -> None:
    model = ScoringModel(
        None, (Column("age", "long", required=False), Column("region", "string", required=False)), None
    )

    checked = checked_columns(model, columns_from_rows([{"age": 3}, {"age": None, "region": "north"}]))

    assert checked == {"age": [3, None], "region": [None, "north"]}


@pytest.mark.parametrize(
    ("change", "column", "sentence"),
    [
        ({"age": "old"}, "age", 'must be a whole number; row 2 holds "old"'),
        ({"age": 31.5}, "age", "must be a whole number; row 2 holds 31.5"),
        ({"age": True}, "age", "must be a whole number; row 2 holds true"),
        ({"age": 2**63}, "age", "must be a whole number"),
        ({"income": "much"}, "income", "must be a number"),
        ({"income": None}, "income", "must be a number; row 2 holds nothing"),
        ({"income": float("nan")}, "income", "must be a number"),
        ({"region": 7}, "region", "must be text; row 2 holds 7"),
        ({"region": ["north"]}, "region", "must be text"),
    ],
)
def test_a_value_of_the_wrong_type_is_named(
    model: ScoringModel, change: dict[str, Any], column: str, sentence: str
) -> None:
    errors = complaints(model, [ROWS[0], ROWS[1] | change])

    assert list(errors) == [column]
    assert sentence in errors[column]


def test_every_missing_column_is_named(model: ScoringModel) -> None:
    assert complaints(model, [{"age": 3, "shoe_size": 44}]) == {
        "income": "The column income is missing.",
        "region": "The column region is missing.",
    }


def test_too_many_rows_are_refused_and_none_as_well() -> None:
    with pytest.raises(TooLarge, match="10,001 rows"):
        columns_from_rows([{}] * (MAX_ROWS + 1))
    with pytest.raises(Invalid, match="at least one row"):
        columns_from_rows([])


@pytest.mark.parametrize("rows", [None, {}, "rows", [1], [[1]]])
def test_rows_of_another_form_are_refused(rows: Any) -> None:
    with pytest.raises(Invalid, match="one object per row"):
        columns_from_rows(rows)


def tensor(**changes: Any) -> dict[str, Any]:
    return {"name": "age", "shape": [2], "datatype": "INT64", "data": [1, 2]} | changes


def test_tensors_become_columns() -> None:
    assert columns_from_tensors([tensor(), tensor(name="region", shape=[2, 1], datatype="BYTES", data=["a", "b"])]) == {
        "age": [1, 2],
        "region": ["a", "b"],
    }


@pytest.mark.parametrize(
    "inputs",
    [
        None,
        [],
        [1],
        [tensor(name=3)],
        [tensor(shape=[3])],
        [tensor(shape=[1, 2])],
        [tensor(datatype="FP8")],
        [tensor(data="ab")],
        [tensor(), tensor()],
        [tensor(), tensor(name="b", shape=[1], data=[1])],
    ],
)
def test_tensors_of_another_form_are_refused(inputs: Any) -> None:
    with pytest.raises(Invalid):
        columns_from_tensors(inputs)


class Attack:
    """Unpickling it would raise `SystemExit`."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (exit, (3,))


def pickled() -> dict[str, bytes]:
    mlmodel = (
        tiny()["MLmodel"]
        .replace(b"model.skops", b"model.pkl")
        .replace(b"serialization_format: skops", b"serialization_format: cloudpickle")
    )
    return {"MLmodel": mlmodel, "model.pkl": pickle.dumps(Attack()), "conda.yaml": b"", "python_env.yaml": b""}


def test_a_pickle_is_never_loaded() -> None:
    with pytest.raises(NotLoadable, match="registered and pulled, but not served yet"):
        loaded(pickled())


def test_a_pickle_under_the_name_of_a_skops_file_is_never_loaded() -> None:
    with pytest.raises(NotLoadable, match="not a plain archive"):
        loaded(tiny() | {"model.skops": pickle.dumps(Attack())})


def test_other_flavours_are_not_served_yet() -> None:
    text = tiny()["MLmodel"].replace(
        b"  sklearn:\n    code: null\n    pickled_model: model.skops\n    serialization_format: skops\n    sklearn_version: 1.9.1\n",
        b"  onnx:\n    data: model.skops\n",
    )

    with pytest.raises(NotLoadable, match=r"not served yet|mlflow"):
        loaded(tiny() | {"MLmodel": text})


@pytest.mark.parametrize(
    "text", [b"", b"- 1", b"a: &x 1\nb: *x", b"!!python/object:os.system {}", b"flavors: [", b"\xff\xfe"]
)
def test_a_description_that_is_no_mlmodel_is_refused(text: bytes) -> None:
    with pytest.raises(NotLoadable):
        plan(text, {"MLmodel", "model.skops"})


def test_a_model_path_outside_the_version_is_refused() -> None:
    with pytest.raises(NotLoadable, match="does not lie inside the version"):
        plan(tiny()["MLmodel"].replace(b"model.skops", b"../../secret.skops"), set(tiny()))


def test_a_model_without_signature_is_not_served() -> None:
    text = tiny()["MLmodel"].split(b"signature:")[0]

    with pytest.raises(NotLoadable, match="no signature"):
        plan(text, set(tiny()))


def test_types_that_we_do_not_trust_are_not_loaded_even_if_the_version_asks_for_it() -> None:
    forest = RandomForestClassifier(n_estimators=2).fit(np.zeros((4, 1)), [0, 1, 0, 1])
    files = tiny() | {"model.skops": skops.io.dumps(forest)}

    with pytest.raises(NotLoadable, match=r"model\.skops is not loaded"):
        loaded(files)


def test_a_truncated_archive_is_not_loaded() -> None:
    with pytest.raises(NotLoadable):
        loaded(tiny() | {"model.skops": tiny()["model.skops"][:-100]})


def test_an_archive_with_a_second_front_is_not_loaded() -> None:
    with pytest.raises(NotLoadable, match="not a plain archive"):
        loaded(tiny() | {"model.skops": b"MZ-something-else" + tiny()["model.skops"]})


def test_a_zip_bomb_is_not_loaded() -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", b"{}")
        archive.writestr("1.npy", b"\0" * 50_000_000)

    with pytest.raises(NotLoadable):
        loaded(tiny() | {"model.skops": bomb.getvalue()})
