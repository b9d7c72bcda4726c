"""Countersign as it runs on one machine, with a registry of many versions in a temporary folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from benchmarks.registry.figures import GATEWAY, PORTAL, WIRE
from tests.serving.installation import ROOT, Installation, free_port


class Ours(Installation):
    """Portal, pull gateway, MLflow wire, the ledger's sequencer and the broker, each started as the product starts it."""

    def __init__(self, folder: Path, postgres: str = "") -> None:
        super().__init__(folder, **({"COUNTERSIGN_DATABASE_URL": postgres} if postgres else {}))
        self.gateway_port = free_port()

    @property
    def origins(self) -> dict[str, str]:
        """Where each way in answers."""
        return {
            GATEWAY: f"http://127.0.0.1:{self.gateway_port}",
            PORTAL: f"http://127.0.0.1:{self.portal_port}",
            WIRE: f"http://127.0.0.1:{self.mlflow_port}",
        }

    @property
    def roots(self) -> dict[str, int]:
        """The process of each way in."""
        names = {GATEWAY: "gateway", PORTAL: "portal", WIRE: "mlflow"}
        return {way: self.processes[name].pid for way, name in names.items()}

    def tell(self, *arguments: str) -> Any:
        """What one of `benchmarks.registry.seeding` says."""
        command = [sys.executable, "-m", "benchmarks.registry.seeding", *arguments]
        done = subprocess.run(command, env=self.environment, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
        return json.loads(done.stdout.splitlines()[-1])

    def begin(self) -> None:
        """Start everything, then wait for it."""
        subprocess.run([sys.executable, "manage.py", "audit", "init"], env=self.environment, cwd=ROOT, check=True)
        self.start("broker", "-m", "benchmarks.registry.seeding", "broker")
        self.start("sequencer", "manage.py", "audit", "sequencer")
        self.start(
            *("portal", "-m", "gunicorn", "config.wsgi:application", "--bind", f"127.0.0.1:{self.portal_port}"),
            *("--worker-class", "gthread", "--workers", "2", "--threads", "4", "--preload", "--keep-alive", "30"),
        )
        self.start("gateway", "manage.py", "pull_gateway", "--port", str(self.gateway_port))
        self.start("mlflow", "manage.py", "mlflow_wire")
        self.wait(f"{self.origins[PORTAL]}/healthz")
        self.wait(f"{self.origins[GATEWAY]}/healthz")
        self.wait(f"{self.origins[WIRE]}/health", seconds=90)

    def new_run(self) -> tuple[str, str]:
        """A run on the MLflow wire: its id and the address of its artifacts."""
        headers = {"Authorization": f"Bearer {self.tokens['register']}"}
        return new_run(self.origins[WIRE], headers)

    @property
    def artifacts(self) -> Path:
        """Where the files of runs lie."""
        return self.folder / "var" / "mlflow" / "artifacts"


def new_run(origin: str, headers: dict[str, str]) -> tuple[str, str]:
    """A run of the default experiment of an MLflow server: its id and the address of its artifacts."""
    answer = httpx.post(
        f"{origin}/api/2.0/mlflow/runs/create", json={"experiment_id": "0"}, headers=headers, timeout=60
    )
    info = answer.raise_for_status().json()["run"]["info"]
    return info["run_id"], info["artifact_uri"]
