"""Runs in MLflow tracking, against a real store."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.training.test_process import asked
from training.process import train
from training.request import JOB_TAG, Tracking
from training.tracking import NotLogged, log_run


@pytest.fixture
def uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A tracking store of the test's own."""
    monkeypatch.chdir(tmp_path)
    warnings.filterwarnings("ignore", module="mlflow")  # what its own store says while it creates tables
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.mark.filterwarnings("ignore")  # mlflow's own store warns about itself while it creates its tables
def test_a_run_holds_settings_metrics_evaluation_and_the_models_files_once_per_job(uri: str, tmp_path: Path) -> None:
    tracking = Tracking(uri, "credit", "first", {JOB_TAG: "job-1"})

    first = train(asked(tmp_path, tracking=tracking), tmp_path)
    again = log_run(asked(tmp_path, tracking=tracking), first.evidence, tmp_path)

    client = MlflowClient(tracking_uri=uri)
    run = client.get_run(again)
    assert run.data.params["algorithm"] == "logistic_regression"
    assert run.data.metrics["auc"] == pytest.approx(first.evidence["metrics"]["metrics"]["auc"]["value"])
    assert {file.path for file in client.list_artifacts(again)} == {"evaluation.json", "model"}
    assert "model/model.skops" in {file.path for file in client.list_artifacts(again, "model")}
    assert client.get_run(first.run_id).info.status == "KILLED", (
        "an earlier attempt's run does not stand beside it as if it counted"
    )
    assert run.info.status == "FINISHED"


@pytest.mark.filterwarnings("ignore")  # urllib3 warns about each retry
def test_a_tracking_server_that_is_away_is_a_remark_and_not_a_failure(tmp_path: Path) -> None:
    tracking = Tracking("http://127.0.0.1:9", "credit", "first", {JOB_TAG: "job-1"})

    answer = train(asked(tmp_path, tracking=tracking), tmp_path)

    assert answer.run_id == ""
    assert any("did not take the run" in remark for remark in answer.remarks)


def test_without_a_server_there_is_nothing_to_log(tmp_path: Path) -> None:
    with pytest.raises(NotLogged, match="No tracking server"):
        log_run(asked(tmp_path), {}, tmp_path)
