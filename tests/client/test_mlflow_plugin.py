"""MLflow loads what was signed off by its own means, and nothing else: `countersign://` is a scheme that it knows."""

from __future__ import annotations

from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from countersign import NotProven
from countersign.mlflow_plugin import CountersignArtifactRepository
from tests.client.standin import TOKEN, StandIn
from tests.serving.tiny_models import ROWS, estimator, tiny

pytestmark = pytest.mark.filterwarnings("default")  # MLflow warns about its own type hints while it is loaded


@pytest.fixture
def served(stand_in: StandIn, key_file: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """A real, tiny model behind the stand-in, found by the environment."""
    stand_in.files = tiny()
    for name, value in {"URL": stand_in.url, "TOKEN": TOKEN, "KEY": str(key_file)}.items():
        monkeypatch.setenv(f"COUNTERSIGN_{name}", value)
    return stand_in


def test_mlflow_knows_the_scheme(served: StandIn) -> None:
    assert isinstance(get_artifact_repository("countersign://credit@champion"), CountersignArtifactRepository)


@pytest.mark.parametrize("uri", ["countersign://credit@champion", "countersign://credit/3"])
def test_a_signed_model_is_pulled_verified_and_loaded(served: StandIn, uri: str) -> None:
    model = mlflow.pyfunc.load_model(uri)

    assert list(model.predict(pd.DataFrame(ROWS))) == list(estimator().predict(pd.DataFrame(ROWS)))
    assert [one.get("X-Purpose") for one in served.requests("/blobs/")] == ["mlflow"] * len(served.files)


def test_a_tampered_model_is_never_loaded(served: StandIn) -> None:
    served.blob = lambda found: found[:-1] + b"x"

    with pytest.raises(NotProven, match="is not what was signed"):
        mlflow.pyfunc.load_model("countersign://credit@champion")


def test_one_file_is_had_from_the_verified_version(served: StandIn, tmp_path: Path) -> None:
    found = mlflow.artifacts.download_artifacts("countersign://credit/3/MLmodel", dst_path=str(tmp_path))

    assert Path(found).read_bytes() == served.files["MLmodel"]
    assert {one.path for one in mlflow.artifacts.list_artifacts("countersign://credit@champion")} == set(served.files)


def test_nothing_is_written_through_it(served: StandIn, tmp_path: Path) -> None:
    with pytest.raises(MlflowException, match="never changed there"):
        get_artifact_repository("countersign://credit@champion").log_artifacts(str(tmp_path))
