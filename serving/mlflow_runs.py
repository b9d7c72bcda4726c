"""What this server's own tracking knows of a run or a logged model, asked of MLflow's database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from serving.tracking import backend_uri


def knows_run(run_id: str) -> bool:
    """Whether a run of this id was logged here."""
    return _found(lambda client: client.get_run(run_id)) is not None


def knows_logged_model(model_id: str) -> bool:
    """Whether a logged model of this id was logged here."""
    return _found(lambda client: client.get_logged_model(model_id)) is not None


def run_of_logged_model(model_id: str) -> str:
    """The run that logged this model; empty where there was none, or the model is not known here."""
    model = _found(lambda client: client.get_logged_model(model_id)) if model_id else None
    return str(model.source_run_id or "") if model is not None else ""


def _found(ask: Callable[[MlflowClient], Any]) -> Any | None:
    try:
        return ask(MlflowClient(tracking_uri=backend_uri()))
    except MlflowException:
        return None
