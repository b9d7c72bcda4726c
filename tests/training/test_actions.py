"""Asking for a training: who may, and what does not go together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from access.models import User
from datasets.models import DatasetVersion, Recipe
from foundation.refusals import Conflict, Forbidden, Invalid
from jobs.models import Job
from registry.actions import archive_model, create_model
from registry.models import RegisteredModel
from tests.conftest import MakeVersion, as_
from tests.datasets.made import prepared, registered, versioned
from training.actions import cancel_training, compare_again, default_split, retrain, retry_training, start_training
from training.models import TrainingJob

pytestmark = pytest.mark.django_db


def test_a_training_is_queued_with_complete_settings(training: TrainingJob, alice: User) -> None:
    assert training.job.state == Job.State.QUEUED
    assert training.job.max_attempts == 2, "a lost worker is made good for once"
    assert training.parameters == {"C": 1.0, "max_iter": 200, "class_weight": "none"}
    assert training.requested_by == alice


def test_training_needs_the_role_and_the_model(
    model: RegisteredModel, data: DatasetVersion, recipe: Recipe, bob: User, root: User
) -> None:
    for person in (bob, root):
        with pytest.raises(Forbidden):
            start_training(model, dataset_version=data, recipe=recipe, by=as_(person))

    assert not TrainingJob.objects.exists()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"algorithm": "svm"}, "parameters"),
        ({"parameters": {"C": -1}}, "parameters"),
        ({"seed": -1}, "parameters"),
        ({"split": {"train": [2020], "test": [2020]}}, "split"),
        ({"split": {"when": 3}}, "split"),
        ({"cutoff": 1.0}, "cutoff"),
    ],
)
def test_what_is_wrong_is_told_by_field(
    change: dict[str, Any], field: str, model: RegisteredModel, data: DatasetVersion, recipe: Recipe, alice: User
) -> None:
    with pytest.raises(Invalid) as caught:
        start_training(model, dataset_version=data, recipe=recipe, by=as_(alice), **change)

    assert set(caught.value.errors) == {field}
    assert not Job.objects.filter(kind="training.train").exists()


def test_all_that_is_wrong_is_told_at_once(model: RegisteredModel, data: DatasetVersion, alice: User) -> None:
    other = registered(alice, "other")
    versioned(other, alice)
    foreign = prepared(other, alice)

    with pytest.raises(Invalid) as caught:
        start_training(model, dataset_version=data, recipe=foreign, algorithm="svm", cutoff=7, by=as_(alice))

    assert set(caught.value.errors) == {"recipe", "parameters", "cutoff"}


def test_a_retraining_follows_a_version_of_its_own_model(
    model: RegisteredModel, data: DatasetVersion, recipe: Recipe, alice: User, make_version: MakeVersion
) -> None:
    other = create_model("other", tier=3, description="", intended_use="", owner=alice, by=as_(alice))

    with pytest.raises(Invalid, match="version of another model"):
        start_training(model, dataset_version=data, recipe=recipe, retrain_of=make_version(other), by=as_(alice))


def test_nothing_is_trained_for_an_archived_model(
    model: RegisteredModel, data: DatasetVersion, recipe: Recipe, alice: User
) -> None:
    archive_model(model, by=as_(alice))

    with pytest.raises(Conflict, match="archived"):
        start_training(model, dataset_version=data, recipe=recipe, by=as_(alice))


def test_by_default_the_newest_period_is_held_out(data: DatasetVersion, perform_jobs: Callable[[], int]) -> None:
    assert default_split(data) == {"train": [2020], "test": [2021]}, "also while its profile is still being made"
    perform_jobs()
    data.refresh_from_db()

    assert default_split(data) == {"train": [2020], "test": [2021]}


def test_what_was_not_trained_here_cannot_be_retrained(
    model: RegisteredModel, data: DatasetVersion, alice: User, make_version: MakeVersion
) -> None:
    with pytest.raises(Conflict, match="not trained here"):
        retrain(make_version(model), dataset_version=data, by=as_(alice))


def test_a_waiting_training_is_cancelled_at_once_and_can_be_retried(training: TrainingJob, alice: User) -> None:
    cancel_training(training, by=as_(alice))
    training.job.refresh_from_db()
    assert training.job.state == Job.State.CANCELLED

    retry_training(training, by=as_(alice))

    training.job.refresh_from_db()
    assert training.job.state == Job.State.QUEUED


def test_only_who_may_train_the_model_may_steer_its_trainings(training: TrainingJob, bob: User) -> None:
    for steer in (cancel_training, retry_training):
        with pytest.raises(Forbidden):
            steer(training, by=as_(bob))


def test_a_finished_training_has_nothing_to_cancel(training: TrainingJob, alice: User) -> None:
    cancel_training(training, by=as_(alice))

    with pytest.raises(Conflict):
        cancel_training(training, by=as_(alice))


def test_a_mitigation_is_kept_and_repeated_by_a_retraining(
    model: RegisteredModel, data: DatasetVersion, recipe: Recipe, alice: User, make_version: MakeVersion
) -> None:
    asked = {"reweighing": ["sex"], "threshold": ["age"]}
    first = start_training(model, dataset_version=data, recipe=recipe, mitigation=asked, by=as_(alice))
    version = make_version(model, by=alice)
    TrainingJob.objects.filter(pk=first.pk).update(version=version)

    again = retrain(version, dataset_version=data, by=as_(alice))

    assert again.mitigation == first.mitigation == asked | {"max_accuracy_loss": 0.02}


def test_a_mitigation_for_a_column_that_is_not_protected_is_refused_beside_its_field(
    model: RegisteredModel, data: DatasetVersion, recipe: Recipe, alice: User
) -> None:
    with pytest.raises(Invalid) as refused:
        start_training(model, dataset_version=data, recipe=recipe, mitigation={"reweighing": ["income"]}, by=as_(alice))

    assert "income is not a protected attribute" in refused.value.errors["mitigation"]
    assert not Job.objects.filter(kind="training.train").exists()


def test_nothing_is_compared_again_without_a_training_and_another_version_in_production(
    training: TrainingJob, model: RegisteredModel, make_version: MakeVersion, alice: User, bob: User
) -> None:
    version = make_version(model, by=alice)

    with pytest.raises(Conflict, match="was not trained here"):
        compare_again(version, by=as_(alice))
    TrainingJob.objects.filter(pk=training.pk).update(version=version)
    with pytest.raises(Conflict, match="No other version is in production"):
        compare_again(version, by=as_(alice))
    with pytest.raises(Forbidden):
        compare_again(version, by=as_(bob))
