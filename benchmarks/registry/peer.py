"""`mlflow server` of the version that Countersign has, with the same models: with four workers, its default, and with one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import httpx

from benchmarks.registry.figures import PEER, PEER_ALONE
from tests.serving.installation import ROOT, free_port

START_SECONDS: Final = 120


class Peer:
    """Both servers, over one database and one folder of artifacts."""

    def __init__(self, folder: Path, postgres: str = "") -> None:
        self.folder, self.artifacts = folder, folder / "artifacts"
        self.artifacts.mkdir(parents=True)
        self.uri = postgres.replace("postgres://", "postgresql+psycopg://") or f"sqlite:///{folder / 'mlflow.sqlite3'}"
        self.ports = {PEER: free_port(), PEER_ALONE: free_port()}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        self.environment = kept | {
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }

    @property
    def origins(self) -> dict[str, str]:
        """Where each answers."""
        return {way: f"http://127.0.0.1:{port}" for way, port in self.ports.items()}

    @property
    def roots(self) -> dict[str, int]:
        """The process of each."""
        return {way: process.pid for way, process in self.processes.items()}

    def seed(self, versions: int) -> None:
        """Make the models that `benchmarks.registry.seeding` makes for us."""
        command = [sys.executable, "-m", "benchmarks.registry.seeding_peer", self.uri, str(versions)]
        subprocess.run(command, env=self.environment, cwd=ROOT, check=True, stdout=sys.stderr)

    def begin(self) -> None:
        """Start both, then wait for them."""
        for way, workers in ((PEER, 4), (PEER_ALONE, 1)):
            command = [
                *(sys.executable, "-m", "mlflow", "server", "--backend-store-uri", self.uri),
                *("--artifacts-destination", str(self.artifacts), "--workers", str(workers)),
                *("--host", "127.0.0.1", "--port", str(self.ports[way])),
            ]
            with (self.folder / f"{workers}.log").open("wb") as log:
                self.processes[way] = subprocess.Popen(
                    command, env=self.environment, cwd=self.folder, stdout=log, stderr=log, start_new_session=True
                )
        for origin in self.origins.values():
            _wait(f"{origin}/health")

    def stop(self) -> None:
        """End both with everything that they started."""
        for process in self.processes.values():
            os.killpg(process.pid, signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _wait(address: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            if httpx.get(address, timeout=5).status_code == httpx.codes.OK:
                return
        except httpx.HTTPError:
            pass  # it is still starting
        time.sleep(0.2)
    raise TimeoutError(f"{address} did not answer within {START_SECONDS} s.")
