"""Taking over another MLflow registry: what becomes of its models, versions, aliases and stages, through the same actions as everything.

Every write is on record in the name of the person who imports. What is there already is left as it is, so that an import that was
killed goes on where it stopped. Nothing becomes live by being imported: what was in production or staging there gets a review here, due
at the end of a dated grace, and the alias of its stage once that is signed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from django.core.exceptions import ValidationError
from django.utils import timezone

from access.permissions import Permission
from access.principal import Principal
from foundation.refusals import Conflict, Forbidden, Refusal
from registry import actions
from registry.models import Alias, ModelVersion, RegisteredModel, Stage, model_name
from reviews.actions.cases import request_review
from reviews.models import Review
from serving.freezing import freeze
from serving.importing_source import ForeignModel, ForeignRegistry, ForeignVersion

ORIGIN_TAG: Final = "imported.from"
STAGE_TAG: Final = "imported.stage"
USER_TAG: Final = "imported.registered_by"
CREATED_TAG: Final = "imported.registered_at"
MAX_GRACE_DAYS: Final = 365
State = ModelVersion.State


@dataclass(frozen=True, slots=True)
class Terms:
    """How to import: the tier of new models, the days until what was live there has to be reviewed here, and whether only to look."""

    tier: int = RegisteredModel.Tier.HIGH
    grace: timedelta = timedelta(days=30)
    dry_run: bool = False


@dataclass(slots=True)
class Summary:
    """What an import did: numbers of things, and each thing that was left out with the reason."""

    models: int = 0
    versions: int = 0
    rejected: int = 0
    aliases: int = 0
    reviews: int = 0
    retired: int = 0
    there: int = 0
    left_out: list[tuple[str, str]] = field(default_factory=list)

    def leave_out(self, what: object, why: Refusal | str) -> None:
        """Remember that `what` was not imported, and why, in one line."""
        self.left_out.append((str(what), why.detail if isinstance(why, Refusal) else why))


Say = Callable[[str], None]


def import_registry(
    registry: ForeignRegistry, pattern: str, summary: Summary, *, terms: Terms = Terms(), say: Say, by: Principal
) -> None:
    """Import every model whose name matches `pattern`; `say` hears of each step, and `summary` says what was done.

    Raises `Unavailable` when the registry stops answering; what came until then stays, and `summary` tells it.
    """
    for model in registry.models(pattern):
        _Importing(registry, model, terms, summary, say, by).run()


@dataclass(slots=True)
class _Importing:
    """The import of one model."""

    registry: ForeignRegistry
    foreign: ForeignModel
    terms: Terms
    summary: Summary
    say: Say
    by: Principal

    def run(self) -> None:
        """The model, then its versions by number, then what points at them."""
        if self.foreign.is_prompt:
            self.summary.leave_out(self.foreign.name, "It is a prompt; only models are governed here.")
            return
        try:
            model = self._model()
        except Refusal as refusal:
            self.summary.leave_out(self.foreign.name, refusal)
            return
        versions = self.registry.versions(self.foreign)
        for at, version in enumerate(versions, 1):
            self._take_version(model, version, f"{at} of {len(versions)}")
        if model is not None and not self.terms.dry_run:
            self._take_aliases(model)
            self._take_stages(model)

    def _model(self) -> RegisteredModel | None:
        """The model that the versions go to, made where it is not there; None where only looking, and it would be made."""
        found = RegisteredModel.objects.filter(name__iexact=self.foreign.name).first()
        if found is not None:
            self._check_ours(found)
            return found
        if self.terms.dry_run:
            self._check_could_be_made()
            self.summary.models += 1
            return None
        tags = self._tags_of(self.foreign.name, self.foreign.tags) | {ORIGIN_TAG: self.registry.origin}
        made = actions.create_model(
            self.foreign.name, tier=self.terms.tier, description=self.foreign.description, tags=tags, by=self.by
        )
        self.summary.models += 1
        return made

    def _check_ours(self, found: RegisteredModel) -> None:
        if found.archived_at is not None:
            raise Conflict(f"{found.name} was archived here.", code="model-archived")
        if not found.tags.filter(key=ORIGIN_TAG, value=self.registry.origin).exists():
            raise Conflict(
                f"A model {found.name} is here already, and was not imported from {self.registry.origin}; the two are not mixed.",
                code="model-exists",
            )

    def _check_could_be_made(self) -> None:
        try:
            model_name(self.foreign.name)
        except ValidationError as error:
            raise Conflict(" ".join(error.messages), code="model") from error
        if not self.by.allows(Permission.CREATE_MODEL):
            raise Forbidden(f"{self.by.name} may not create models.")

    def _take_version(self, model: RegisteredModel | None, foreign: ForeignVersion, place: str) -> None:
        version = model.versions.filter(number=foreign.number).first() if model is not None else None
        if version is not None and not version.tags.filter(key=ORIGIN_TAG, value=self.registry.origin).exists():
            self.summary.leave_out(foreign, "A version of that number was registered here, and is left as it is.")
            return
        if version is not None and version.state != State.QUARANTINED:
            self.summary.there += 1
            return
        self.say(f"{foreign} ({place}, {foreign.stage})")
        try:
            if model is None or self.terms.dry_run:
                self.registry.find(foreign)
            else:
                version = self._made(model, foreign, version)
        except Refusal as refusal:
            self.summary.leave_out(foreign, refusal)
            return
        self.summary.versions += 1
        if version is not None and version.state == State.REJECTED:
            self.summary.rejected += 1
            self.summary.leave_out(foreign, f"Its files are here, and the scan refused them: {version.status_message}")

    def _made(self, model: RegisteredModel, foreign: ForeignVersion, there: ModelVersion | None) -> ModelVersion:
        """The version, scanned; one that is there in quarantine was registered by an import that was killed before its scan."""
        return actions.admit_version(there or self._registered(model, foreign), by=self.by)

    def _registered(self, model: RegisteredModel, foreign: ForeignVersion) -> ModelVersion:
        """Its files frozen, then the version with all that is said of it in one transaction."""
        with self.registry.folder(foreign) as folder:
            files = freeze(folder)
        tags = self._tags_of(foreign, foreign.tags) | {
            ORIGIN_TAG: self.registry.origin,
            STAGE_TAG: foreign.stage,
            USER_TAG: foreign.user,
            CREATED_TAG: foreign.created_at.isoformat(),
        }
        return actions.register_version(
            model,
            files,
            number=foreign.number,
            source=foreign.source,
            run_id=foreign.run_id,
            run_link=foreign.run_link,
            logged_model_id=foreign.logged_model_id,
            description=foreign.description,
            tags=tags,
            by=self.by,
        )

    def _tags_of(self, what: object, tags: dict[str, str]) -> dict[str, str]:
        """The tags that fit here; the others are named in the summary."""
        taken = {}
        for key, value in tags.items():
            if key.strip() and len(key) <= actions.MAX_TAG_KEY and len(value) <= actions.MAX_TAG_CHARACTERS:
                taken[key] = value
            else:
                self.summary.leave_out(f"{what}, tag {key[:60]}", "It is longer than tags are here.")
        return taken

    def _take_aliases(self, model: RegisteredModel) -> None:
        """Free aliases that are not here yet; one that points elsewhere by now is left where it is."""
        for name, number in sorted(self.foreign.aliases.items()):
            version = self._imported(model, number)
            if version is None or _stage_of_alias(name) is not None:
                continue
            here = Alias.objects.filter(model=model, name=name).select_related("version").first()
            if here is not None and here.version_id != version.pk:
                self._leave_alias(name, f"It points at version {here.version.number} here, and is left there.")
            if here is not None:
                continue
            try:
                actions.set_alias(model, name, version, by=self.by)
                self.summary.aliases += 1
            except Refusal as refusal:
                self._leave_alias(name, refusal)

    def _leave_alias(self, name: str, why: Refusal | str) -> None:
        self.summary.leave_out(f"{self.foreign.name}@{name}", why)

    def _take_stages(self, model: RegisteredModel) -> None:
        """A review for what was in a governed stage there, and the end for what was archived there and nothing points at."""
        for version, stage in self._staged(model):
            if Review.objects.filter(version=version, stage=stage).exists():
                continue
            try:
                self._ask_for_review(version, stage)
            except Refusal as refusal:
                self.summary.leave_out(f"{version} in {stage}", refusal)
        archived = model.versions.filter(
            state=State.REGISTERED, aliases=None, tags__key=STAGE_TAG, tags__value="Archived"
        )
        for version in archived.order_by("number"):
            try:
                actions.retire_version(version, by=self.by)
                self.summary.retired += 1
            except Refusal as refusal:
                self.summary.leave_out(version, refusal)

    def _ask_for_review(self, version: ModelVersion, stage: Stage) -> None:
        due_at = timezone.now() + self.terms.grace
        request_review(
            version,
            stage,
            why=f"{version} was in {stage.title.lower()} at {self.registry.origin} when it was imported. It is not live here; it has to be "
            f"reviewed by {due_at:%d %B %Y}, when the grace of the import ends.",
            due_at=due_at,
            by=self.by,
        )
        self.summary.reviews += 1
        self.say(f"{version}: review for {stage.title.lower()}, due {due_at:%d %B %Y}")

    def _staged(self, model: RegisteredModel) -> Iterator[tuple[ModelVersion, Stage]]:
        """Each version that was in a governed stage there, by its stage or by the stage's alias, with that stage; once each."""
        found: dict[tuple[int, int], tuple[ModelVersion, Stage]] = {}
        for stage in Stage.objects.all():
            staged = model.versions.filter(tags__key=STAGE_TAG, tags__value__iexact=stage.name)
            aliased = [number for name, number in self.foreign.aliases.items() if _stage_of_alias(name) == stage]
            for version in [*staged, *(self._imported(model, number) for number in aliased)]:
                if version is not None and version.state != State.REJECTED:
                    found[version.number, stage.order] = (version, stage)
        return iter(found[key] for key in sorted(found))

    def _imported(self, model: RegisteredModel, number: int) -> ModelVersion | None:
        origin = {"tags__key": ORIGIN_TAG, "tags__value": self.registry.origin}
        return model.versions.filter(number=number, **origin).first()


def _stage_of_alias(name: str) -> Stage | None:
    return Stage.objects.filter(alias__iexact=name).first()
