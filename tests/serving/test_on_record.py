"""MLflow's clients are on record as pages are: what they read or search for once, what they are refused once, and their deeds once."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from mlflow.exceptions import MlflowException

from access.models import User
from audit.models import Pending
from registry.models import ModelVersion, RegisteredModel
from serving.caller import set_caller
from serving.store import DjangoStore
from tests.conftest import MakeVersion, as_

pytestmark = pytest.mark.django_db


@pytest.fixture
def store() -> DjangoStore:
    return DjangoStore("django://default")


@pytest.fixture
def version(model: RegisteredModel, make_version: MakeVersion) -> ModelVersion:
    return make_version(model)


def last(count: int) -> list[dict[str, Any]]:
    """The entries after the first `count`."""
    return [orjson.loads(bytes(row.payload)) for row in Pending.objects.order_by("pk")[count:]]


def test_every_call_of_the_store_is_one_entry(store: DjangoStore, version: ModelVersion, alice: User) -> None:
    set_caller(as_(alice))
    calls = [
        (lambda: store.get_registered_model("credit"), "model.view"),
        (lambda: store.get_latest_versions("credit"), "model.view"),
        (lambda: store.get_model_version("credit", "1"), "version.view"),
        (lambda: store.get_model_version_download_uri("credit", "1"), "version.view"),
        (lambda: store.search_model_versions("name = 'credit'", 10), "search.run"),
        (lambda: store.update_registered_model("credit", "Other words"), "model.update"),
        (lambda: store.set_registered_model_alias("credit", "candidate", "1"), "alias.set"),
        (lambda: store.get_model_version_by_alias("credit", "candidate"), "version.view"),
    ]

    for call, action in calls:
        before = Pending.objects.count()
        call()
        assert [(one["action"], one["outcome"]) for one in last(before)] == [(action, "ok")]


def test_a_list_is_not_a_search_and_what_is_searched_for_can_be_erased(
    store: DjangoStore, version: ModelVersion, alice: User
) -> None:
    set_caller(as_(alice))
    before = Pending.objects.count()

    store.search_registered_models(max_results=10)
    store.search_registered_models("name = 'Moreau'", 10)

    (entry,) = last(before)
    assert entry["action"] == "search.run"
    assert b"Moreau" not in bytes(Pending.objects.latest("pk").payload)
    assert b"Moreau" in bytes(Pending.objects.latest("pk").private)


def test_what_a_client_is_refused_is_on_record_once(store: DjangoStore, version: ModelVersion, scorer: User) -> None:
    set_caller(as_(scorer))
    calls = [
        (lambda: store.get_model_version("nothing", "1"), "version.view"),
        (lambda: store.get_registered_model("nothing"), "model.view"),
        (lambda: store.get_model_version_download_uri("credit", "1"), "version.pull"),
        (lambda: store.update_registered_model("credit", "Other words"), "model.update"),
        (lambda: store.delete_registered_model_alias("nothing", "candidate"), "address.request"),
    ]

    for call, action in calls:
        before = Pending.objects.count()
        with pytest.raises(MlflowException):
            call()
        assert [(one["action"], one["outcome"]) for one in last(before)] == [(action, "denied")]
