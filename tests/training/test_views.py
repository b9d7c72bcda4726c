"""The training pages and API."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from access.actions import create_person
from access.models import User
from access.principal import Principal
from datasets.models import DatasetVersion, Recipe
from jobs.models import Job
from registry.models import RegisteredModel
from tests.conftest import PASSWORD
from training.models import TrainingJob
from training.queries import progress_of

pytestmark = pytest.mark.django_db
ClientFor = Callable[[User], Client]
ApiFor = Callable[[User], APIClient]
LIST, NEW = reverse("training:list"), reverse("training:new")
LOGISTIC = {
    "logistic_regression-C": "1",
    "logistic_regression-max_iter": "200",
    "logistic_regression-class_weight": "none",
}


def test_an_empty_list_says_what_to_do_first(alice: User, bob: User, client_for: ClientFor) -> None:
    assert "Train a model" in client_for(alice).get(LIST).text
    assert "Somebody with the role Data scientist" in client_for(bob).get(LIST).text


def test_without_a_model_the_form_says_so(alice: User, client_for: ClientFor) -> None:
    assert "There is no model to train" in client_for(alice).get(NEW).text


def test_a_training_is_asked_for_by_a_plain_form(
    model: RegisteredModel, data: DatasetVersion, recipe: Recipe, alice: User, client_for: ClientFor
) -> None:
    client = client_for(alice)
    assert "Nothing goes live without signatures" in client.get(NEW).text
    form = {
        "model": model.pk, "dataset_version": data.pk, "recipe": recipe.pk, "algorithm": "logistic_regression",
        **LOGISTIC, "logistic_regression-C": "0.5", "train": "2020", "test": "2021", "cutoff": "0.4", "seed": "3", "reason": "Try",
    }  # fmt: skip

    answer = client.post(NEW, form)

    training = TrainingJob.objects.get()
    assert answer.headers["Location"] == training.get_absolute_url()
    assert (training.split, training.cutoff, training.parameters["C"]) == ({"train": [2020], "test": [2021]}, 0.4, 0.5)
    page = client.get(training.get_absolute_url()).text
    assert "waiting for a worker" in page
    assert 'hx-trigger="load delay:2s"' in page
    assert "Refresh" in page, "it works without JavaScript too"


def test_the_data_is_a_link_only_for_those_who_may_open_it(
    training: TrainingJob, alice: User, erin: User, client_for: ClientFor
) -> None:
    opened, plain = (client_for(reader).get(training.get_absolute_url()).text for reader in (alice, erin))

    assert 'href="/datasets/loans/?version=1"' in opened
    assert "/datasets/loans/" not in plain
    assert str(training.dataset_version) in plain


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"logistic_regression-C": "-1"}, "C must be a number from 0.0001 to 1000; it is -1."),
        ({"logistic_regression-C": "nan"}, "C must be a number"),
        ({"logistic_regression-C": "a half"}, "it is &#x27;a half&#x27;."),
        ({"logistic_regression-max_iter": "10.5"}, "max_iter must be a whole number from 10 to 5000"),
        ({"logistic_regression-max_iter": ""}, "max_iter must be a whole number from 10 to 5000; it is empty."),
        ({"logistic_regression-class_weight": "heavy"}, "class_weight must be one of none, balanced"),
        ({"algorithm": "svm"}, "svm is not one of the available choices"),
        ({"train": "2020", "test": ""}, "Name periods on both sides"),
        ({"train": "2020", "test": "2020"}, "both trained on and held out"),
        ({"cutoff": "2"}, "less than or equal to 0.99"),
        ({"model": "999999"}, "valid choice"),
        ({"model": ""}, "Choose a model from the list."),
    ],
)
def test_what_is_wrong_stands_on_the_form(
    change: dict[str, str],
    words: str,
    model: RegisteredModel,
    data: DatasetVersion,
    recipe: Recipe,
    alice: User,
    client_for: ClientFor,
) -> None:
    form = {
        "model": str(model.pk), "dataset_version": str(data.pk), "recipe": str(recipe.pk), "algorithm": "logistic_regression",
        **LOGISTIC, "train": "", "test": "", "cutoff": "0.5", "seed": "0",
    }  # fmt: skip

    answer = client_for(alice).post(NEW, form | change)

    assert answer.status_code == 400
    assert words in answer.text
    assert not TrainingJob.objects.exists()


def test_each_setting_of_the_chosen_algorithm_has_a_field_with_bounds_default_and_help(
    model: RegisteredModel, alice: User, client_for: ClientFor
) -> None:
    page = client_for(alice).get(NEW, {"algorithm": "random_forest", "random_forest-n_estimators": "50"}).text

    assert re.findall(r'name="(random_forest-\w+)"(?: value="(\w*)")?', page) == [
        ("random_forest-n_estimators", "50"),
        ("random_forest-max_depth", ""),
        ("random_forest-min_samples_leaf", "20"),
    ]
    assert "logistic_regression-" not in page
    assert "A whole number from 10 to 1000; default 200." in page
    assert "A whole number from 1 to 64, or nothing; default nothing." in page
    assert "Trees (n_estimators)" in page


def test_what_may_be_empty_is_nothing_and_numbers_arrive_as_numbers(
    model: RegisteredModel, data: DatasetVersion, recipe: Recipe, alice: User, client_for: ClientFor
) -> None:
    form = {
        "model": model.pk, "dataset_version": data.pk, "recipe": recipe.pk, "algorithm": "random_forest", "cutoff": "0.5",
        "seed": "0", "random_forest-n_estimators": "50", "random_forest-max_depth": "", "random_forest-min_samples_leaf": "5",
    }  # fmt: skip

    client_for(alice).post(NEW, form)

    assert TrainingJob.objects.get().parameters == {"n_estimators": 50, "max_depth": None, "min_samples_leaf": 5}


def test_without_scripts_another_algorithms_settings_are_shown_and_nothing_typed_is_lost(
    model: RegisteredModel, alice: User, client_for: ClientFor
) -> None:
    form = {"model": model.pk, "algorithm": "random_forest", "reason": "As agreed", "op": "settings", **LOGISTIC}

    answer = client_for(alice).post(NEW, form)

    assert answer.status_code == 200
    assert 'name="random_forest-max_depth"' in answer.text
    assert "logistic_regression-C" not in answer.text
    assert "As agreed" in answer.text
    assert f'value="{model.pk}" selected' in answer.text
    assert not TrainingJob.objects.exists()


def test_settings_that_were_not_on_the_page_are_shown_before_they_are_used(
    model: RegisteredModel, data: DatasetVersion, recipe: Recipe, alice: User, client_for: ClientFor
) -> None:
    form = {
        "model": model.pk, "dataset_version": data.pk, "recipe": recipe.pk, "algorithm": "random_forest", "cutoff": "0.5",
        "seed": "0", **LOGISTIC,
    }  # fmt: skip

    answer = client_for(alice).post(NEW, form)

    assert answer.status_code == 400
    assert "The settings of Random forest were not on the page yet." in answer.text
    assert 'name="random_forest-n_estimators" value="200"' in answer.text
    assert "n_estimators must be" not in answer.text, "nobody made that mistake"
    assert not TrainingJob.objects.exists()


def test_htmx_is_given_the_fields_of_the_algorithm_alone(
    model: RegisteredModel, alice: User, client_for: ClientFor
) -> None:
    client, asked = client_for(alice), {"part": "settings", "algorithm": "hist_gradient_boosting"}

    part = client.get(NEW, asked, headers={"HX-Request": "true"}).text

    assert "Settings of Gradient boosting on histograms" in part
    assert "hist_gradient_boosting-l2_regularization" in part
    assert "<form" not in part
    assert "<html" in client.get(NEW, asked).text, "the same address read without scripts is the page"


def test_cancel_and_retry_are_buttons_that_post(training: TrainingJob, alice: User, client_for: ClientFor) -> None:
    client = client_for(alice)
    assert client.get(reverse("training:cancel", args=[training.job.uuid])).status_code == 405

    client.post(reverse("training:cancel", args=[training.job.uuid]))
    assert "Retry" in client.get(training.get_absolute_url()).text
    client.post(reverse("training:retry", args=[training.job.uuid]))

    training.job.refresh_from_db()
    assert training.job.state == Job.State.QUEUED


def test_htmx_gets_the_part_that_changes_and_the_whole_page_at_the_end(
    training: TrainingJob, alice: User, client_for: ClientFor
) -> None:
    client, address = client_for(alice), training.get_absolute_url() + "?part=progress"

    part = client.get(address, headers={"HX-Request": "true"})
    assert "<html" not in part.text
    assert "HX-Refresh" not in part.headers
    assert "<html" in client.get(address).text, "the same address read without JavaScript is the page"

    Job.objects.filter(pk=training.job.pk).update(state="failed", finished_at=timezone.now(), error="It broke.")
    last = client.get(address, headers={"HX-Request": "true"})
    assert last.headers["HX-Refresh"] == "true"
    assert "It broke." in last.text


def test_a_job_of_a_model_one_may_not_see_looks_absent(training: TrainingJob, client_for: ClientFor) -> None:
    newcomer = create_person(
        "nina", display_name="Nina", email="nina@example.org", password=PASSWORD, by=Principal.system("operator")
    )
    client = client_for(newcomer)

    assert client.get(training.get_absolute_url()).status_code == 404
    assert client.post(reverse("training:cancel", args=[training.job.uuid])).status_code == 404
    assert training.get_absolute_url() not in client.get(LIST).text


def test_who_may_only_look_has_no_buttons(training: TrainingJob, bob: User, client_for: ClientFor) -> None:
    client = client_for(bob)

    assert "Cancel" not in client.get(training.get_absolute_url()).text
    assert client.get(NEW).status_code == 403
    assert client.post(reverse("training:cancel", args=[training.job.uuid])).status_code == 403


@pytest.mark.parametrize(("seconds", "poll"), [(5, 2), (60, 4), (600, 10)])
def test_polling_slows_down_from_two_to_ten_seconds(seconds: int, poll: int, training: TrainingJob) -> None:
    job = training.job
    job.state, job.started_at, job.done, job.total = "running", timezone.now() - timedelta(seconds=seconds), 1, 2

    progress = progress_of(job)

    assert progress.poll_seconds == poll
    assert progress.estimate


def test_the_api_starts_follows_and_cancels(
    model: RegisteredModel, data: DatasetVersion, recipe: Recipe, alice: User, bob: User, api_for: ApiFor
) -> None:
    body = {
        "model": "credit",
        "dataset": "loans",
        "recipe": "standard",
        "split": {"train": [2020], "test": [2021]},
        "requested_by": "bob",
    }

    started = api_for(alice).post("/api/v1/training/", body, format="json")

    assert started.status_code == 202
    assert started.json()["requested_by"] == "alice"
    address = f"/api/v1/training/{started.json()['uuid']}/"
    assert api_for(bob).get(address).json()["state"] == "queued"
    assert api_for(bob).post(address + "cancel/").status_code == 403
    assert api_for(alice).post(address + "cancel/").json()["state"] == "cancelled"
    assert api_for(alice).post(address + "cancel/").status_code == 409
    assert api_for(alice).post(address + "retry/").json()["state"] == "queued"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"recipe": "nothing"}, 404),
        ({"recipe": "standard#9"}, 404),
        ({"recipe": "../x"}, 400),
        ({"dataset": "x"}, 404),
        ({"model": "x"}, 404),
        ({"algorithm": "svm"}, 400),
        ({"dataset_number": 7}, 404),
    ],
)
def test_the_api_refuses_with_a_problem(
    change: dict[str, object], status: int, model: RegisteredModel, recipe: Recipe, alice: User, api_for: ApiFor
) -> None:
    body = {"model": "credit", "dataset": "loans", "recipe": "standard"}

    answer = api_for(alice).post("/api/v1/training/", body | change, format="json")

    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
