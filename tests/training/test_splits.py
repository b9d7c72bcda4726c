"""Who is trained on and who is held out."""

from __future__ import annotations

from typing import Any

import pytest

from tests.datasets.frames import loans
from training.splits import SplitMistake, check, divide, years_apart


def test_periods_divide_the_rows() -> None:
    frame = loans(600, years=(2019, 2020, 2021))

    split = divide(frame, {"train": [2019, 2020], "test": [2021]}, time_column="year", target="repaid", seed=0)

    assert set(split.train["year"]) == {2019, 2020}
    assert set(split.test["year"]) == {2021}
    assert split.train_periods == ("2019", "2020")
    assert years_apart(split.train_periods, split.test_periods) == 1


def test_a_share_is_stratified_and_seeded() -> None:
    frame = loans(1_000)

    split, again = (divide(frame, {"test_fraction": 0.25}, time_column="", target="repaid", seed=4) for _ in range(2))

    assert len(split.test) == 250
    assert split.test["repaid"].mean() == pytest.approx(split.train["repaid"].mean(), abs=0.01)
    assert not set(split.train.index) & set(split.test.index)
    assert split.test.index.equals(again.test.index)


@pytest.mark.parametrize(
    ("split", "time_column", "sentence"),
    [
        ({"train": [2020], "test": [2020]}, "year", "both trained on and held out"),
        ({"train": [2020], "test": ["2020"]}, "year", "both trained on and held out"),
        ({"train": [], "test": [2020]}, "year", "at least one period"),
        ({"train": [2020]}, "year", "either"),
        ({"train": [2020], "test": [2021], "x": 1}, "year", "either"),
        ({"train": [2020], "test": [2021]}, "", "no time column"),
        ({"test_fraction": 0.9}, "year", "from 0.05 to 0.5"),
        ({"test_fraction": True}, "year", "from 0.05 to 0.5"),
    ],
)
def test_a_split_that_cannot_be_is_told(split: dict[str, Any], time_column: str, sentence: str) -> None:
    with pytest.raises(SplitMistake, match=sentence):
        check(split, time_column=time_column)


def test_periods_that_are_absent_and_sides_that_are_too_small_are_told() -> None:
    frame = loans(120)

    with pytest.raises(SplitMistake, match=r"no rows for year 1999; they have 2020, 2021"):
        divide(frame, {"train": [1999], "test": [2021]}, time_column="year", target="repaid", seed=0)
    with pytest.raises(SplitMistake, match="rows are left to hold out"):
        divide(frame, {"test_fraction": 0.05}, time_column="year", target="repaid", seed=0)


def test_periods_that_are_not_years_have_no_distance() -> None:
    assert years_apart(("spring",), ("autumn",)) is None
