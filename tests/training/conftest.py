"""What trainings stand on: a model, a dataset version and a recipe, made through the actions."""

from __future__ import annotations

import pytest
from pytest_django import Settings

from access.models import User
from datasets.models import DatasetVersion, Recipe
from registry.models import RegisteredModel
from tests.conftest import as_
from tests.datasets.made import prepared, registered, versioned
from training.actions import start_training
from training.models import TrainingJob


@pytest.fixture(autouse=True)
def _no_tracking(settings: Settings) -> None:
    """No MLflow server runs beside unit tests; a training without one registers its version all the same."""
    settings.MLFLOW_TRACKING_URI = ""


@pytest.fixture
def data(alice: User) -> DatasetVersion:
    """Version 1 of `loans`: 2020 and 2021."""
    return versioned(registered(alice), alice, rows=2_000)


@pytest.fixture
def recipe(data: DatasetVersion, alice: User) -> Recipe:
    """The standard recipe."""
    return prepared(data.dataset, alice)


@pytest.fixture
def training(model: RegisteredModel, data: DatasetVersion, recipe: Recipe, alice: User) -> TrainingJob:
    """A queued training of `credit`: on 2020, judged on 2021."""
    return start_training(
        model,
        dataset_version=data,
        recipe=recipe,
        split={"train": [2020], "test": [2021]},
        seed=7,
        reason="First try",
        by=as_(alice),
    )
