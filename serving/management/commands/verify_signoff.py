"""Checks a sign-off bundle or a release attestation from a file and a public key alone: no database, no network, no installation."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from django.core.management.base import BaseCommand, CommandError, CommandParser

from serving.bundles import report_on

MARKS: Final = {True: "ok  ", False: "BAD ", None: "open"}
LARGEST_BYTES: Final = 5 * 1024**2


class Command(BaseCommand):
    help = "Check who signed what, from a sign-off bundle or a release attestation and the registry's public key."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="the JSON file")
        parser.add_argument("--key", type=Path, required=True, help="PEM file with the registry's public key")
        parser.add_argument("--at", default="", help="the moment to judge by, ISO 8601 with a time zone; default: now")

    def handle(self, *args: Any, file: Path, key: Path, at: str, **options: Any) -> None:
        report = report_on(_json(file), _key(key), at=_moment(at))
        self.stdout.write(f"{file.name}: {report.what}")
        for check in report.checks:
            self.stdout.write(f"{MARKS[check.holds]}  {check.title}: {check.sentence}")
        if not report.holds:
            raise CommandError("It does not hold.", returncode=1)
        self.stdout.write("It holds, as far as the lines above say.")


def _json(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > LARGEST_BYTES:
            raise CommandError(f"{file.name} is larger than 5 MB; no bundle and no attestation is.", returncode=2)
        value = json.loads(file.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise CommandError(f"{file.name} cannot be read as JSON: {error}", returncode=2) from error
    if not isinstance(value, dict):
        raise CommandError(f"{file.name} holds no JSON object.", returncode=2)
    return value


def _key(file: Path) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(file.read_bytes())
    except (OSError, ValueError) as error:
        raise CommandError(f"{file.name} cannot be read as a public key in PEM: {error}", returncode=2) from error
    if not isinstance(key, Ed25519PublicKey):
        raise CommandError(f"{file.name} is no Ed25519 key.", returncode=2)
    return key


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text) if text else datetime.now(UTC)
    except ValueError as error:
        raise CommandError(f"{text} is no time in ISO 8601.", returncode=2) from error
    if moment.tzinfo is None:
        raise CommandError(f"{text} has no time zone; write for example {text}Z.", returncode=2)
    return moment
