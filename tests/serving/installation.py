"""A whole installation in a temporary folder, with real processes on free ports: portal, MLflow wire, scoring worker, jobs."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Installation:
    """Starts and stops the processes; `act` lets people do things."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.portal_port, self.mlflow_port, self.scoring_port = free_port(), free_port(), free_port()
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "COUNTERSIGN_"))
        } | {
            "COUNTERSIGN_VAR_DIR": str(folder / "var"),
            "COUNTERSIGN_SECRET_KEY": "stories-only-secret-key-of-sufficient-length-0123456789",
            "COUNTERSIGN_AUDIT_MAC_KEY": "stories-only-mac-key",
            "COUNTERSIGN_MFA_KEY": "stories-only-mfa-key",
            "COUNTERSIGN_PORTAL_PORT": str(self.portal_port),
            "COUNTERSIGN_MLFLOW_PORT": str(self.mlflow_port),
            "COUNTERSIGN_SCORING_PORT": str(self.scoring_port),
            "COUNTERSIGN_LOG_LEVEL": "WARNING",
            **environment,
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        (folder / "logs").mkdir(parents=True)
        with (folder / "logs" / "people.log").open("wb") as errors:
            self.people = subprocess.Popen(
                [sys.executable, "-m", "tests.serving.acts"],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        self.tokens: dict[str, str] = self.act("setup")

    @property
    def portal(self) -> str:
        return f"http://localhost:{self.portal_port}"

    @property
    def mlflow(self) -> str:
        return f"http://localhost:{self.mlflow_port}"

    @property
    def scoring(self) -> str:
        return f"http://127.0.0.1:{self.scoring_port}"

    def act(self, *arguments: str) -> Any:
        """One of `tests.serving.acts`, in the process of the people; fails with their traceback."""
        assert self.people.stdin
        assert self.people.stdout
        self.people.stdin.write(json.dumps(arguments).encode() + b"\n")
        self.people.stdin.flush()
        line = self.people.stdout.readline()
        answer = json.loads(line) if line else {"failed": self.log("people")}
        assert "failed" not in answer, answer["failed"]
        return answer

    def start(self, name: str, *arguments: str, **environment: str) -> None:
        log = (self.folder / "logs" / f"{name}.log").open("wb")
        self.processes[name] = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=self.environment | environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()

    def start_portal(self) -> None:
        bind = f"127.0.0.1:{self.portal_port}"
        self.start(
            "portal",
            "-m",
            "gunicorn",
            "config.wsgi:application",
            "--bind",
            bind,
            "--threads",
            "4",
            "--worker-class",
            "gthread",
            "--graceful-timeout",
            "10",
        )
        self.wait(f"{self.portal}/healthz")

    def start_jobs(self) -> None:
        self.start("jobs", "-m", "tests.serving.acts", "work")

    def start_mlflow(self) -> None:
        self.start("mlflow", "manage.py", "mlflow_wire")
        self.wait(f"{self.mlflow}/health", seconds=90)

    def start_worker(self) -> None:
        self.start(
            "worker",
            "manage.py",
            "scoring_worker",
            "--deployment",
            "credit-live",
            COUNTERSIGN_TOKEN=self.tokens["pull"],
        )
        self.wait(f"{self.scoring}/healthz")

    def stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> int:
        process = self.processes.pop(name)
        process.send_signal(number)
        try:
            return process.wait(timeout=20)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def stop_all(self) -> None:
        for name in reversed(list(self.processes)):
            self.stop(name)
        self.people.communicate(timeout=20)

    def wait(self, address: str, *, seconds: float = 60) -> None:
        """Until `address` answers 200."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for name, process in self.processes.items():
                if process.poll() is not None:
                    raise AssertionError(f"{name} ended: {self.log(name)}")
            try:
                if httpx.get(address, timeout=2).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.1)
        raise AssertionError(f"{address} did not answer: " + "\n".join(self.log(name) for name in self.processes))

    def log(self, name: str) -> str:
        return (self.folder / "logs" / f"{name}.log").read_text()[-3_000:]
