"""`manage.py run`: everything on this machine under one supervisor, until Ctrl-C."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from argparse import ArgumentParser
from typing import Any

import httpx
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, close_old_connections

from config import programs
from config.environment import Environment
from config.processes import Supervisor, manage, stop_requests
from serving.models import Deployment

READY_SECONDS = 90.0


class Command(BaseCommand):
    """Starts broker, portal, Celery worker, sequencer, MLflow wire, the pull gateway where one is set, one scoring worker a deployment."""

    help = __doc__ or ""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--story", action="store_true", help="tell the main job on real data once, when everything is up"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        env: Environment = settings.ENV
        if not settings.REGISTRY_KEY_FILE.exists():
            raise CommandError("Keys are missing. Run `manage.py setup` first (`make run` does).")
        _check_ports(env)
        supervisor = Supervisor(settings.VAR_DIR / "logs")
        with stop_requests() as asked_to_stop:
            try:
                self._start(supervisor, env)
                if not self._await_ready(supervisor, env, asked_to_stop):
                    return
                story = _story() if options["story"] else None
                self._tend(supervisor, env, asked_to_stop, story)
            finally:
                self.stdout.write("Stopping …")
                supervisor.stop()
                self.stdout.write("Everything is stopped.")

    def _start(self, supervisor: Supervisor, env: Environment) -> None:
        broker = programs.broker(env)
        starting = [
            broker,
            programs.portal(env),
            programs.sequencer(),
            programs.stream(env),
            programs.mlflow_wire(),
            programs.pull_gateway(env),
            programs.worker(),
        ]
        for program in starting:
            if program is not None:
                supervisor.start(program)

    def _await_ready(self, supervisor: Supervisor, env: Environment, asked_to_stop: Any) -> bool:
        deadline = time.monotonic() + READY_SECONDS
        address = f"http://{env.host}:{env.portal_port}/readyz"
        answer = "no answer yet"
        while time.monotonic() < deadline and not asked_to_stop():
            supervisor.tend()
            try:
                response = httpx.get(address, timeout=5, headers={"Host": "localhost"})
                answer = response.text
                if response.status_code == 200:
                    return True
            except httpx.HTTPError as error:
                answer = str(error)
            time.sleep(0.2)
        if not asked_to_stop():
            raise CommandError(
                f"The portal did not become ready in {READY_SECONDS:.0f} seconds: {answer} Logs are in {supervisor.log_dir}."
            )
        return False

    def _tend(
        self, supervisor: Supervisor, env: Environment, asked_to_stop: Any, story: subprocess.Popen[bytes] | None
    ) -> None:
        try:
            while not asked_to_stop():
                supervisor.tend()
                _match_deployments(supervisor, env)
                if story is not None and story.poll() not in {None, 0}:
                    raise CommandError(
                        f"The story ended early (code {story.returncode}). Logs are in {supervisor.log_dir}."
                    )
                time.sleep(0.5)
        finally:
            if story is not None and story.poll() is None:
                story.terminate()
                story.wait(timeout=10)


def _check_ports(env: Environment) -> None:
    """Raise `CommandError` naming the port that another process holds, before anything is started."""
    wanted = {"PORTAL": env.portal_port, "MLFLOW": env.mlflow_port, "SCORING": env.scoring_port}
    wanted |= {"GATEWAY": env.gateway_port} if env.gateway_port else {}
    for name, port in wanted.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((env.host, port))
            except OSError as error:
                raise CommandError(
                    f"Port {port} on {env.host} is taken, perhaps by a Countersign that runs already. "
                    f"Stop what holds it, or set COUNTERSIGN_{name}_PORT to a free one."
                ) from error


def _story() -> subprocess.Popen[bytes]:
    """The story in a process of its own; what it has to say is said to the person, so logs stay quiet."""
    quiet = {**os.environ, "COUNTERSIGN_LOG_LEVEL": "ERROR"}
    return subprocess.Popen(manage("story"), start_new_session=True, env=quiet)


def _match_deployments(supervisor: Supervisor, env: Environment) -> None:
    """One scoring worker for each deployment: the first listens on the scoring port, the next ones on the ports after it."""
    close_old_connections()
    try:
        deployments = list(Deployment.objects.order_by("pk").values_list("name", flat=True))
    except OperationalError:
        return  # the database is busy; the next round asks again
    for index, name in enumerate(deployments):
        program = programs.scoring_worker(name, env.scoring_port + index)
        if program.name not in supervisor.children:
            supervisor.start(program)
