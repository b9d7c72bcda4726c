"""Our models and versions in MLflow's words: its entities, its three statuses and its four stages."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from django.db import connection
from django.db.models import Exists, OuterRef, QuerySet, Subquery, prefetch_related_objects
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

from registry.models import Alias, ModelVersion, RegisteredModel

State = ModelVersion.State
STATUS: Final = {State.QUARANTINED: "PENDING_REGISTRATION", State.REJECTED: "FAILED_REGISTRATION"}
ARCHIVED: Final = frozenset({State.RETIRED, State.REVOKED, State.EXPIRED})
STAGES: Final = {"production": "Production", "staging": "Staging"}


def described_versions(versions: QuerySet[ModelVersion]) -> QuerySet[ModelVersion]:
    """`versions` with what `version_entity` reads, in a fixed number of statements."""
    return versions.select_related("model", "created_by").prefetch_related("tags", "aliases__stage")


def model_entities(models: Sequence[RegisteredModel]) -> list[Any]:
    """Registered models as MLflow shows them, with the newest version of each stage; in a fixed number of statements."""
    prefetch_related_objects(models, "tags", "aliases__version")
    newest = newest_by_stage(models)
    return [
        MlflowModel(
            name=model.name,
            creation_timestamp=_milliseconds(model.created_at),
            last_updated_timestamp=_milliseconds(model.updated_at),
            description=model.description,
            latest_versions=[version_entity(version) for version in newest[model.pk].values()],
            tags=[RegisteredModelTag(tag.key, tag.value) for tag in model.tags.all()],  # type: ignore[no-untyped-call]  # MLflow's
            aliases=[RegisteredModelAlias(one.name, str(one.version.number)) for one in model.aliases.all()],  # type: ignore[no-untyped-call]  # MLflow's
        )
        for model in models
    ]


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


def newest_by_stage(models: Sequence[RegisteredModel]) -> dict[int, dict[str, ModelVersion]]:
    """The newest version in each of MLflow's stages, by the key of the model; however many versions a model has, few are read."""
    newest: dict[int, dict[str, ModelVersion]] = {model.pk: {} for model in models}
    versions = described_versions(ModelVersion.objects.filter(pk__in=_candidates(newest)))
    for version in versions.order_by("number"):
        newest[version.model_id][stage_of(version)] = version
    return newest


def _candidates(models: Collection[int]) -> set[int]:
    """Of each model: what holds a stage's alias, and the newest in each state of what holds none."""
    if not models:
        return set()
    wanted = dict(zip(_marks(len(models)), models, strict=True))
    sql, parameters = _newest_free(len(models))
    with connection.cursor() as cursor:
        cursor.execute(sql, [wanted.get(one, one) for one in parameters])
        found = {pk for row in cursor.fetchall() for pk in row if pk is not None}
    return found | set(_staged().filter(model__in=models).values_list("version", flat=True))


@lru_cache(maxsize=128)
def _newest_free(count: int) -> tuple[str, tuple[Any, ...]]:
    """The question for the newest in each state of what holds no stage's alias, of `count` models, compiled once.

    MLflow's handlers ask for a model before most of what they do, and building this takes thirty times as long as its answer.
    """
    free = ModelVersion.objects.filter(~Exists(_staged().filter(version=OuterRef("pk"))), model=OuterRef("pk"))
    newest = {
        f"newest_{state.value}": Subquery(free.filter(state=state).order_by("-number").values("pk")[:1])
        for state in State
    }
    rows = RegisteredModel.objects.filter(pk__in=_marks(count)).order_by()
    sql, parameters = rows.annotate(**newest).values_list(*newest).query.sql_with_params()
    return sql, tuple(parameters)


def _marks(count: int) -> list[int]:
    """What stands in a compiled question where keys of models go: no row has a key below nought."""
    return [-number for number in range(1, count + 1)]


def _staged() -> QuerySet[Alias]:
    return Alias.objects.filter(stage__name__in=STAGES)


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000)
