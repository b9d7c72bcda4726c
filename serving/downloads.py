"""Decides who may download the files of which version over MLflow's wire, and where they are.

Whoever may see a model and register versions of it works on candidates (evaluates, compares, scans) and may download any version
that was admitted. Everybody else, above all services that only pull, gets a version only while an approval of it is in force: so
nothing unsigned can be loaded for production, by alias or by number.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from django.conf import settings

from access.permissions import Permission, permit_at, verdict
from access.principal import Principal
from foundation.refusals import Conflict
from registry.models import ModelVersion
from serving.pulls import allowed
from serving.wire_rules import OURS

ARTIFACTS: Final = "/api/2.0/mlflow-artifacts/artifacts"


def check_may_download(version: ModelVersion, *, by: Principal) -> None:
    """Return when `by` may have the files of `version` at this moment; raises the refusal that says why not."""
    if works_on_candidates(version, by):
        if version.state in {ModelVersion.State.QUARANTINED, ModelVersion.State.REJECTED}:
            raise Conflict(
                f"{version.model.name} version {version.number} is {version.get_state_display().lower()}: {version.status_message}",
                code="not-admitted",
            )
        permit_at(by, Permission.PULL_VERSION, version.model, "")
        return
    allowed(version.model.name, version=version.number, by=by)


def works_on_candidates(version: ModelVersion, by: Principal) -> bool:
    """Whether `by` may see the model and register versions of it."""
    needed = (Permission.SEE_MODEL, Permission.REGISTER_VERSION)
    return all(verdict(by, permission, version.model).allowed for permission in needed)


def download_uri(version: ModelVersion) -> str:
    """The absolute address of the version's files: a relative one would be looked for on the client's tracking server."""
    return f"{settings.MLFLOW_URL}{ARTIFACTS}/{OURS}/{quote(version.model.name)}/{version.number}"
