"""How a change between two measurements is told."""

from __future__ import annotations

from dataclasses import replace

from reviews.sections.differences import change, paired


def test_change_beyond_noise_has_a_direction_and_a_judgement() -> None:
    found = paired({"value": -0.002, "low": -0.003, "high": -0.001}, lower_is_better=True)

    assert found is not None
    assert (found.noise, found.arrow, found.judged) == (False, "down", "1")


def test_change_whose_interval_includes_zero_is_noise() -> None:
    found = paired({"value": 0.001, "low": -0.001, "high": 0.003})

    assert found is not None
    assert (found.noise, found.arrow, found.judged) == (True, "", "")


def test_change_without_intervals_may_be_noise() -> None:
    found = change({"value": 0.8}, {"value": 0.7})

    assert found is not None
    assert found.noise


def test_change_that_is_neither_better_nor_worse_is_no_noise_for_that() -> None:
    found = paired({"value": 0.009, "low": 0.008, "high": 0.01})

    assert found is not None
    neutral = replace(found, better=None)
    assert (neutral.noise, neutral.arrow, neutral.judged) == (False, "up", "")
