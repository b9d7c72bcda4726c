"""Starts the scoring worker of one deployment, with its token, in place of this process."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from foundation.keys import public_pem, registry_signer


class Command(BaseCommand):
    help = "Run the scoring worker of one deployment."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--deployment", required=True)
        parser.add_argument("--host", default=urlsplit(settings.MLFLOW_TRACKING_URI).hostname)
        parser.add_argument("--port", type=int, default=urlsplit(settings.SCORING_URL).port)
        parser.add_argument(
            "--portal", default=settings.PORTAL_URL, help="the portal's address as this worker reaches it"
        )
        parser.add_argument(
            "--registry-key", type=Path, help="PEM file with the pinned public key; by default this installation's own"
        )

    def handle(
        self, *args: Any, deployment: str, host: str, port: int, portal: str, registry_key: Path | None, **options: Any
    ) -> None:
        token_file = Path(settings.SCORING_TOKEN_FILE)
        token = os.environ.get("COUNTERSIGN_TOKEN") or (token_file.read_text().strip() if token_file.exists() else "")
        if not token:
            raise CommandError(
                f"There is no token in {token_file.name}; run manage.py setup, or set COUNTERSIGN_TOKEN."
            )
        arguments = [
            sys.executable, "-m", "serving.worker",
            "--deployment", deployment,
            "--portal", portal,
            "--registry-key", str(registry_key or pinned_key()),
            "--log-dir", str(settings.PREDICTION_LOG_DIR),
            "--host", host, "--port", str(port),
        ]  # fmt: skip
        path = os.pathsep.join(filter(None, [str(settings.BASE_DIR), os.environ.get("PYTHONPATH", "")]))
        # A list that we wrote, no shell; the token is in the environment, which other users cannot read.
        os.execve(sys.executable, arguments, os.environ | {"COUNTERSIGN_TOKEN": token, "PYTHONPATH": path})  # noqa: S606 - see above


def pinned_key() -> Path:
    """A file with the registry's public key for workers on this machine, written anew at each start."""
    path = Path(settings.VAR_DIR) / "run" / "registry-key.pub.pem"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.write_text(public_pem(registry_signer().public))
    return path
