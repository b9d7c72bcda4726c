"""Logs a finished training as a run in MLflow tracking.

Pure: no Django; the address comes with the request, the token from the environment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # before mlflow is imported: it reads this once
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # the job's log is read here, not in a terminal
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "15")

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from training.request import JOB_TAG, MODEL_FOLDER, Request, Tracking


class NotLogged(RuntimeError):
    """The tracking server did not take the run; the sentence says why."""


def log_run(request: Request, evidence: Mapping[str, Any], folder: Path) -> str:
    """Log parameters, metrics, evaluation and the model's files; the run's id.

    Runs of earlier attempts at the same job are ended as killed. Raises `NotLogged` when the server refuses or cannot be reached.
    """
    tracking = request.tracking
    if tracking is None:
        raise NotLogged("No tracking server is configured.")
    try:
        client = MlflowClient(tracking_uri=tracking.uri)
        experiment = _experiment(client, tracking.experiment)
        _end_earlier(client, experiment, tracking)
        run = client.create_run(experiment, run_name=tracking.run_name, tags=dict(tracking.tags))
        client.log_batch(
            run.info.run_id,
            metrics=_metrics(evidence),
            params=_params(request, evidence["metrics"]["cutoff"]),
            tags=_tags(request),
        )
        client.log_dict(run.info.run_id, dict(evidence), "evaluation.json")
        client.log_artifacts(run.info.run_id, str(folder / MODEL_FOLDER), "model")
        client.set_terminated(run.info.run_id, "FINISHED")
    except (MlflowException, OSError) as error:
        raise NotLogged(
            f"MLflow tracking at {tracking.uri} did not take the run: {str(error).splitlines()[0][:300]}"
        ) from error
    return str(run.info.run_id)


def _experiment(client: MlflowClient, name: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    try:
        return str(client.create_experiment(name))
    except MlflowException:  # another worker made it at the same moment
        found = client.get_experiment_by_name(name)
        if found is None:
            raise
        return str(found.experiment_id)


def _end_earlier(client: MlflowClient, experiment: str, tracking: Tracking) -> None:
    job = tracking.tags.get(JOB_TAG, "")
    for run in client.search_runs([experiment], f"tags.`{JOB_TAG}` = '{job}'") if job else []:
        client.set_terminated(run.info.run_id, "KILLED")
        client.set_tag(run.info.run_id, "countersign.superseded", "true")


def _metrics(evidence: Mapping[str, Any]) -> list[Metric]:
    estimates = evidence["metrics"]["metrics"]
    values = [(name, part, estimate[part]) for name, estimate in estimates.items() for part in ("value", "low", "high")]
    return [
        Metric(name if part == "value" else f"{name}_{part}", value, timestamp=0, step=0)
        for name, part, value in values
        if value is not None
    ]


def _params(request: Request, cutoff: float) -> list[Param]:
    values = {"algorithm": request.algorithm, **request.settings, "seed": request.seed, "cutoff": cutoff}
    values |= {f"split.{key}": value for key, value in request.split.items()}
    values |= {f"mitigation.{key}": value for key, value in request.mitigation.items()}
    return [Param(key, str(value)) for key, value in values.items()]


def _tags(request: Request) -> list[RunTag]:
    return [
        RunTag("countersign.dataset", f"{request.dataset} v{request.dataset_version}"),
        RunTag("countersign.dataset_digest", request.dataset_digest),
    ]
