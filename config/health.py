"""Whether this process lives, whether it can do its work, and how busy it is: the questions of a supervisor and a scraper."""

from __future__ import annotations

import ipaddress
import json
from typing import Final

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django_prometheus.exports import ExportToDjangoView

from access.clients import address
from audit.models import Pending
from foundation.refusals import NotFound

LEDGER_MAY_LAG_SECONDS: Final = 30.0


@login_not_required
def alive(request: HttpRequest) -> HttpResponse:
    """200 as long as the process answers."""
    return HttpResponse("ok\n", content_type="text/plain")


@login_not_required
def ready(request: HttpRequest) -> JsonResponse:
    """200 when database, migrations, keys and ledger are in order; else 503 naming each part that is not."""
    checks = {"database": _database(), "keys": _keys(), "ledger": _ledger()}
    good = all(answer == "ok" for answer in checks.values())
    return JsonResponse({"ready": good, "checks": checks}, status=200 if good else 503)


@login_not_required
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus metrics, for a scraper on this machine; for anybody else there is nothing at this address."""
    client = address(request.META)
    if not client or not ipaddress.ip_address(client).is_loopback:
        raise NotFound("There is nothing at this address that you may see.")
    response: HttpResponse = ExportToDjangoView(request)
    return response


def _database() -> str:
    try:
        executor = MigrationExecutor(connection)
        pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError:
        return "The database does not answer."
    return "ok" if not pending else "Migrations are pending; run manage.py migrate."


def _keys() -> str:
    return (
        "ok" if settings.REGISTRY_KEY_FILE.exists() else "The registry's signing key is missing; run manage.py setup."
    )


def _ledger() -> str:
    try:
        waiting = Pending.objects.order_by("pk").first()
    except DatabaseError:
        return "The ledger cannot be read."
    if waiting is None:
        return "ok"
    written = json.loads(bytes(waiting.payload))["t"] / 1_000_000  # microseconds since the epoch
    age = timezone.now().timestamp() - written
    if age < LEDGER_MAY_LAG_SECONDS:
        return "ok"
    return f"Ledger entries have waited {age:.0f} seconds to be sequenced; is the sequencer running?"
