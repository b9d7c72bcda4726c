"""The unmodified MLflow client against a real server process: what works as everywhere, and what is refused until it is signed."""

from __future__ import annotations

import hashlib
import socket
import time
import warnings
from collections.abc import Callable, Iterator
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException, RestException
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.serving.installation import Installation

pytestmark = [
    pytest.mark.story,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore"),
]  # MLflow warns about its own future

ROWS = pd.DataFrame({"age": [23.0, 35.0, 51.0, 64.0], "hours": [10.0, 40.0, 38.0, 20.0]})
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    made = Installation(tmp_path_factory.mktemp("mlflow-story"))
    try:
        made.start_jobs()
        made.start_mlflow()
        yield made
    finally:
        made.stop_all()


class Client:
    """The MLflow client with one token, as a program of the user would set it up."""

    def __init__(self, installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
        self.installation, self.monkeypatch = installation, monkeypatch

    def be(self, name: str) -> MlflowClient:
        import mlflow

        self.monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", self.installation.tokens.get(name, name))
        mlflow.set_tracking_uri(self.installation.mlflow)
        mlflow.set_registry_uri(self.installation.mlflow)
        return MlflowClient()


@pytest.fixture
def client(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    return Client(installation, monkeypatch)


@pytest.fixture(scope="module")
def fitted() -> Any:
    random = np.random.default_rng(3)
    rows = pd.DataFrame({"age": random.normal(40, 10, 60), "hours": random.normal(35, 5, 60)})
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, (rows.age + rows.hours > 75).astype(int))


def log(fitted: Any, **options: Any) -> Any:
    import mlflow

    with warnings.catch_warnings(), mlflow.start_run():
        warnings.simplefilter("ignore")
        return mlflow.sklearn.log_model(
            fitted,
            name="model",
            input_example=ROWS,
            pip_requirements=["scikit-learn==1.9.1", "skops==0.16.0"],
            **options,
        )


def code_of(error: MlflowException) -> str:
    return str(error.error_code)


def test_the_whole_story(client: Client, installation: Installation, fitted: Any, tmp_path: Path) -> None:
    import mlflow

    # registered with one call, as everywhere
    registrar = client.be("register")
    logged = log(fitted, registered_model_name="credit")
    assert str(logged.registered_model_version) == "1"
    version = registrar.get_model_version("credit", "1")
    assert (version.status, version.current_stage, version.user_id) == ("READY", "None", "register")
    assert registrar.get_registered_model("credit").name == "credit"

    # who works on candidates may load it, by number
    ours = mlflow.sklearn.load_model("models:/credit/1").predict(ROWS)
    assert ours.tolist() == fitted.predict(ROWS).tolist()

    # the stage's alias and the stage are refused, and the refusal says everything that is missing
    for attempt in (
        lambda: registrar.set_registered_model_alias("credit", "champion", "1"),
        lambda: registrar.transition_model_version_stage("credit", "1", "Production"),
    ):
        with pytest.raises(RestException) as refused:
            attempt()
        assert code_of(refused.value) == "PERMISSION_DENIED"
        waiting = [
            one for one in refused.value.json["requirements"] if one["status"] in {"waiting", "unsatisfied", "error"}
        ]
        assert len(waiting) >= 2
        assert all(one["title"] in str(refused.value) for one in waiting)

    # a free alias moves, tags are set, and all of it is found again
    registrar.set_registered_model_alias("credit", "trial", "1")
    registrar.set_model_version_tag("credit", "1", "team", "risk")
    assert registrar.get_model_version_by_alias("credit", "trial").tags == {"team": "risk"}
    assert [one.version for one in registrar.search_model_versions("name = 'credit' and tags.team = 'risk'")] == ["1"]
    assert [one.name for one in registrar.search_registered_models("name LIKE 'cre%'")] == ["credit"]

    # a service that pulls gets nothing unsigned: not by number, not by a free alias, not by a stage's
    client.be("pull")
    for uri in ("models:/credit/1", "models:/credit@trial"):
        with pytest.raises(MlflowException) as unsigned:
            mlflow.sklearn.load_model(uri)
        assert code_of(unsigned.value) == "RESOURCE_CONFLICT"
        assert "has no approval in force for Production" in str(unsigned.value)
        assert "validator" in str(unsigned.value).lower()
    with pytest.raises(MlflowException, match="points at nothing yet") as nothing:
        mlflow.sklearn.load_model("models:/credit@champion")
    assert code_of(nothing.value) == "INVALID_PARAMETER_VALUE"

    # signed by two people and promoted: it loads, and is byte for byte what was signed
    signed = installation.act("promote", "1")
    for uri in ("models:/credit@champion", "models:/credit/1"):
        assert mlflow.sklearn.load_model(uri).predict(ROWS).tolist() == ours.tolist()
    folder = Path(mlflow.artifacts.download_artifacts("models:/credit@champion", dst_path=str(tmp_path)))
    got = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }
    got.pop("registered_model_meta", None)  # written by the client after the download
    assert got == signed["files"]
    assert client.be("pull").get_model_version("credit", "1").current_stage == "Production"

    # revoked: refused at once, by every name
    installation.act("revoke", "1")
    for uri in ("models:/credit@champion", "models:/credit/1"):
        with pytest.raises(MlflowException):
            mlflow.sklearn.load_model(uri)


def test_frozen_files_stay_as_they_were_signed_when_the_run_s_are_overwritten(
    client: Client, fitted: Any, installation: Installation
) -> None:
    import mlflow

    registrar = client.be("register")
    logged = log(fitted, registered_model_name="frozen")
    model = registrar.get_logged_model(logged.model_id)
    path = model.artifact_location.removeprefix("mlflow-artifacts:/")
    headers = {"Authorization": f"Bearer {installation.tokens['register']}"}
    put = httpx.put(f"{installation.mlflow}{ARTIFACTS}/{path}/model.skops", content=b"something else", headers=headers)
    assert put.status_code == 200, "what a run logged belongs to the run"

    loaded = mlflow.sklearn.load_model(f"models:/frozen/{logged.registered_model_version}")

    assert loaded.predict(ROWS).tolist() == fitted.predict(ROWS).tolist()


def test_register_model_from_a_run_twice_within_the_retry_window_is_one_version(client: Client, fitted: Any) -> None:
    import mlflow

    client.be("register")
    logged = log(fitted)

    first = mlflow.register_model(logged.model_uri, "retried")
    second = mlflow.register_model(logged.model_uri, "retried")

    assert (first.version, second.version) == ("1", "1")


def test_what_admission_refuses_fails_with_its_reason(client: Client, fitted: Any) -> None:
    import mlflow

    client.be("register")
    logged = log(fitted)
    run = logged.model_id
    location = MlflowClient().get_logged_model(run).artifact_location.removeprefix("mlflow-artifacts:/")
    headers = {"Authorization": f"Bearer {client.installation.tokens['register']}"}
    evil = httpx.put(
        f"{client.installation.mlflow}{ARTIFACTS}/{location}/code/__init__.py", content=b"import os", headers=headers
    )
    assert evil.status_code == 200

    with pytest.raises(MlflowException, match="creation failed") as failed:
        mlflow.register_model(logged.model_uri, "hostile")

    assert "FAILED_REGISTRATION" in str(failed.value)
    assert "code" in str(failed.value)


@pytest.mark.parametrize(
    "source",
    [
        "file:///etc",
        "/etc",
        "../../etc",
        "mlflow-artifacts:/../../etc",
        "mlflow-artifacts:/%2e%2e/%2e%2e/etc",
        "mlflow-artifacts:/%252e%252e/etc",
        "mlflow-artifacts:/1/..\\..\\etc",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]:9/x",
        "http://localhost:1/api/2.0/mlflow-artifacts/artifacts/x",
        "mlflow-artifacts://elsewhere:5000/x",
        "s3://bucket/x",
        "models:/frozen",
        "runs:/0123456789abcdef0123456789abcdef/model",
        "models:/m-0123456789abcdef0123456789abcdef",
    ],
)
def test_a_source_elsewhere_is_refused(client: Client, source: str) -> None:
    registrar = client.be("register")

    with pytest.raises(MlflowException) as refused:
        registrar.create_model_version("credit", source, await_creation_for=0)

    assert code_of(refused.value) in {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"}


def test_stock_errors(client: Client) -> None:
    registrar = client.be("register")
    expected: dict[str, list[Callable[[], object]]] = {
        "RESOURCE_DOES_NOT_EXIST": [
            lambda: registrar.get_registered_model("unheard"),
            lambda: registrar.get_model_version("credit", "99"),
        ],
        "INVALID_PARAMETER_VALUE": [
            lambda: registrar.get_model_version_by_alias("credit", "unheard"),
            lambda: registrar.search_registered_models("name ~ 'x'"),
            lambda: registrar.set_registered_model_alias("credit", "latest", "1"),
        ],
        "RESOURCE_ALREADY_EXISTS": [lambda: registrar.create_registered_model("credit")],
        "RESOURCE_CONFLICT": [
            lambda: registrar.rename_registered_model("credit", "other"),
            lambda: registrar.delete_registered_model_alias("credit", "champion"),
        ],
    }
    for code, attempts in expected.items():
        for attempt in attempts:
            with pytest.raises(MlflowException) as refused:
                attempt()
            assert code_of(refused.value) == code, refused.value
    with pytest.raises(MlflowException, match="edit a model's description") as forbidden:
        client.be("pull").update_registered_model("credit", "mine now")
    assert code_of(forbidden.value) == "PERMISSION_DENIED"


def test_traces_and_runs_are_kept_found_and_put_away(client: Client) -> None:
    import mlflow

    registrar = client.be("register")
    experiment = mlflow.set_experiment("traced").experiment_id
    with mlflow.start_span("outer") as outer, mlflow.start_span("inner"):
        outer.set_inputs({"age": 35})
    mlflow.flush_trace_async_logging()

    trace = registrar.get_trace(outer.trace_id)
    registrar.set_trace_tag(outer.trace_id, "team", "risk")
    mlflow.log_feedback(trace_id=outer.trace_id, name="right", value=True)
    found = mlflow.search_traces(locations=[experiment], filter_string="tags.team = 'risk'", return_type="list")
    with mlflow.start_run() as parent, mlflow.start_run(nested=True) as child:
        pass
    registrar.delete_run(child.info.run_id)

    assert {span.name for span in trace.data.spans} == {"outer", "inner"}
    assert [one.info.trace_id for one in found] == [outer.trace_id]
    assert [one.info.run_id for one in registrar.search_runs([experiment])] == [parent.info.run_id]
    registrar.restore_run(child.info.run_id)
    assert registrar.delete_traces(experiment, trace_ids=[outer.trace_id]) == 1
    with pytest.raises(MlflowException, match="may not write runs"):
        client.be("pull").set_trace_tag(outer.trace_id, "team", "mine")


def test_a_trace_cannot_send_the_server_to_read_or_delete_elsewhere(
    client: Client, installation: Installation, tmp_path: Path
) -> None:
    experiment = client.be("register").create_experiment("astray")
    info = {
        "trace_id": "tr-" + "a" * 32,
        "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}},
        "request_time": "2026-01-01T00:00:00Z",
        "state": "OK",
        "tags": {"mlflow.trace.spansLocation": "ARCHIVE_REPO", "mlflow.trace.archiveLocation": str(tmp_path)},
    }
    headers = {"Authorization": f"Bearer {installation.tokens['register']}"}

    answer = httpx.post(
        f"{installation.mlflow}/api/3.0/mlflow/traces", json={"trace": {"trace_info": info}}, headers=headers
    )

    assert answer.status_code == 400, answer.text
    assert "archives traces" in answer.json()["message"]


def test_nobody_gets_in_without_a_token(
    client: Client, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MlflowException, match="token is unknown"):
        client.be("cs_abcdefgh_" + "x" * 43).get_registered_model("credit")
    monkeypatch.delenv("MLFLOW_TRACKING_TOKEN")
    with pytest.raises(MlflowException, match="Send a service token"):
        MlflowClient().get_registered_model("credit")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "anybody")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", installation.tokens["register"])
    assert MlflowClient().get_registered_model("credit").name == "credit"


def test_a_service_that_pulls_reads_no_runs_into_being(client: Client) -> None:
    with pytest.raises(MlflowException, match="may not write runs"):
        client.be("pull").create_experiment("mine")
    with pytest.raises(MlflowException, match="may not read runs"):
        client.be("score").search_experiments()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/static-files/index.html"),
        ("GET", "/ajax-api/2.0/mlflow/registered-models/search"),
        ("POST", "/ajax-api/2.0/mlflow/registered-models/alias"),
        ("POST", "/graphql"),
        ("GET", "/get-artifact?path=x&run_id=y"),
        ("GET", "/model-versions/get-artifact?name=credit&version=1&path=MLmodel"),
        ("POST", "/ajax-api/2.0/mlflow/webhooks"),
        ("GET", "/api/3.0/mlflow/gateway/secrets/list"),
        ("POST", "/gateway/x/mlflow/invocations"),
        ("POST", "/api/2.0/mlflow/upload-artifact"),
        ("POST", "/ajax-api/3.0/jobs"),
        ("POST", "/api/3.0/mlflow/scorers/register"),
        ("DELETE", "/api/2.0/mlflow-artifacts/artifacts/1/x"),
        ("POST", "/api/2.0/mlflow-artifacts/mpu/create/countersign/credit/1"),
    ],
)
def test_other_doors_are_closed(installation: Installation, method: str, path: str) -> None:
    headers = {"Authorization": f"Bearer {installation.tokens['register']}"}

    assert httpx.request(method, installation.mlflow + path).status_code == 401
    answer = httpx.request(method, installation.mlflow + path, headers=headers)

    assert answer.status_code == 404
    assert answer.json()["error_code"] == "RESOURCE_DOES_NOT_EXIST"


@pytest.mark.parametrize(
    "path",
    [
        "countersign/credit/1/MLmodel",
        "Countersign/credit/1/MLmodel",
        "countersign/new/1/x",
        "%63ountersign/credit/1/x",
        "%2563ountersign/x/1/x",
    ],
)
def test_registered_files_cannot_be_written(installation: Installation, path: str) -> None:
    headers = {"Authorization": f"Bearer {installation.tokens['register']}"}

    answer = httpx.put(f"{installation.mlflow}{ARTIFACTS}/{path}", content=b"x", headers=headers)

    assert answer.status_code in {400, 403}
    assert answer.json()["error_code"] in {"PERMISSION_DENIED", "INVALID_PARAMETER_VALUE"}


@pytest.mark.parametrize(
    "path", ["x/../countersign/credit/1/x", "%2e%2e/x", "a/%2e%2e/%2e%2e/x", "a//b", "a/%00b", "a/%5c..%5cb"]
)
def test_artifact_paths_hide_nothing(installation: Installation, path: str) -> None:
    headers = {"Authorization": f"Bearer {installation.tokens['register']}"}

    answer = httpx.request(
        "PUT",
        httpx.URL(installation.mlflow).copy_with(raw_path=f"{ARTIFACTS}/{path}".encode()),
        content=b"x",
        headers=headers,
    )

    assert answer.status_code in {400, 403, 404}


def test_an_upload_beyond_the_limit_is_refused_before_it_is_read(installation: Installation) -> None:
    head = (
        f"PUT {ARTIFACTS}/1/big HTTP/1.1\r\nHost: localhost:{installation.mlflow_port}\r\n"
        f"Authorization: Bearer {installation.tokens['register']}\r\nContent-Length: {3 * 1024**3}\r\n\r\n"
    )

    with socket.create_connection(("127.0.0.1", installation.mlflow_port), timeout=20) as connection:
        connection.sendall(head.encode())
        answer = HTTPResponse(connection)
        answer.begin()
        said = answer.read().decode()

    assert answer.status == 400
    assert "at most 2,147,483,648 bytes" in said


def test_the_front_page_says_where_to_go(installation: Installation) -> None:
    assert installation.portal in httpx.get(installation.mlflow).text
    assert httpx.get(f"{installation.mlflow}/version").text.startswith("3.")


def test_it_stops_in_time(installation: Installation) -> None:
    begun = time.monotonic()

    installation.stop("mlflow")

    assert time.monotonic() - begun < 20
