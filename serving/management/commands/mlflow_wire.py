"""Starts MLflow's own server with our registry behind it and our credentials in front of it, in place of this process."""

from __future__ import annotations

import os
import sys
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import connection

from serving.tracking import artifact_root, backend_uri, home


class Command(BaseCommand):
    help = "Run the MLflow server that speaks for this registry."

    def add_arguments(self, parser: CommandParser) -> None:
        here = urlsplit(settings.MLFLOW_TRACKING_URI)
        parser.add_argument("--host", default=here.hostname)
        parser.add_argument("--port", type=int, default=here.port)

    def handle(self, *args: Any, host: str, port: int, **options: Any) -> None:
        home().mkdir(parents=True, exist_ok=True, mode=0o750)
        artifact_root().mkdir(exist_ok=True, mode=0o750)
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("CREATE SCHEMA IF NOT EXISTS mlflow")
        connection.close()
        arguments = [
            sys.executable, "-m", "mlflow", "server",
            "--app-name", "countersign",
            "--registry-store-uri", "django://default",
            "--artifacts-destination", str(artifact_root()),
            "--host", host, "--port", str(port), "--workers", "1",
            "--uvicorn-opts", "--no-access-log --timeout-keep-alive 30",
        ]  # fmt: skip
        os.execve(sys.executable, arguments, environment(host, port))  # noqa: S606 - a list that we wrote, no shell


def environment(host: str, port: int) -> dict[str, str]:
    """The environment of MLflow's server: no jobs, no telemetry, our hosts only."""
    public = urlsplit(settings.MLFLOW_URL).netloc
    hosts = dict.fromkeys([public, f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}", f"{host}:{port}"])
    return os.environ | {
        "DJANGO_SETTINGS_MODULE": os.environ.get("DJANGO_SETTINGS_MODULE", "config.settings"),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_BACKEND_STORE_URI": backend_uri(),  # not an argument: it may hold a password, and arguments are public
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(hosts),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(settings.BASE_DIR), os.environ.get("PYTHONPATH", "")])),
    }
