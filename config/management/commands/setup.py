"""`manage.py setup`: folders, keys, database, ledger, static files; with `--demo`, the demo's people. Safe to repeat."""

from __future__ import annotations

import hashlib
import os
import secrets
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.core.management.base import BaseCommand

from config import demo, service_accounts
from foundation.keys import create_key, create_model_signing_key

UNUSED_STATIC: Final = ("redoc*", "swagger-ui-es*", "rest_framework", "guardian", "prettify*")
"""Files of packages that no page of ours uses; leaving them out saves half a minute of compressing."""


class Command(BaseCommand):
    """Prepares this machine; what is there already stays as it is."""

    help = __doc__ or ""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--demo", action="store_true", help="also create the demo's people, with known passwords")

    def handle(self, *args: Any, **options: Any) -> None:
        for folder in (
            settings.SECRETS_DIR,
            settings.ENV.run_dir,
            settings.VAR_DIR / "logs",
            settings.VAR_DIR / "run" / "queue",
        ):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        written = [
            _write_secret_once(settings.SECRETS_DIR / name) for name in ("secret_key", "audit_mac_key", "mfa_key")
        ]
        if any(written):
            # Settings read the secrets when they load: start over now that there are some.
            os.execv(sys.executable, [sys.executable, *sys.argv])  # noqa: S606 - this very command again
        create_key(settings.REGISTRY_KEY_FILE)
        create_model_signing_key(settings.MODEL_SIGNING_KEY_FILE)
        call_command("migrate", verbosity=0, interactive=False)
        call_command("audit", "init")
        _collect_static()
        if options["demo"]:
            demo.create_people()
            service_accounts.create()
        self.stdout.write(
            f"Countersign is set up: database, keys and files are in {os.path.relpath(settings.VAR_DIR)}/."
        )


def _collect_static() -> None:
    """Collect and compress the static files, unless they are the ones that were collected last time."""
    stamp = settings.STATIC_ROOT / ".collected"
    mark = _static_mark()
    if stamp.exists() and stamp.read_text() == mark:
        return
    call_command("collectstatic", verbosity=0, interactive=False, ignore_patterns=list(UNUSED_STATIC))
    stamp.write_text(mark)


def _static_mark() -> str:
    """The SHA-256 over name, size and time of every static file there is."""
    mark = hashlib.sha256()
    for finder in get_finders():
        for path, storage in finder.list(list(UNUSED_STATIC)):
            status = Path(storage.path(path)).stat()
            mark.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return mark.hexdigest()


def _write_secret_once(path: Path) -> bool:
    """Put a random secret in a file of mode 0600 where there is none yet; says whether it did."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(48))
    return True
