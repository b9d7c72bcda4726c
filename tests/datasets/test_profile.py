"""Profiles: what is said of a table, recomputed with pandas."""

from __future__ import annotations

import json
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest

from datasets.drift import Shift
from datasets.profile import bins_from, positive, profile, wilson
from datasets.schema import infer
from tests.datasets.frames import loans, schema


def test_columns_are_described() -> None:
    frame = loans()
    frame.loc[:99, "income"] = np.nan

    found = {column.name: column for column in profile(frame, schema()).columns}

    income = found["income"]
    assert income.missing == 100
    assert income.numeric is not None
    assert income.numeric.median == pytest.approx(frame["income"].median())
    assert income.numeric.q95 == pytest.approx(frame["income"].quantile(0.95))
    assert sum(income.numeric.counts) == 1100
    region = found["region"]
    assert region.numeric is None
    assert [share.meaning for share in region.categories] == ["north", "south", "west"]
    assert region.categories[0].count == int((frame["region"] == 1).sum())


def test_protected_groups_have_share_and_label_rate_with_an_interval() -> None:
    frame = loans()

    sex = profile(frame, schema()).protected[0]

    women = frame[frame["sex"] == 2]
    group = next(group for group in sex.groups if group.group == "female")
    assert group.rows == len(women)
    assert group.label_rate == pytest.approx(women["repaid"].mean())
    assert group.low is not None
    assert group.high is not None
    assert group.low < women["repaid"].mean() < group.high


def test_age_bands_stand_in_their_order() -> None:
    age = profile(loans(), schema()).protected[1]

    assert [group.group for group in age.groups] == ["under 25", "25 to 39", "40 to 64", "65 and over"]


def test_duplicates_and_contradictions_are_counted() -> None:
    frame = loans(50)
    twin = frame.iloc[[0]]
    opposite = frame.iloc[[1]].assign(repaid=1 - frame.iloc[1]["repaid"], year=frame.iloc[1]["year"])

    found = profile(pd.concat([frame, twin, opposite], ignore_index=True), schema())

    assert found.duplicates == 1
    assert found.contradictions == 2


def test_identifiers_leaks_constants_and_gaps_are_pointed_out() -> None:
    frame = loans(300)
    frame["person"] = [f"p{i}" for i in range(300)]
    frame["outcome_code"] = frame["repaid"] * 10
    frame["country"] = "DE"
    frame.loc[:9, "income"] = np.nan
    guessed = infer(frame, label="repaid", time="year", protected=["sex"])

    hints = {(hint.code, hint.column) for hint in profile(frame, guessed).hints}

    assert {
        ("identifier", "person"),
        ("leakage", "outcome_code"),
        ("constant", "country"),
        ("missing", "income"),
    } <= hints


def test_a_stand_in_for_a_protected_attribute_is_pointed_out() -> None:
    frame = loans(800)
    rng = np.random.default_rng(0)
    frame["title"] = np.where(rng.random(800) < 0.9, frame["sex"], 3 - frame["sex"])
    guessed = infer(frame, label="repaid", time="year", protected=["sex"])

    assert ("proxy", "title") in {(hint.code, hint.column) for hint in profile(frame, guessed).hints}


def test_drift_is_measured_against_the_stored_profile_of_the_version_before() -> None:
    before, after = loans(seed=1), loans(seed=2)
    after["income"] = after["income"] + 25
    stored = json.loads(json.dumps(profile(before, schema()).as_dict()))

    found = profile(after, schema(), previous=bins_from(stored))

    assert found.drift[0].column == "income"
    assert found.drift[0].shift is Shift.LARGE
    assert {column.column for column in found.drift} == set(schema().names) - {"year"}, "periods differ by design"
    assert all(column.shift is Shift.STABLE for column in found.drift[1:])


def test_a_profile_is_plain_json_with_finite_numbers() -> None:
    frame = loans(60)
    frame["income"] = np.nan

    text = json.dumps(profile(frame, schema()).as_dict(), allow_nan=False)

    assert json.loads(text)["rows"] == 60


def test_a_table_without_rows_has_no_profile() -> None:
    with pytest.raises(ValueError, match="no rows"):
        profile(loans(10).head(0), schema())


def test_a_label_must_have_two_classes_and_no_gaps() -> None:
    assert positive(pd.Series(["no", "yes", "no"])).tolist() == [0.0, 1.0, 0.0]
    assert positive(pd.Series([0, 0])).tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="two classes"):
        positive(pd.Series([1, 2, 3], name="y"))
    with pytest.raises(ValueError, match="missing"):
        positive(pd.Series([1, None], name="y"))


def test_wilsons_interval_is_the_one_of_the_paper() -> None:
    """Solved from the score equation |p - x| = z * sqrt(x (1 - x) / n)."""
    low, high = wilson(7, 50)

    z = NormalDist().inv_cdf(0.975)
    for bound in (low, high):
        assert abs(7 / 50 - bound) == pytest.approx(z * np.sqrt(bound * (1 - bound) / 50))
    assert wilson(0, 0) == (0.0, 1.0)
