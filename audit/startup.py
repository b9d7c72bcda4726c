"""Decides whether an installation may start: where others reach it, its checkpoints have to be held by somebody else too.

A file beside the database falls with the machine that holds both; without a copy elsewhere a rewritten ledger looks whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error

from audit.anchors.configured import configured
from audit.anchors.protocol import SinkMisconfigured

WORDS: Final = "I accept that a rewritten ledger would not be noticed"
_HINT: Final = (
    "Name a git repository, an S3 bucket with object lock, a time-stamping authority or a witness in COUNTERSIGN_ANCHORS "
    f'(docs/guides/operations.md), or set COUNTERSIGN_NO_OUTSIDE_ANCHOR="{WORDS}".'
)


def check_outside_anchor(app_configs: Sequence[AppConfig] | None, **_options: Any) -> list[CheckMessage]:
    """What Django tells at every start.

    `audit.E001`: in production nobody else holds the checkpoints; `audit.W001`: that was accepted in words; `audit.E002`: a sink is
    misconfigured.
    """
    try:
        sinks = configured()
    except SinkMisconfigured as error:
        return [Error(f"The settings are wrong: {error}.", id="audit.E002")]
    if sinks or not settings.AUDIT_IN_PRODUCTION:
        return []
    if settings.AUDIT_NO_OUTSIDE_ANCHOR == WORDS:
        return [
            checks.Warning("The ledger's checkpoints are held on this machine only, as you accepted.", id="audit.W001")
        ]
    return [Error("The ledger's checkpoints are held on this machine only.", hint=_HINT, id="audit.E001")]
