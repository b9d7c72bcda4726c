"""What outsiders use in the story: an unmodified MLflow client in a process of its own, curl, and a caller of the scoring worker."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Final

import httpx
from django.conf import settings

BATCH: Final = 500

MLFLOW_SCRIPT: Final = """\
import mlflow, pandas as pd, sys
model = mlflow.pyfunc.load_model("models:/{name}@champion")
rows = pd.read_json(sys.stdin, orient="records")
print("version", mlflow.MlflowClient().get_model_version_by_alias("{name}", "champion").version)
print("predictions", model.predict(rows).tolist())
"""


class ClientFailed(Exception):
    """A client came back with an error; the text is what it said."""


def mlflow_predicts(name: str, rows: str, *, token: str) -> str:
    """Load the champion with the MLflow client that pip installs, knowing nothing of us but address and token; returns what it printed."""
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": settings.MLFLOW_URL,
        "MLFLOW_TRACKING_TOKEN": token,
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PYTHONWARNINGS": "ignore",
    }
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    done = subprocess.run(
        [sys.executable, "-c", MLFLOW_SCRIPT.format(name=name)],
        input=rows,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if done.returncode:
        raise ClientFailed(done.stderr.strip().splitlines()[-1] if done.stderr else "no output")
    return done.stdout


def curl_pulls(path: str, *, token: str) -> tuple[str, bytes]:
    """The bytes at an address of the portal, pulled by curl (by httpx where there is no curl), and the command as one would type it."""
    address = f"{settings.PORTAL_URL}{path}"
    shown = f"curl -H 'Authorization: Bearer cs_…' {address}"
    if shutil.which("curl") is None:
        response = httpx.get(address, headers={"Authorization": f"Bearer {token}"}, timeout=60)
        if response.status_code != httpx.codes.OK:
            raise ClientFailed(response.text)
        return f"{shown}   # curl is not installed here: the same request by Python", response.content
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--fail-with-body", "--config", "-", address],  # noqa: S607 - curl as users have it
        input=f'header = "Authorization: Bearer {token}"\n'.encode(),
        capture_output=True,
        check=False,
        timeout=60,
    )
    if done.returncode:
        raise ClientFailed((done.stdout or done.stderr).decode(errors="replace"))
    return shown, done.stdout


def scores(address: str, deployment: str, rows: list[dict[str, Any]], *, token: str) -> Iterator[dict[str, Any]]:
    """The worker's answers, in batches of 500 rows."""
    with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=60) as client:
        for start in range(0, len(rows), BATCH):
            response = client.post(f"/score/{deployment}", json={"rows": rows[start : start + BATCH]})
            if response.status_code != httpx.codes.OK:
                raise ClientFailed(response.text)
            yield response.json()
