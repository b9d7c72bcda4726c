"""The dataset pages and API: what is empty says so, what is wrong stands beside its field, and nobody sees what they may not."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from access.models import User
from datasets.models import Dataset, DatasetVersion, Recipe
from tests.datasets.frames import RECIPE, SCHEMA, loans
from tests.datasets.made import parquet, prepared, registered, versioned

pytestmark = pytest.mark.django_db
ClientFor = Callable[[User], Client]
ApiFor = Callable[[User], APIClient]
LIST = reverse("datasets:list")


def upload(seed: int = 0) -> SimpleUploadedFile:
    return SimpleUploadedFile("loans.parquet", parquet(loans(300, seed=seed)).getvalue())


def test_an_empty_list_says_what_to_do_first(alice: User, bob: User, client_for: ClientFor) -> None:
    assert "Register a dataset" in client_for(alice).get(LIST).text
    assert "Somebody with the role Data scientist" in client_for(bob).get(LIST).text


def test_nobody_in_particular_is_sent_to_log_in(client: Client, dataset: Dataset) -> None:
    for address in (LIST, reverse("datasets:detail", args=["loans"]), reverse("datasets:new")):
        assert client.get(address).status_code == 302


def test_from_registering_to_a_profile_by_plain_forms(
    alice: User, client_for: ClientFor, perform_jobs: Callable[[], int]
) -> None:
    client = client_for(alice)
    made = client.post(
        reverse("datasets:new"),
        {
            "name": "loans",
            "title": "Loans",
            "target": "repaid",
            "time_column": "year",
            "protected": "sex, age",
            "schema": json.dumps(SCHEMA),
        },
    )
    assert made.headers["Location"] == reverse("datasets:upload", args=["loans"])

    sent = client.post(made.headers["Location"], {"file": upload(), "note": "first"})
    assert sent.headers["Location"] == reverse("datasets:detail", args=["loans"])
    assert "A worker is profiling version 1" in client.get(sent.headers["Location"]).text

    perform_jobs()
    page = client.get(sent.headers["Location"]).text
    for words in (
        "Protected attributes",
        "under 25",
        "Cramér",
        "This is the first version with a profile",
        "No recipe yet",
        "No model yet",
    ):
        assert words in page


def test_the_second_version_shows_its_drift(
    dataset: Dataset, alice: User, client_for: ClientFor, perform_jobs: Callable[[], int]
) -> None:
    versioned(dataset, alice, seed=1)
    versioned(dataset, alice, seed=2)
    perform_jobs()

    page = client_for(alice).get(reverse("datasets:detail", args=["loans"])).text

    assert "Population stability index against v1" in page
    assert "Kolmogorov-Smirnov" in page


def test_a_refused_upload_stands_on_the_form(dataset: Dataset, alice: User, client_for: ClientFor) -> None:
    file = SimpleUploadedFile("loans.parquet", parquet(loans(80).drop(columns=["age"])).getvalue())

    answer = client_for(alice).post(reverse("datasets:upload", args=["loans"]), {"file": file})

    assert answer.status_code == 400
    assert "Column &#x27;age&#x27; is missing" in answer.text
    assert not DatasetVersion.objects.exists()


def test_every_mistake_of_a_recipe_stands_on_the_form(dataset: Dataset, alice: User, client_for: ClientFor) -> None:
    address = reverse("datasets:recipe_new", args=["loans"])
    bad = {"recipe": 1, "target": "repaid", "steps": [{"step": "zap"}, {"step": "drop", "columns": ["nothing"]}]}

    answer = client_for(alice).post(address, {"name": "bad", "content": json.dumps(bad)})
    broken = client_for(alice).post(address, {"name": "bad", "content": "{"})

    assert answer.status_code == 400
    assert "zap" in answer.text
    assert "nothing" in answer.text
    assert "This is not JSON" in broken.text


def test_a_recipe_is_read_in_words(dataset: Dataset, alice: User, client_for: ClientFor) -> None:
    versioned(dataset, alice)
    recipe = prepared(dataset, alice)

    page = client_for(alice).get(reverse("datasets:recipe", args=["loans", recipe.name, recipe.number])).text

    assert "Hold back sex" in page


def test_who_may_only_look_has_no_way_to_write(dataset: Dataset, bob: User, client_for: ClientFor) -> None:
    client = client_for(bob)

    assert "New version" not in client.get(reverse("datasets:detail", args=["loans"])).text
    for address in (
        reverse("datasets:new"),
        reverse("datasets:upload", args=["loans"]),
        reverse("datasets:recipe_new", args=["loans"]),
    ):
        assert client.get(address).status_code == 403
        assert client.post(address, {}).status_code == 403


@pytest.mark.parametrize(
    "address",
    ["/datasets/nothing/", "/datasets/loans/?version=9", "/datasets/loans/?version=-1", "/datasets/loans/recipes/x/1/"],
)
def test_what_is_not_there_is_not_found(address: str, dataset: Dataset, alice: User, client_for: ClientFor) -> None:
    assert client_for(alice).get(address).status_code == 404


def test_a_longer_list_asks_the_database_no_more(
    alice: User, client_for: ClientFor, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(12):
        registered(alice, f"loans-{number}")
    client = client_for(alice)
    client.get(LIST)

    with django_assert_max_num_queries(14):
        client.get(LIST)


def test_the_api_registers_uploads_profiles_and_adds_recipes(
    alice: User, api_for: ApiFor, perform_jobs: Callable[[], int]
) -> None:
    api = api_for(alice)
    body = {
        "name": "loans",
        "title": "Loans",
        "target": "repaid",
        "time_column": "year",
        "schema": SCHEMA,
        "owner": "root",
    }
    assert api.post("/api/v1/datasets/", body, format="json").status_code == 201
    assert Dataset.objects.get().owner == alice, "the owner is whoever asks, whatever the body says"

    sent = api.post("/api/v1/datasets/loans/versions/", {"file": upload()}, format="multipart")
    assert (sent.status_code, sent.json()["number"]) == (201, 1)
    assert api.get("/api/v1/datasets/loans/versions/1/profile/").status_code == 404
    perform_jobs()
    assert api.get("/api/v1/datasets/loans/versions/1/profile/").json()["rows"] == 300

    kept = api.post("/api/v1/datasets/loans/recipes/", {"name": "standard", "content": RECIPE}, format="json")
    assert (kept.status_code, Recipe.objects.count()) == (201, 1)
    assert api.get("/api/v1/datasets/").json()["results"][0]["newest_version"] == 1


def test_a_refusal_over_the_api_is_a_problem(dataset: Dataset, alice: User, bob: User, api_for: ApiFor) -> None:
    malformed = api_for(alice).post("/api/v1/datasets/loans/recipes/", {"name": "x", "content": {}}, format="json")
    forbidden = api_for(bob).post("/api/v1/datasets/", {"name": "a", "title": "a", "target": "a"}, format="json")

    assert malformed.status_code == 400
    assert malformed.json()["type"].endswith("recipe-malformed")
    assert malformed.headers["Content-Type"] == "application/problem+json"
    assert forbidden.status_code == 403
