"""A client whose tracking server is elsewhere registers here: real servers, a real bucket, and the unmodified MLflow client."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]  # the extra has no types
import httpx
import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from tests.buckets import s3_server
from tests.serving.installation import Installation, free_port
from tests.serving.test_mlflow_story import ROWS, fitted, log

__all__ = ["fitted"]

pytestmark = [
    pytest.mark.story,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore"),
]  # MLflow warns about its own future


class Elsewhere:
    """A stock tracking server with a folder of its own, started and stopped as a test wants."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        arguments = [
            sys.executable, "-m", "mlflow", "server",
            "--backend-store-uri", f"sqlite:///{self.folder / 'runs.sqlite3'}",
            "--artifacts-destination", str(self.folder / "artifacts"),
            "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1",
        ]  # fmt: skip
        quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        with (self.folder / "log").open("wb") as output:
            self.process = subprocess.Popen(
                arguments, env=kept | quiet, stdout=output, stderr=output, start_new_session=True
            )

    def stop(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elsewhere]:
    made = Elsewhere(tmp_path_factory.mktemp("elsewhere") / "server")
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory, elsewhere: Elsewhere, bucket: str) -> Iterator[Installation]:
    upstreams = [
        {"upstream": "mlflow", "name": "lab", "url": elsewhere.url},
        {"upstream": "s3", "name": "models", "bucket": "models", "prefix": "prod", "endpoint": bucket},
    ]
    secrets = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    made = Installation(
        tmp_path_factory.mktemp("upstream-story"), COUNTERSIGN_UPSTREAMS=json.dumps(upstreams), **secrets
    )
    try:
        made.start_jobs()
        made.start_mlflow()
        made.wait(f"{elsewhere.url}/health", seconds=90)
        yield made
    finally:
        made.stop_all()


@pytest.fixture
def client(installation: Installation, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """Runs go to the stock server, models to ours: as two variables of the environment say it."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", installation.tokens["register"])
    mlflow.set_tracking_uri(elsewhere.url)
    mlflow.set_registry_uri(installation.mlflow)
    return MlflowClient()


def run_of(logged: Any) -> str:
    return str(MlflowClient().get_logged_model(logged.model_id).source_run_id)


def same_answers(uri: str, fitted: Any) -> bool:
    return bool(mlflow.sklearn.load_model(uri).predict(ROWS).tolist() == fitted.predict(ROWS).tolist())


def test_a_model_that_was_logged_elsewhere_is_registered_with_the_same_call_as_everywhere(
    client: MlflowClient, fitted: Any
) -> None:
    logged = log(fitted, registered_model_name="lab-credit")

    version = client.get_model_version("lab-credit", "1")

    assert (version.status, version.source) == ("READY", f"models:/{logged.model_id}")
    assert version.run_id == run_of(logged)
    assert [one.version for one in client.search_model_versions(f"run_id = '{version.run_id}'")] == ["1"]
    assert same_answers("models:/lab-credit/1", fitted)


def test_what_is_registered_stays_when_the_other_server_s_file_is_overwritten(
    client: MlflowClient, fitted: Any, elsewhere: Elsewhere
) -> None:
    logged = log(fitted, registered_model_name="lab-frozen")
    location = client.get_logged_model(logged.model_id).artifact_location.removeprefix("mlflow-artifacts:/")
    put = httpx.put(f"{elsewhere.url}/api/2.0/mlflow-artifacts/artifacts/{location}/model.skops", content=b"else")
    assert put.status_code == 200

    assert same_answers("models:/lab-frozen/1", fitted)


def test_by_run_as_the_client_resolves_it_and_as_it_is_written(
    client: MlflowClient, fitted: Any, tmp_path: Path
) -> None:
    logged = log(fitted)
    mlflow.sklearn.save_model(
        fitted, str(tmp_path / "m"), input_example=ROWS, pip_requirements=["scikit-learn==1.9.1", "skops==0.16.0"]
    )
    with mlflow.start_run() as run:  # as clients before MLflow 3 kept a model: among the artifacts of its run
        mlflow.log_artifacts(str(tmp_path / "m"), "old-way")

    first = mlflow.register_model(f"runs:/{run_of(logged)}/model", "lab-by-run")
    second = mlflow.register_model(f"runs:/{run.info.run_id}/old-way", "lab-by-run")
    third = client.create_model_version("lab-by-run", f"runs:/{run_of(logged)}/model", run_of(logged))
    fourth = client.create_model_version("lab-by-run", f"runs:/{run.info.run_id}/old-way", run.info.run_id)

    assert str(second.source).startswith("mlflow-artifacts:/")
    made = [client.get_model_version("lab-by-run", one.version) for one in (first, second, third, fourth)]
    assert [one.status for one in made] == ["READY"] * 4
    assert [one.run_id for one in made] == [run_of(logged), run.info.run_id] * 2
    assert same_answers(f"models:/lab-by-run/{second.version}", fitted)
    assert same_answers(f"models:/lab-by-run/{third.version}", fitted)


def test_what_no_server_knows_exists_and_says_why_it_is_unusable(client: MlflowClient) -> None:
    client.create_registered_model("lab-unknown")
    unknown = "0123456789abcdef0123456789abcdef"

    with pytest.raises(MlflowException, match="FAILED_REGISTRATION") as failed:
        client.create_model_version("lab-unknown", f"models:/m-{unknown}")

    assert "No tracking server here knows" in str(failed.value)
    version = client.get_model_version("lab-unknown", "1")
    assert str(version.status_message).startswith("Its files could not be fetched: ")
    with pytest.raises(MlflowException, match="rejected"):
        mlflow.sklearn.load_model("models:/lab-unknown/1")


def test_a_source_outside_of_the_run_that_is_named_with_it_is_not_fetched(client: MlflowClient, fitted: Any) -> None:
    logged = log(fitted)
    client.create_registered_model("lab-outside")
    location = client.get_logged_model(logged.model_id).artifact_location
    with mlflow.start_run() as other:
        pass

    with pytest.raises(MlflowException, match="does not lie in the artifacts of"):
        client.create_model_version("lab-outside", location, other.info.run_id)
    with pytest.raises(MlflowException) as refused:
        client.create_model_version("lab-outside", "mlflow-artifacts:/1/../2", other.info.run_id)
    assert refused.value.error_code == "INVALID_PARAMETER_VALUE"


def test_a_server_that_is_away_for_a_while_holds_up_and_loses_nothing(
    client: MlflowClient, fitted: Any, elsewhere: Elsewhere
) -> None:
    logged = log(fitted)
    client.create_registered_model("lab-away")
    elsewhere.stop()

    pending = client.create_model_version("lab-away", f"models:/{logged.model_id}", await_creation_for=0)
    again = client.create_model_version("lab-away", f"models:/{logged.model_id}", await_creation_for=0)
    elsewhere.start()
    client._get_registry_client().store._await_model_version_creation(pending, 120)

    assert (pending.status, again.version) == ("PENDING_REGISTRATION", pending.version)
    assert same_answers("models:/lab-away/1", fitted)


def test_a_folder_of_a_configured_bucket_is_fetched_and_no_other(
    client: MlflowClient, fitted: Any, bucket: str, tmp_path: Path
) -> None:
    s3 = boto3.client(
        "s3", endpoint_url=bucket, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    )
    s3.create_bucket(Bucket="models")
    mlflow.sklearn.save_model(
        fitted, str(tmp_path / "m"), input_example=ROWS, pip_requirements=["scikit-learn==1.9.1", "skops==0.16.0"]
    )
    for path in (tmp_path / "m").rglob("*"):
        if path.is_file():
            s3.upload_file(str(path), "models", f"prod/credit/{path.relative_to(tmp_path / 'm')}")
    client.create_registered_model("lab-bucket")

    version = client.create_model_version("lab-bucket", "s3://models/prod/credit")

    assert client.get_model_version("lab-bucket", version.version).status == "READY"
    assert same_answers("models:/lab-bucket/1", fitted)
    for other in ("s3://models/trial/credit", "s3://other/prod/credit", "s3://models/prod/../secret"):
        with pytest.raises(MlflowException) as refused:
            client.create_model_version("lab-bucket", other)
        assert refused.value.error_code == "INVALID_PARAMETER_VALUE"
    with pytest.raises(MlflowException, match="There are no files at s3://models/prod/nothing"):
        client.create_model_version("lab-bucket", "s3://models/prod/nothing")
