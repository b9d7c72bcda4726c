"""Which sources are fetched from elsewhere, from which configured places, and how a bucket is read; the bucket is moto's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from pytest_django import Settings

from access.models import User
from audit.anchors.protocol import SinkMisconfigured
from foundation.refusals import Invalid
from registry import actions
from registry.models import ModelVersion, RegisteredModel
from registry.store import ArtifactStore
from serving import fetching
from serving.fetching import Changed, Interrupted
from serving.mlflow_runs import run_of_logged_model
from serving.tracking import backend_uri, home
from serving.upstreams import configured, is_elsewhere
from serving.upstreams_s3 import Bucket, BucketFolder
from tests.buckets import client_of, s3_server
from tests.conftest import as_

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow uses what SQLAlchemy is about to drop

LAB = {"upstream": "mlflow", "name": "lab", "url": "https://lab.example.org"}
MODELS = {"upstream": "s3", "name": "models", "bucket": "models", "prefix": "prod"}
UNKNOWN = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A tracking database of our own with a run that logged a model: its folder and their ids."""
    folder = tmp_path_factory.mktemp("here")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("django.conf.settings.VAR_DIR", folder, raising=False)
        home().mkdir()
        client = MlflowClient(tracking_uri=backend_uri())
        experiment = client.create_experiment("ours", artifact_location="mlflow-artifacts:/1")
        run = client.create_run(experiment).info.run_id
        model = client.create_logged_model(experiment, name="model", source_run_id=run).model_id
    return folder, run, model


@pytest.fixture
def ours(here: tuple[Path, str, str], settings: Settings) -> tuple[str, str]:
    settings.VAR_DIR, settings.UPSTREAMS = here[0], [LAB]
    return here[1], here[2]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"upstream": "ftp"}, "there is no upstream 'ftp'"),
        ({"upstream": "mlflow"}, "lacks url"),
        ({"upstream": "mlflow", "url": "http://lab.example.org"}, "begins with https://"),
        ({"upstream": "mlflow", "url": "https://user:secret@lab.example.org"}, "names a host and no user or password"),
        ({"upstream": "mlflow", "url": "https://lab.example.org/?x=1"}, "has no query"),
        ({"upstream": "s3"}, "lacks bucket"),
        ({"upstream": "s3", "bucket": "b", "endpoint": "http://minio:9000"}, "begins with https://"),
    ],
)
def test_what_is_configured_wrongly_says_where(entry: dict[str, str], said: str, settings: Settings) -> None:
    settings.UPSTREAMS = [LAB, entry]

    with pytest.raises(SinkMisconfigured, match="upstream 2 of 2 in COUNTERSIGN_UPSTREAMS") as wrong:
        configured()

    assert said in str(wrong.value)


def test_two_upstreams_have_two_names(settings: Settings) -> None:
    settings.UPSTREAMS = [LAB, {**MODELS, "name": "lab"}]

    with pytest.raises(SinkMisconfigured, match="two upstreams are called lab"):
        configured()


def test_what_was_logged_here_is_not_looked_for_elsewhere(ours: tuple[str, str]) -> None:
    run, model = ours

    assert not is_elsewhere(f"models:/{model}", model_id=model)
    assert not is_elsewhere(f"runs:/{run}/model", run_id=run)
    assert not is_elsewhere("mlflow-artifacts:/1/x", run_id=run)
    assert not is_elsewhere("mlflow-artifacts:/1/x", model_id=model)


def test_what_only_another_server_can_know_is(ours: tuple[str, str]) -> None:
    assert is_elsewhere(f"models:/m-{UNKNOWN}", model_id=f"m-{UNKNOWN}")
    assert is_elsewhere(f"models:/m-{UNKNOWN}")
    assert is_elsewhere(f"runs:/{UNKNOWN}/model", run_id=UNKNOWN)
    assert is_elsewhere("mlflow-artifacts:/7/x", run_id=UNKNOWN)


@pytest.mark.parametrize(
    "source",
    [
        "models:/credit/1",
        "models:/credit@champion",
        "mlflow-artifacts:/7/x",
        "file:///etc",
        "/etc",
        "ftp://x/y",
        "s3://b/x",
        "",
    ],
)
def test_no_upstream_is_asked_for_what_names_no_run_or_logged_model(ours: tuple[str, str], source: str) -> None:
    assert not is_elsewhere(source)


def test_without_an_upstream_nothing_is_elsewhere(settings: Settings) -> None:
    assert not is_elsewhere(f"models:/m-{UNKNOWN}")
    assert not is_elsewhere("s3://models/prod/x")


@pytest.mark.parametrize("path", ["7/../8", "7/%2e%2e/8", "7/%252e/8", "7//8", "7/x?y=1", "7/x#y", "7\\x"])
def test_a_source_that_hides_what_it_names_is_refused_at_once(ours: tuple[str, str], path: str) -> None:
    with pytest.raises(Invalid, match="hides what it names"):
        is_elsewhere(f"mlflow-artifacts:/{path}", run_id=UNKNOWN)


def test_a_bucket_is_read_below_its_prefix_alone(settings: Settings) -> None:
    settings.UPSTREAMS = [MODELS]

    assert is_elsewhere("s3://models/prod/credit/")
    for source in ("s3://models/production/x", "s3://models/", "s3://other/prod/x", "s3://models/prod/../x"):
        with pytest.raises(Invalid):
            is_elsewhere(source)


def test_the_run_of_a_logged_model_is_known(ours: tuple[str, str]) -> None:
    run, model = ours

    assert run_of_logged_model(model) == run
    assert run_of_logged_model(f"m-{UNKNOWN}") == ""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture
def s3(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(fetching, "PAUSES", (0.01,))
    return client_of(endpoint, monkeypatch)


@pytest.fixture
def folder(s3: Any, endpoint: str, request: pytest.FixtureRequest) -> BucketFolder:
    """A folder `prod/credit` with two files, what a console leaves behind, and a neighbour."""
    name = f"models-{abs(hash(request.node.name)) % 10**12}"
    s3.create_bucket(Bucket=name)
    for key, body in {"MLmodel": b"0123456789", "a/b.txt": b"b", "": b"", "a/": b""}.items():
        s3.put_object(Bucket=name, Key=f"prod/credit/{key}", Body=body)
    s3.put_object(Bucket=name, Key="prod/credit-secret/x", Body=b"x")
    bucket = Bucket.of("models", {"bucket": name, "prefix": "prod", "endpoint": endpoint})
    return bucket.folder(f"s3://{name}/prod/credit")


def test_the_objects_below_a_folder_are_its_files(folder: BucketFolder) -> None:
    assert [(file.path, file.size) for file in folder.files()] == [("MLmodel", 10), ("a/b.txt", 1)]


def test_an_object_goes_on_from_a_byte_as_long_as_it_is_the_same(folder: BucketFolder, s3: Any) -> None:
    file = next(iter(folder.files()))

    rest = folder.open(file, offset=4, mark=file.mark)
    assert rest.read(100) == b"456789"
    rest.close()

    s3.put_object(Bucket=folder.bucket.bucket, Key="prod/credit/MLmodel", Body=b"another")
    with pytest.raises(Changed):
        folder.open(file, offset=4, mark=file.mark)


def test_a_service_that_is_away_may_come_back(folder: BucketFolder) -> None:
    away = Bucket.of("models", {"bucket": "models", "endpoint": "http://127.0.0.1:9"}).folder("s3://models/x")

    with pytest.raises(Interrupted):
        list(away.files())


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "said"), [("credit", ""), ("nothing", "There are no files at s3://"), ("missing-bucket", "NoSuchBucket")]
)
def test_a_version_from_a_bucket(
    path: str,
    said: str,
    folder: BucketFolder,
    endpoint: str,
    settings: Settings,
    model: RegisteredModel,
    alice: User,
    perform_jobs: Callable[[], int],
) -> None:
    name = folder.bucket.bucket if path != "missing-bucket" else "not-there"
    settings.UPSTREAMS = [{**MODELS, "bucket": name, "endpoint": endpoint}]
    version = actions.register_version(model, None, source=f"s3://{name}/prod/{path}", by=as_(alice))

    perform_jobs()

    version = ModelVersion.objects.get(pk=version.pk)
    assert said in version.status_message
    if not said:
        with ArtifactStore().open(version.files[0].sha256, verify=True) as stream:
            assert stream.read() == b"0123456789"
