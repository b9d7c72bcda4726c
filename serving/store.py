"""MLflow's model registry on our actions: a thin adapter, so that an unmodified client meets the same rules as everybody else.

MLflow's own handlers parse, validate and page; what is asked then comes here. Stages map to governed stages: moving a version to
Production, or setting the alias of a stage, is a promotion by the caller, refused with the reasons until it is signed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from serving import django_ready  # noqa: F401 - MLflow imports this module in processes where Django is not set up

# isort: split

from django.db.models import Exists, OuterRef, QuerySet
from mlflow.prompt.constants import IS_PROMPT_TAG_KEY
from mlflow.store.entities.paged_list import PagedList
from mlflow.store.model_registry.abstract_store import AbstractStore

from access.permissions import Permission, visible_to
from countersign.proof.manifest import ManifestFile
from foundation.refusals import Conflict, Forbidden, Invalid, NotFound
from notices.webhooks import actions as webhook_actions
from notices.webhooks.events import Event
from registry import actions
from registry.models import ModelVersion, RegisteredModel, Stage
from reviews.promotion import promote, requirements
from reviews.queries import where_to_decide
from serving import mlflow_webhooks
from serving.caller import caller
from serving.downloads import check_may_download, download_uri, works_on_candidates
from serving.freezing import freeze
from serving.mlflow_entities import (
    described_versions,
    model_entities,
    newest_by_stage,
    version_entity,
)
from serving.mlflow_errors import answers
from serving.mlflow_runs import run_of_logged_model
from serving.mlflow_search import MODELS, VERSIONS, search
from serving.queries import alias_named, approved, find_alias, resolve
from serving.tracking import folder_of
from serving.upstreams import is_elsewhere

ALL_STAGES: Final = ("None", "Staging", "Production", "Archived")


class DjangoStore(AbstractStore):
    """MLflow's `AbstractStore`, for `--registry-store-uri django://default`; every call is made by `serving.caller.caller()`."""

    def __init__(self, store_uri: str | None = None, tracking_uri: str | None = None) -> None:
        super().__init__(store_uri, tracking_uri)  # type: ignore[no-untyped-call]  # MLflow's

    # registered models

    @answers
    def create_registered_model(
        self,
        name: str,
        tags: Iterable[Any] | None = None,
        description: str | None = None,
        deployment_job_id: str | None = None,
    ) -> Any:
        """A new model of the strictest tier, owned by the caller or by the person who answers for the calling service."""
        tags = list(tags or [])
        _refuse_prompt(tags)
        if _visible_models().filter(name=name).exists():
            # Asked before the permission: clients create first and go on when they hear that the model exists.
            raise Conflict(f"Registered Model (name={name}) already exists.", code="model-exists")
        actions.create_model(
            name, description=description or "", tags={tag.key: tag.value for tag in tags}, by=caller()
        )
        return self.get_registered_model(name)

    @answers
    def update_registered_model(self, name: str, description: str | None, deployment_job_id: str | None = None) -> Any:
        """Change a model's description."""
        actions.update_model(_model(name), description=description or "", by=caller())
        return self.get_registered_model(name)

    @answers
    def rename_registered_model(self, name: str, new_name: str) -> Any:
        """Refused: signed statements carry the name."""
        raise Conflict(
            f"{_model(name).name} cannot be renamed, since signed statements name it. Register a new model and copy a version to it.",
            code="rename",
        )

    @answers
    def delete_registered_model(self, name: str) -> None:
        """Archive the model: nothing that was signed is ever deleted."""
        actions.archive_model(_model(name), by=caller())

    @answers
    def search_registered_models(
        self,
        filter_string: str | None = None,
        max_results: int | None = None,
        order_by: Sequence[str] | None = None,
        page_token: str | None = None,
    ) -> Any:
        """The models that the caller may see, in MLflow's search grammar."""
        found, more = search(
            _visible_models(),
            MODELS,
            filter_string=filter_string,
            max_results=max_results,
            order_by=order_by,
            page_token=page_token,
        )
        return PagedList(model_entities(found), more)

    @answers
    def get_registered_model(self, name: str) -> Any:
        """One model."""
        return model_entities([_model(name)])[0]

    @answers
    def get_latest_versions(self, name: str, stages: Sequence[str] | None = None) -> list[Any]:
        """The newest version in each of the stages (all, when none is named)."""
        wanted = {_stage_title(stage) for stage in stages} if stages else set(ALL_STAGES)
        model = _model(name)
        newest = newest_by_stage([model])[model.pk]
        return [version_entity(version) for stage, version in newest.items() if stage in wanted]

    @answers
    def set_registered_model_tag(self, name: str, tag: Any) -> None:
        """Label a model."""
        _refuse_prompt([tag])
        actions.set_model_tag(_model(name), tag.key, tag.value, by=caller())

    @answers
    def delete_registered_model_tag(self, name: str, key: str) -> None:
        """Take a label off."""
        actions.delete_model_tag(_model(name), key, by=caller())

    # versions

    @answers
    def create_model_version(
        self,
        name: str,
        source: str,
        run_id: str | None = None,
        tags: Iterable[Any] | None = None,
        run_link: str | None = None,
        description: str | None = None,
        local_model_path: str | None = None,
        model_id: str | None = None,
    ) -> Any:
        """Freeze the files of `source` in our store and register them; pending until a worker has scanned them.

        What another tracking server or a bucket has (`serving.upstreams`) is fetched by a worker first, and fails with the reason.
        """
        model, tags = _model(name), list(tags or [])
        _refuse_prompt(tags)
        files = _files_of(source, run_id or "", model_id or "", model)
        version = actions.register_version(
            model,
            files,
            source=source,
            run_id=run_id or run_of_logged_model(model_id or ""),
            run_link=run_link or "",
            logged_model_id=model_id or "",
            description=description or "",
            tags={tag.key: tag.value for tag in tags},
            by=caller(),
        )
        return self.get_model_version(name, str(version.number))

    @answers
    def update_model_version(self, name: str, version: str, description: str | None = None) -> Any:
        """Change a version's description, which is outside every signature."""
        actions.update_version(_version(name, version), description=description or "", by=caller())
        return self.get_model_version(name, version)

    @answers
    def transition_model_version_stage(
        self, name: str, version: str, stage: str, archive_existing_versions: bool
    ) -> Any:
        """Promote to a governed stage, or retire; a promotion replaces the version that held the stage, archived or not."""
        found, title = _version(name, version), _stage_title(stage)
        if title == "Archived":
            actions.retire_version(found, by=caller())
        elif title == "None":
            raise Conflict(
                "A version leaves its stage when another one is promoted, or when it is revoked.", code="stage-none"
            )
        else:
            _promote(found, Stage.objects.get(name=title.lower()))
        return self.get_model_version(name, version)

    @answers
    def delete_model_version(self, name: str, version: str) -> None:
        """Retire the version: its number, bytes and record stay."""
        actions.retire_version(_version(name, version), by=caller())

    @answers
    def get_model_version(self, name: str, version: str) -> Any:
        """One version."""
        return version_entity(_version(name, version))

    @answers
    def get_model_version_download_uri(self, name: str, version: str) -> str:
        """Where the frozen files are, for those who may have them (`serving.downloads`); else the refusal with its requirements."""
        found = _version(name, version)
        check_may_download(found, by=caller())
        return download_uri(found)

    @answers
    def search_model_versions(
        self,
        filter_string: str | None = None,
        max_results: int | None = None,
        order_by: Sequence[str] | None = None,
        page_token: str | None = None,
    ) -> Any:
        """The versions of models that the caller may see, in MLflow's search grammar."""
        found, more = search(
            described_versions(ModelVersion.objects.filter(Exists(_visible_models().filter(pk=OuterRef("model"))))),
            VERSIONS,
            filter_string=filter_string,
            max_results=max_results,
            order_by=order_by,
            page_token=page_token,
        )
        return PagedList([version_entity(version) for version in found], more)

    @answers
    def set_model_version_tag(self, name: str, version: str, tag: Any) -> None:
        """Label a version."""
        _refuse_prompt([tag])
        actions.set_version_tag(_version(name, version), tag.key, tag.value, by=caller())

    @answers
    def delete_model_version_tag(self, name: str, version: str, key: str) -> None:
        """Take a label off."""
        actions.delete_version_tag(_version(name, version), key, by=caller())

    # aliases

    @answers
    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
        """Point a free alias at a version; for the alias of a stage, promote."""
        found = _version(name, version)
        stage = Stage.objects.filter(alias=alias_named(alias)).first()
        if stage is None:
            actions.set_alias(found.model, alias, found, by=caller())
        elif not found.aliases.filter(stage=stage).exists():
            _promote(found, stage)

    @answers
    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        """Take a free alias away; a stage's goes only with a revocation."""
        actions.delete_alias(_model(name), alias, by=caller())

    @answers
    def get_model_version_by_alias(self, name: str, alias: str) -> Any:
        """The version behind an alias; a stage's alias stands for one whose approval is in force, whoever asks, else for the refusal.

        A free alias gives those who work on candidates any version, and those who only pull an approved one.
        """
        row = find_alias(_model(name), alias)
        version = row.version
        if not works_on_candidates(version, caller()):
            version = resolve(name, alias=alias, by=caller()).version
        elif row.stage is not None:
            version = approved(version, row.stage).version
        return self.get_model_version(name, str(version.number))

    # webhooks

    @answers
    def create_webhook(
        self,
        name: str,
        url: str,
        events: list[Any],
        description: str | None = None,
        secret: str | None = None,
        status: Any = None,
    ) -> Any:
        """Have events sent to `url` in the caller's name; without a secret they are not signed, as with MLflow's own server."""
        made = webhook_actions.create_webhook(
            name,
            url,
            [str(event) for event in events],
            description=description or "",
            secret=secret or "",
            on=status is None or status.is_active(),
            by=caller(),
        )
        return mlflow_webhooks.webhook_entity(made, caller())

    @answers
    def get_webhook(self, webhook_id: str) -> Any:
        """One webhook."""
        return mlflow_webhooks.webhook_entity(mlflow_webhooks.find(webhook_id, caller()), caller())

    @answers
    def list_webhooks(self, max_results: int | None = None, page_token: str | None = None) -> Any:
        """The webhooks that want events of MLflow's."""
        return mlflow_webhooks.page_of(caller(), max_results, page_token)

    @answers
    def update_webhook(
        self,
        webhook_id: str,
        name: str | None = None,
        description: str | None = None,
        url: str | None = None,
        events: list[Any] | None = None,
        secret: str | None = None,
        status: Any = None,
    ) -> Any:
        """Change what is given."""
        found = mlflow_webhooks.find(webhook_id, caller())
        webhook_actions.update_webhook(
            found,
            name=name,
            description=description,
            url=url,
            events=mlflow_webhooks.kept_besides(found, events),
            secret=secret,
            on=None if status is None else status.is_active(),
            by=caller(),
        )
        return self.get_webhook(webhook_id)

    @answers
    def delete_webhook(self, webhook_id: str) -> None:
        """Delete it with its log."""
        webhook_actions.delete_webhook(mlflow_webhooks.find(webhook_id, caller()), by=caller())

    @answers
    def test_webhook(self, webhook_id: str, event: Any = None) -> Any:
        """Send an example now; our server sends it, once, to an address that was checked."""
        found = mlflow_webhooks.find(webhook_id, caller())
        wanted = Event(str(event)) if event else mlflow_webhooks.first_of(found)
        sent, tried = webhook_actions.send_example(found, wanted, by=caller())
        return mlflow_webhooks.test_result(sent, tried)

    def list_webhooks_by_event(self, event: Any, max_results: int | None = None, page_token: str | None = None) -> Any:
        """None: MLflow's server would send them from here, and the outbox has them already."""
        return PagedList([], None)


def _visible_models() -> QuerySet[RegisteredModel]:
    """What the caller may see or pull, archived models left out."""
    by, current = caller(), RegisteredModel.objects.current()
    return visible_to(current, by, Permission.SEE_MODEL) | visible_to(current, by, Permission.PULL_VERSION)


def _model(name: str) -> RegisteredModel:
    model = _visible_models().filter(name=name).first()
    if model is None:
        raise NotFound(f"Registered Model with name={name} not found.", code="model-unknown")
    return model


def _version(name: str, number: str) -> ModelVersion:
    model = _model(name)
    try:
        wanted = int(number)
    except ValueError:
        raise Invalid(f"Model version must be an integer, not {number!r}.", code="version-number") from None
    version = described_versions(model.versions.filter(number=wanted)).first()
    if version is None:
        raise NotFound(f"Model Version (name={name}, version={number}) not found.", code="version-unknown")
    return version


def _promote(version: ModelVersion, stage: Stage) -> None:
    """A promotion by the caller. Only people promote and clients are services, so a refusal also says how the case stands, and where."""
    try:
        promote(version, stage, by=caller())
    except Forbidden as refusal:
        refusal.requirements = refusal.requirements or requirements(version, stage)
        refusal.link = refusal.link or where_to_decide(version, stage)
        raise


def _files_of(source: str, run_id: str, model_id: str, target: RegisteredModel) -> list[ManifestFile] | None:
    """The manifest of a source: a registered version's as it is, a logged model's frozen now; None for what a worker has to fetch."""
    name, _, number = source.removeprefix("models:/").partition("/")
    if source.startswith("models:/") and number:
        original = _version(name, number)
        check_may_download(original, by=caller())
        return original.files
    if not caller().allows(Permission.REGISTER_VERSION, target):
        return []  # the action refuses, with its sentence, before anything is copied
    if is_elsewhere(source, run_id=run_id, model_id=model_id):
        return None
    return freeze(folder_of(source, run_id=run_id, model_id=model_id))


def _refuse_prompt(tags: Iterable[Any]) -> None:
    if any(tag.key == IS_PROMPT_TAG_KEY and str(tag.value).lower() == "true" for tag in tags):
        raise Invalid("Prompts are not governed here yet; register models only.", code="prompt")


def _stage_title(stage: str) -> str:
    title = stage.strip().capitalize()
    if title not in ALL_STAGES:
        raise Invalid(
            f"Invalid Model Version stage: {stage}. Value must be one of {', '.join(ALL_STAGES)}.", code="stage-unknown"
        )
    return title
