"""The form in which bounds are proposed: a field for each bound, and a sentence beside each that does not hold."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from access.models import User
from registry.models import ModelVersion, Stage
from reviews.bounds import Bounds, MetricBound, Setting
from reviews.envelope_forms import ProposeForm
from reviews.envelopes import suggested
from reviews.models import RetrainingEnvelope
from tests.reviews.test_envelopes import base, clock, source, trained
from tests.reviews.test_renewal import put_in_force

__all__ = ["base", "clock", "put_in_force", "source", "trained"]

START = Bounds(
    dataset="employment",
    recipe="c" * 64,
    features=("AGEP", "SCHL"),
    algorithm="gradient_boosting",
    settings={
        "learning_rate": Setting(allowed=(0.1,)),
        "early_stopping": Setting(allowed=(True,)),
        "max_depth": Setting(allowed=(None,)),
    },
    metrics=(MetricBound("auc", 0.005), MetricBound("ece", 0.01, "lower")),
    worst_gap_at_most=0.08,
)


def typed(**changes: Any) -> dict[str, Any]:
    """What a browser sends when nothing but `changes` is typed into the form."""
    form = ProposeForm(start=START, initial={"until": (timezone.now() + timedelta(days=90)).date()})
    sent = {field.name: "" if field.value() is None else str(field.value()) for field in form}
    return sent | {"why": "New data every quarter.", **changes}


def filled(**changes: Any) -> ProposeForm:
    return ProposeForm(typed(**changes), start=START)


def test_what_is_left_as_it_was_proposes_the_bounds_that_were_suggested() -> None:
    form = filled()

    assert form.is_valid(), form.errors
    assert form.bounds() == START.as_dict()


def test_a_range_takes_the_place_of_a_value() -> None:
    form = filled(**{"learning_rate-allowed": "", "learning_rate-low": "0.05", "learning_rate-high": "0.2"})

    assert form.is_valid(), form.errors
    assert form.bounds()["settings"]["learning_rate"] == {"low": 0.05, "high": 0.2}


def test_several_values_keep_their_kinds() -> None:
    form = filled(**{"max_depth-allowed": "none, 3, 0.5, deep, TRUE"})

    assert form.is_valid(), form.errors
    assert form.bounds()["settings"]["max_depth"] == {"allowed": [None, 3, 0.5, "deep", True]}


def test_only_numbers_have_a_range() -> None:
    rows = {row.name: row for row in filled().setting_rows()}

    assert rows["learning_rate"].low is not None
    assert rows["early_stopping"].low is None
    assert rows["max_depth"].high is None


def test_a_metric_that_is_left_empty_is_not_bounded_and_each_has_its_direction() -> None:
    form = filled(**{"margin-auc": "", "margin-brier": "0.02"})

    assert form.is_valid(), form.errors
    assert form.bounds()["metrics"] == [
        {"metric": "brier", "margin": 0.02, "better": "lower"},
        {"metric": "ece", "margin": 0.01, "better": "lower"},
    ]
    assert "margin-selection_rate" not in form.fields


@pytest.mark.parametrize(
    ("changes", "field", "sentence"),
    [
        ({"why": " "}, "why", "Say why"),
        ({"recipe": "c" * 63}, "recipe", "64 hexadecimal digits"),
        ({"recipe": "c" * 65}, "recipe", "64 hexadecimal digits"),
        ({"features": "AGEP\nSCHL\nAGEP"}, "features", "AGEP stands there twice"),
        ({"features": " \n "}, "features", "Name the features"),
        ({"max_uses": "0"}, "max_uses", "From 1 to 50"),
        ({"max_uses": "51"}, "max_uses", "From 1 to 50"),
        ({"worst_gap_at_most": "1.2"}, "worst_gap_at_most", "between 0 and 1"),
        ({"margin-auc": "0.6"}, "margin-auc", "between 0 and 0.5"),
        ({"margin-auc": "-0.1"}, "margin-auc", "between 0 and 0.5"),
        ({"margin-auc": "nan"}, "margin-auc", "between 0 and 0.5"),
        ({"margin-auc": "", "margin-ece": ""}, "margin-auc", "Bound at least one metric"),
        ({"learning_rate-low": "0.05"}, "learning_rate-allowed", "either a range or values"),
        ({"learning_rate-allowed": ""}, "learning_rate-low", "both ends"),
        ({"learning_rate-allowed": "", "learning_rate-low": "0.1"}, "learning_rate-high", "both ends"),
        (
            {"learning_rate-allowed": "", "learning_rate-low": "0.2", "learning_rate-high": "0.1"},
            "learning_rate-high",
            "give 0.2 or more",
        ),
        ({"learning_rate-low": "much"}, "learning_rate-low", "Give a number"),
        ({"early_stopping-allowed": ""}, "early_stopping-allowed", "Name the values that early_stopping may have"),
        ({"early_stopping-allowed": " , "}, "early_stopping-allowed", "Name the values that early_stopping may have"),
    ],
)
def test_what_cannot_be_signed_is_said_beside_its_field(changes: dict[str, str], field: str, sentence: str) -> None:
    form = filled(**changes)

    assert not form.is_valid()
    assert list(form.errors) == [field]
    assert sentence in str(form.errors[field])


@pytest.mark.django_db
def test_the_page_proposes_without_any_script(
    base: ModelVersion, production: Stage, alice: User, client_for: Callable[[User], Client]
) -> None:
    path = f"/models/{base.model.name}/envelope/propose/"
    page = client_for(alice).get(path).content.decode()
    start = suggested(base, production)
    form = ProposeForm(start=start, initial={"until": (timezone.now() + timedelta(days=90)).date()})
    sent = {field.name: "" if field.value() is None else str(field.value()) for field in form}
    assert all(f'name="{name}"' in page for name in sent)

    refused = client_for(alice).post(path, {**sent, "why": "Quarterly data.", "margin-auc": "7"})
    done = client_for(alice).post(path, {**sent, "why": "Quarterly data.", "margin-auc": "0.01"})

    assert refused.status_code == 400
    assert "A margin lies between 0 and 0.5" in refused.content.decode()
    assert done.status_code == 302
    assert RetrainingEnvelope.objects.get().bounds["metrics"][0] == {
        "metric": "auc",
        "margin": 0.01,
        "better": "higher",
    }
