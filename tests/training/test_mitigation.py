"""What training does against unequal treatment: weights by their definition, a cut-off that nobody held out has seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.datasets.frames import loans, schema
from tests.training.test_process import asked
from training.mitigation import (
    MitigationMistake,
    Plan,
    choose_cutoff,
    joint_groups,
    row_weights,
    weight_table,
    weights,
)
from training.process import recompare, train
from training.request import MODEL_FOLDER, Champion

PROTECTED = ("sex", "age")


@given(arrays(np.int64, st.integers(4, 200), elements=st.integers(0, 7)))
def test_each_weight_is_the_expected_over_the_observed_share(drawn: np.ndarray) -> None:
    label, group = (drawn % 2).astype(np.float64), np.array([f"g{value // 2}" for value in drawn], dtype=object)

    found = weights(label, group)

    for name in np.unique(group):
        for outcome in (0.0, 1.0):
            cell = (group == name) & (label == outcome)
            if cell.any():
                expected = (group == name).mean() * (label == outcome).mean() / cell.mean()
                assert found[cell] == pytest.approx(expected)


def test_weights_of_complete_groups_add_up_and_share_one_base_rate() -> None:
    rng = np.random.default_rng(0)
    group = rng.choice(["a", "b"], 2_000, p=[0.8, 0.2]).astype(object)
    label = (rng.random(2_000) < np.where(group == "a", 0.7, 0.3)).astype(float)

    found = weights(label, group)

    assert found.sum() == pytest.approx(2_000)
    for name in ("a", "b"):
        assert np.average(label[group == name], weights=found[group == name]) == pytest.approx(label.mean())


def test_the_weights_are_written_down_by_group_and_outcome() -> None:
    frame = loans(500)
    plan = Plan.of({"reweighing": ["sex", "age"]}, PROTECTED)
    groups = joint_groups(frame, plan.reweighing, schema())
    label = frame["repaid"].to_numpy(dtype=float)
    found = row_weights(frame, plan, schema())
    assert found is not None

    table = weight_table(label, groups, found)

    assert sum(row["rows"] for row in table) == 500
    assert sum(row["rows"] * row["weight"] for row in table) == pytest.approx(found.sum(), abs=1e-2)


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 0.9), st.floats(0, 0.1))
def test_the_chosen_cutoff_never_widens_the_gap_nor_costs_more_than_allowed(
    seed: int, wanted: float, loss: float
) -> None:
    rng = np.random.default_rng(seed)
    group = rng.choice(["a", "b"], 400).astype(object)
    truth = rng.beta(2, 2, 400)
    label = (rng.random(400) < truth).astype(float)
    score = np.clip(truth - 0.2 * (group == "b"), 0, 1)

    choice = choose_cutoff(label, score, {"group": group}, asked=wanted, max_accuracy_loss=loss)

    assert choice.gap_chosen <= choice.gap_asked + 1e-9
    assert choice.accuracy_chosen >= choice.accuracy_asked - loss - 1e-9
    assert choice.accuracy_chosen == pytest.approx(((score >= choice.chosen) == (label == 1)).mean())


@pytest.mark.parametrize(("positives", "chosen"), [(5, 0.5), (19, 0.5), (20, 0.1)])
def test_group_that_is_too_small_does_not_choose_the_cutoff(positives: int, chosen: float) -> None:
    """At 0.5 the groups a and b are alike and the third is far off; at 0.1 the three are closer together, a and b farther apart."""
    score = np.r_[
        np.repeat([0.9, 0.1], [200, 200]),
        np.repeat([0.9, 0.1, 0.03], [200, 160, 40]),
        np.full(positives, 0.55),
        np.full(200, 0.02),
    ]
    label = np.r_[np.ones(800 + positives), np.zeros(200)]
    group = np.repeat(np.array(["a", "b", "third", "a"], dtype=object), [400, 400, positives, 200])

    choice = choose_cutoff(label, score, {"group": group}, asked=0.5, max_accuracy_loss=0.2)

    assert choice.chosen == pytest.approx(chosen)


@pytest.mark.parametrize(
    ("given_", "sentence"),
    [
        ({"reweighing": ["income"]}, "income is not a protected attribute"),
        ({"reweighing": "sex"}, "takes a list"),
        ({"removal": ["sex"]}, "no mitigation removal"),
        ({"threshold": ["sex"], "max_accuracy_loss": 0.9}, "from 0 to 0.2"),
        ({"threshold": ["sex"], "max_accuracy_loss": -0.1}, "from 0 to 0.2"),
        ({"threshold": ["sex"], "max_accuracy_loss": False}, "from 0 to 0.2"),
        ({"threshold": ["sex"], "max_accuracy_loss": "none"}, "from 0 to 0.2"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_refused_in_words(given_: dict[str, Any], sentence: str) -> None:
    with pytest.raises(MitigationMistake, match=sentence):
        Plan.of(given_, PROTECTED)


def test_a_plan_survives_its_canonical_form() -> None:
    plan = Plan.of({"reweighing": ["sex"], "threshold": ["age", "sex"]}, PROTECTED)

    assert Plan.of(plan.as_dict(), PROTECTED) == plan
    assert plan.method == "reweighing + threshold"
    assert plan.attributes == ["sex", "age"]
    assert Plan().as_dict() == {}


def test_the_chosen_cutoff_is_in_the_bytes_and_in_the_evidence(tmp_path: Path) -> None:
    answer = train(asked(tmp_path, mitigation={"reweighing": ["sex"], "threshold": ["age"]}), tmp_path)

    record = answer.evidence["fairness"]["mitigation"]
    chosen = record["threshold"]["chosen"]
    assert record["method"] == "reweighing + threshold"
    assert answer.evidence["metrics"]["cutoff"] == chosen
    assert f"cutoff: {chosen}" in (tmp_path / MODEL_FOLDER / "MLmodel").read_text()
    assert record["before"]["cutoff"] == 0.5
    assert record["after"]["worst_gap"]["value"] == pytest.approx(
        answer.evidence["fairness"]["worst"]["equal_opportunity_gap"]["value"]
    )
    assert record["weights"]
    assert json.loads(json.dumps(record)) == record


def test_the_cutoff_is_chosen_without_the_held_out_rows(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = train(asked(tmp_path / "a", mitigation={"threshold": ["age"]}), tmp_path / "a")
    changed = asked(tmp_path / "b", mitigation={"threshold": ["age"]})
    frame = loans(1_500)
    held = frame["year"] == 2021
    frame.loc[held, "repaid"] = 1 - frame.loc[held, "repaid"]
    frame.to_parquet(changed.data_path, index=False)

    second = train(changed, tmp_path / "b")

    assert (
        second.evidence["fairness"]["mitigation"]["threshold"] == first.evidence["fairness"]["mitigation"]["threshold"]
    )


def test_the_model_that_the_cutoff_is_chosen_by_has_not_learned_from_those_rows(tmp_path: Path) -> None:
    """What is repaid is drawn by lot: a forest that may remember every row is right about those alone that it has seen."""
    request = asked(
        tmp_path,
        mitigation={"threshold": ["age"]},
        algorithm="random_forest",
        settings={"max_depth": 64, "min_samples_leaf": 1},
    )
    frame = loans(1_500)
    frame["repaid"] = np.random.default_rng(3).integers(0, 2, len(frame)).astype("int8")
    frame.to_parquet(request.data_path, index=False)

    answer = train(request, tmp_path)

    assert answer.evidence["fairness"]["mitigation"]["threshold"]["accuracy_asked"] < 0.6


def test_training_without_mitigation_says_so(tmp_path: Path) -> None:
    answer = train(asked(tmp_path), tmp_path)

    assert answer.evidence["fairness"]["mitigation"] == {"method": "none", "attributes": [], "parameters": {}}


def test_both_versions_are_loaded_and_scored_on_the_same_rows_again(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    old = train(asked(tmp_path / "old", settings={"C": 0.001}), tmp_path / "old")
    champion = Champion(1, str(tmp_path / "old" / MODEL_FOLDER / "model.skops"), 0.5, "aa")
    trained = train(asked(tmp_path, champion=champion), tmp_path)
    candidate = Champion(2, str(tmp_path / MODEL_FOLDER / "model.skops"), 0.5, "bb")

    again = recompare(asked(tmp_path, champion=champion, candidate=candidate))

    assert old.evidence["metrics"]["metrics"]["auc"]["value"] > 0.5
    assert again.evidence == {"comparison": trained.evidence["comparison"]}
    assert again.evidence["comparison"]["against_digest"] == "aa"
