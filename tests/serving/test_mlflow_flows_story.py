"""What teams do all day with the MLflow client, unmodified, against a real server process; and how long a refusal takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException, RestException
from sklearn.linear_model import LogisticRegression

from tests.serving.installation import Installation
from tests.serving.test_mlflow_story import ROWS, fitted, log

__all__ = ["fitted"]

pytestmark = [
    pytest.mark.story,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore"),
]  # MLflow warns about its own future


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    made = Installation(tmp_path_factory.mktemp("mlflow-flows"))
    try:
        made.start_jobs()
        made.start_mlflow()
        yield made
    finally:
        made.stop_all()


@pytest.fixture
def client(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """The client of who registers, with every default of MLflow's: it would repeat a 5xx for four minutes."""
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", installation.tokens["register"])
    mlflow.set_tracking_uri(installation.mlflow)
    mlflow.set_registry_uri(installation.mlflow)
    return MlflowClient()


def test_autolog_keeps_run_and_model_and_registers_it(client: MlflowClient) -> None:
    mlflow.set_experiment("autolog")
    mlflow.sklearn.autolog(registered_model_name="flows-autolog", log_input_examples=True, silent=True)
    try:
        with mlflow.start_run() as run:
            LogisticRegression().fit(ROWS, [0, 1, 1, 0])
    finally:
        mlflow.sklearn.autolog(disable=True)

    kept = client.get_run(run.info.run_id)
    (version,) = client.search_model_versions("name = 'flows-autolog'")

    assert "training_accuracy_score" in kept.data.metrics
    assert kept.data.params["penalty"] is not None
    assert [one.source_run_id for one in mlflow.search_logged_models(output_format="list")] == [run.info.run_id]
    assert version.run_id == run.info.run_id


def test_the_run_of_a_version_is_found_however_it_was_registered(client: MlflowClient, fitted: Any) -> None:
    logged = log(fitted, registered_model_name="flows-run")
    run = client.get_logged_model(logged.model_id).source_run_id
    by_run = mlflow.register_model(f"runs:/{run}/model", "flows-run-too")
    by_model = client.create_model_version("flows-run-too", f"models:/{logged.model_id}", model_id=logged.model_id)

    found = client.search_model_versions(f"run_id = '{run}'")

    assert {(one.name, one.version) for one in found} >= {
        ("flows-run", "1"),
        ("flows-run-too", by_run.version),
        ("flows-run-too", by_model.version),
    }


def test_a_copy_has_the_bytes_the_run_and_the_tags_and_another_approval(
    client: MlflowClient, fitted: Any, tmp_path: Path
) -> None:
    log(fitted, registered_model_name="flows-original")
    client.set_model_version_tag("flows-original", "1", "team", "risk")
    client.set_registered_model_alias("flows-original", "trial", "1")

    copies = [
        client.copy_model_version("models:/flows-original@trial", "flows-copy"),
        client.copy_model_version("models:/flows-original/1", "flows-copy-too"),
    ]

    original = client.get_model_version("flows-original", "1")
    for copy in copies:
        client._get_registry_client().store._await_model_version_creation(copy, 60)
        made = client.get_model_version(copy.name, copy.version)
        assert (made.status, made.run_id, made.tags) == ("READY", original.run_id, {"team": "risk"})
        assert made.source == "models:/flows-original/1"
        assert made.aliases == []
        assert mlflow.sklearn.load_model(f"models:/{copy.name}/{copy.version}").predict(ROWS).tolist() == (
            fitted.predict(ROWS).tolist()
        )


def test_runs_inside_runs_are_found_below_their_parent(client: MlflowClient) -> None:
    experiment = mlflow.set_experiment("nested").experiment_id
    with mlflow.start_run(run_name="sweep") as parent:
        for depth in (1, 2, 3):
            with mlflow.start_run(nested=True):
                mlflow.log_param("depth", depth)
                mlflow.log_metric("auc", depth / 10)

    children = client.search_runs(
        [experiment], f"tags.mlflow.parentRunId = '{parent.info.run_id}'", order_by=["metrics.auc DESC"]
    )

    assert [one.data.params["depth"] for one in children] == ["3", "2", "1"]
    assert len(client.search_runs([experiment])) == 4


def test_pages_of_a_search_hold_everything_once(client: MlflowClient, fitted: Any) -> None:
    log(fitted, registered_model_name="flows-pages-0")
    for number in range(1, 8):
        client.copy_model_version("models:/flows-pages-0/1", f"flows-pages-{number}")

    def pages(search: Callable[..., Any]) -> list[list[str]]:
        found, token = [], None
        while True:
            page = search(
                filter_string="name LIKE 'flows-pages-%'", max_results=3, order_by=["name ASC"], page_token=token
            )
            found.append([one.name for one in page])
            token = page.token
            if not token:
                return found

    names = [f"flows-pages-{number}" for number in range(8)]
    for search in (client.search_registered_models, client.search_model_versions):
        found = pages(search)
        assert [len(page) for page in found] == [3, 3, 2]
        assert [name for page in found for name in page] == names
    assert [one.name for one in mlflow.search_registered_models(filter_string="name LIKE 'flows-pages-%'")] == names


def seconds_of_a_refusal(attempt: Callable[[], object]) -> tuple[float, MlflowException]:
    """The shortest of three: this machine does other things too, and a client that repeats waits seconds each time."""
    shortest, said = float("inf"), None
    for _ in range(3):
        begun = time.monotonic()
        with pytest.raises(MlflowException) as refused:
            attempt()
        shortest, said = min(shortest, time.monotonic() - begun), refused.value
    assert said is not None
    return shortest, said


def test_a_refusal_comes_at_once_and_says_where_to_ask(
    client: MlflowClient, installation: Installation, fitted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    log(fitted, registered_model_name="flows-refused")
    moves: list[Callable[[], object]] = [
        lambda: client.set_registered_model_alias("flows-refused", "champion", "1"),
        lambda: client.transition_model_version_stage("flows-refused", "1", "Production"),
    ]
    others: list[Callable[[], object]] = [
        lambda: client.rename_registered_model("flows-refused", "flows-renamed"),
        lambda: client.create_model_version("flows-refused", "s3://bucket/x"),
        lambda: client.get_model_version("flows-refused", "99"),
    ]

    for move in moves:
        took, refused = seconds_of_a_refusal(move)
        assert took < 1, refused
        assert isinstance(refused, RestException)
        where = f"{installation.portal}/models/flows-refused/v/1/request-review/?stage=production"
        assert refused.json["link"] == where
        assert where in str(refused)
        assert [one["title"] for one in refused.json["requirements"]]
    for other in others:
        took, refused = seconds_of_a_refusal(other)
        assert took < 1, refused
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", installation.tokens["pull"])
    took, refused = seconds_of_a_refusal(lambda: client.get_model_version_download_uri("flows-refused", "1"))
    assert took < 1, refused
