"""Settings within their ranges, and a sentence for each that is not."""

from __future__ import annotations

from typing import Any

import pytest

from training.algorithms import MAX_SEED, OFFERS, Algorithm, Setting, SettingMistakes, settings_for


def test_defaults_fill_what_is_not_given() -> None:
    assert settings_for("logistic_regression", {"C": 0.5}) == {"C": 0.5, "max_iter": 200, "class_weight": "none"}


@pytest.mark.parametrize(
    ("algorithm", "given", "seed", "sentence"),
    [
        ("svm", {}, 0, "no algorithm 'svm'"),
        ("logistic_regression", {"penalty": "l1"}, 0, "no setting 'penalty'"),
        ("logistic_regression", {"C": 0}, 0, "C must be a number from 0.0001 to 1000"),
        ("logistic_regression", {"C": "1"}, 0, "C must be"),
        ("logistic_regression", {"C": True}, 0, "C must be"),
        ("logistic_regression", {"C": float("nan")}, 0, "C must be"),
        ("logistic_regression", {"max_iter": 10.5}, 0, "a whole number"),
        ("logistic_regression", {"class_weight": "heavy"}, 0, "one of none, balanced"),
        ("random_forest", {"max_depth": 0}, 0, "or nothing"),
        ("logistic_regression", {}, -1, "seed must be"),
        ("logistic_regression", {}, MAX_SEED + 1, "seed must be"),
    ],
)
def test_settings_outside_their_range_are_told(algorithm: str, given: dict[str, Any], seed: int, sentence: str) -> None:
    with pytest.raises(SettingMistakes) as caught:
        settings_for(algorithm, given, seed=seed)

    assert sentence in str(caught.value)


def test_a_number_outside_its_range_is_told_as_it_was_written() -> None:
    rate = next(one for one in OFFERS[Algorithm.HIST_GRADIENT_BOOSTING].settings if one.name == "learning_rate")

    for text in ("7", "1.0001", "-0.5"):
        assert rate.mistake(rate.read(text)).endswith(f"; it is {text}.")


def test_a_fraction_where_a_whole_number_is_asked_for_is_told_as_a_fraction() -> None:
    with pytest.raises(SettingMistakes, match=r"a whole number from 10 to 5000; it is 10\.0\."):
        settings_for("logistic_regression", {"max_iter": 10.0})


def test_all_wrong_settings_are_told_at_once() -> None:
    with pytest.raises(SettingMistakes) as caught:
        settings_for("logistic_regression", {"C": -1, "penalty": 1}, seed=-1)

    assert len(caught.value.mistakes) == 3


EVERY = [setting for offer in OFFERS.values() for setting in offer.settings]


@pytest.mark.parametrize("setting", EVERY, ids=lambda one: one.name)
def test_every_setting_accepts_its_default_as_it_is_written_and_has_a_sentence_of_help(setting: Setting) -> None:
    assert setting.accepts(setting.default)
    assert setting.read(setting.write(setting.default)) == setting.default
    assert setting.help.endswith(".")
    assert setting.title


@pytest.mark.parametrize("setting", [one for one in EVERY if not one.choices], ids=lambda one: one.name)
def test_both_ends_of_a_range_are_accepted_and_nothing_beyond(setting: Setting) -> None:
    for text in (f"{setting.low:g}", f"{setting.high:.0f}"):
        assert setting.mistake(setting.read(text)) == ""

    for text in (f"{setting.low - 1:g}", f"{setting.high + 1:.0f}", "nan", "inf", "1e999", "9" * 5000, "much"):
        assert setting.expected in setting.mistake(setting.read(text))
