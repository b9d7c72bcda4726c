"""Our models and versions in MLflow's words: its entities, its three statuses and its four stages."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from django.db.models import QuerySet
from mlflow.entities.model_registry import (
    ModelVersion as MlflowVersion,
)
from mlflow.entities.model_registry import (
    ModelVersionTag,
    RegisteredModelAlias,
    RegisteredModelTag,
)
from mlflow.entities.model_registry import (
    RegisteredModel as MlflowModel,
)

from registry.models import ModelVersion, RegisteredModel

State = ModelVersion.State
STATUS: Final = {State.QUARANTINED: "PENDING_REGISTRATION", State.REJECTED: "FAILED_REGISTRATION"}
ARCHIVED: Final = frozenset({State.RETIRED, State.REVOKED, State.EXPIRED})
STAGES: Final = {"production": "Production", "staging": "Staging"}


def described_models(models: QuerySet[RegisteredModel]) -> QuerySet[RegisteredModel]:
    """`models` with what `model_entity` reads, in a fixed number of statements."""
    return models.prefetch_related(
        "tags",
        "aliases__version",
        "versions__tags",
        "versions__aliases__stage",
        "versions__created_by",
        "versions__model",
    )


def described_versions(versions: QuerySet[ModelVersion]) -> QuerySet[ModelVersion]:
    """`versions` with what `version_entity` reads, in a fixed number of statements."""
    return versions.select_related("model", "created_by").prefetch_related("tags", "aliases__stage")


def model_entity(model: RegisteredModel) -> Any:
    """A registered model as MLflow shows it, with the newest version of each stage."""
    return MlflowModel(
        name=model.name,
        creation_timestamp=_milliseconds(model.created_at),
        last_updated_timestamp=_milliseconds(model.updated_at),
        description=model.description,
        latest_versions=[version_entity(version) for version in latest_by_stage(model).values()],
        tags=[RegisteredModelTag(tag.key, tag.value) for tag in model.tags.all()],  # type: ignore[no-untyped-call]  # MLflow's
        aliases=[RegisteredModelAlias(one.name, str(one.version.number)) for one in model.aliases.all()],  # type: ignore[no-untyped-call]  # MLflow's
    )


def version_entity(version: ModelVersion) -> Any:
    """A version as MLflow shows it; `user_id` is who registered it."""
    status = STATUS.get(State(version.state), "READY")
    return MlflowVersion(
        name=version.model.name,
        version=str(version.number),
        creation_timestamp=_milliseconds(version.created_at),
        last_updated_timestamp=_milliseconds(version.updated_at),
        description=version.description,
        user_id=version.created_by.username,
        current_stage=stage_of(version),
        source=version.source,
        run_id=version.run_id,
        run_link=version.run_link,
        status=status,
        status_message=version.status_message if status != "READY" else None,
        tags=[ModelVersionTag(tag.key, tag.value) for tag in version.tags.all()],  # type: ignore[no-untyped-call]  # MLflow's
        aliases=[alias.name for alias in version.aliases.all()],
        model_id=version.logged_model_id or None,
    )


def stage_of(version: ModelVersion) -> str:
    """MLflow's stage: where the version's protected aliases put it, Archived when it is closed, else None."""
    held = {alias.stage.name for alias in version.aliases.all() if alias.stage is not None}
    for name, title in STAGES.items():
        if name in held:
            return title
    return "Archived" if version.state in ARCHIVED else "None"


def latest_by_stage(model: RegisteredModel) -> dict[str, ModelVersion]:
    """The newest version in each of MLflow's stages."""
    latest: dict[str, ModelVersion] = {}
    for version in sorted(model.versions.all(), key=lambda one: one.number):
        latest[stage_of(version)] = version
    return latest


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000)
