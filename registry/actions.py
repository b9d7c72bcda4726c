"""Every write to the registry: models, versions, their evidence and cards, tags and free aliases.

A stage's alias is moved by `registry.releases` alone, the state of a version by `registry.lifecycle` alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.db.models.functions import Greatest
from django.urls import NoReverseMatch, reverse
from django.utils import timezone

from access.models import User
from access.permissions import Permission, permit
from access.principal import Principal
from audit.actions import append
from audit.events import Action
from audit.governed import governed
from audit.payload import Json
from countersign.proof.canonical import digest_of
from countersign.proof.manifest import ManifestFile, manifest_digest, rows
from datasets.models import DatasetVersion, Recipe
from foundation.refusals import Conflict, Invalid, NotFound
from jobs.actions import enqueue
from notices.webhooks.emitting import emit
from notices.webhooks.events import Event
from registry import cards
from registry.admitting import ADMISSION_JOB, admit_version
from registry.arriving import FETCH_JOB, check_stored, record_blobs
from registry.evidence import OWN_EVIDENCE, account_of, append_evidence
from registry.lifecycle import move
from registry.manifest import check_tree
from registry.models import (
    Alias,
    Evidence,
    ModelCardRevision,
    ModelTag,
    ModelVersion,
    RegisteredModel,
    Stage,
    VersionTag,
)
from registry.store import limits

RETRY_WINDOW: Final = timedelta(minutes=10)
MAX_TAG_KEY: Final = 250
MAX_TAG_CHARACTERS: Final = 5_000
RESERVED_NAMES: Final = frozenset({"new"})
FREE_ALIAS: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")
RESERVED_ALIAS: Final = re.compile(r"latest|v\d+", re.IGNORECASE)

__all__ = [
    "add_evidence",
    "admit_version",
    "archive_model",
    "create_model",
    "delete_alias",
    "delete_model_tag",
    "delete_version_tag",
    "register_version",
    "restore_card",
    "retire_version",
    "revise_card",
    "set_alias",
    "set_model_tag",
    "set_version_tag",
    "update_model",
    "update_version",
]


@governed(Action.MODEL_CREATE)
def create_model(
    name: str,
    *,
    tier: int = RegisteredModel.Tier.HIGH,
    description: str = "",
    intended_use: str = "",
    owner: User | None = None,
    tags: Mapping[str, str] | None = None,
    by: Principal,
) -> RegisteredModel:
    """Register a named use of machine learning. Its owner is whoever creates it, unless another person is named."""
    permit(by, Permission.CREATE_MODEL)
    tags = _checked_tags(tags)
    creator = account_of(by)
    owner = owner or _person_behind(creator)
    _check_owner(owner)
    model = RegisteredModel(
        name=name.strip(),
        tier=tier,
        description=description,
        intended_use=intended_use,
        owner=owner,
        created_by=creator,
    )
    _check_fields(model)
    _check_not_reserved(model.name)
    try:
        with transaction.atomic():
            model.save(force_insert=True)
    except IntegrityError as error:
        raise _name_taken(model.name) from error
    ModelTag.objects.bulk_create(ModelTag(model=model, key=key, value=value) for key, value in tags.items())
    append(
        Action.MODEL_CREATE,
        by=by,
        obj=model.ledger_ref(),
        after={"tier": model.tier, "owner": str(owner.uuid), "intended_use": intended_use, **_as_recorded(tags)},
    )
    emit(Event.MODEL_CREATED, model, {"name": model.name, "tags": {**tags}, "description": description or None})
    return model


@governed(Action.MODEL_UPDATE)
def update_model(
    model: RegisteredModel,
    *,
    description: str | None = None,
    intended_use: str | None = None,
    tier: int | None = None,
    owner: User | None = None,
    by: Principal,
) -> RegisteredModel:
    """Change what is said about a model; what is None stays. The name never changes: signed statements carry it.

    The risk tier may become stricter at any time but for an open review, and milder only while there is no version: nobody
    weakens the rules of their own case. Another owner takes the permission to manage access.
    """
    model = RegisteredModel.objects.locked(model.pk)
    permit(by, Permission.EDIT_MODEL, model)
    _check_not_archived(model)
    before = _facts(model)
    if tier is not None and tier != model.tier:
        _check_tier_change(model, tier)
        model.tier = tier
    if owner is not None and owner.pk != model.owner_id:
        permit(by, Permission.MANAGE_ACCESS, model)
        _check_owner(owner)
        model.owner = owner
    model.description = model.description if description is None else description
    model.intended_use = model.intended_use if intended_use is None else intended_use
    model.updated_at = timezone.now()
    _check_fields(model)
    model.save(update_fields=["description", "intended_use", "tier", "owner", "updated_at"])
    append(Action.MODEL_UPDATE, by=by, obj=model.ledger_ref(), before=before, after=_facts(model))
    return model


@governed(Action.MODEL_ARCHIVE)
def archive_model(model: RegisteredModel, *, by: Principal) -> RegisteredModel:
    """Close a model to new versions. Nothing is deleted; a model with a live version or an open review stays open."""
    model = RegisteredModel.objects.locked(model.pk)
    permit(by, Permission.EDIT_MODEL, model)
    _check_not_archived(model)
    busy = (
        model.versions.filter(state__in=[ModelVersion.State.LIVE, ModelVersion.State.IN_REVIEW])
        .order_by("number")
        .first()
    )
    if busy is not None:
        raise Conflict(
            f"Version {busy.number} is {busy.get_state_display().lower()}. Withdraw its review or revoke it first, then archive "
            "the model.",
            code="model-in-use",
        )
    model.archived_at = model.updated_at = timezone.now()
    model.save(update_fields=["archived_at", "updated_at"])
    append(Action.MODEL_ARCHIVE, by=by, obj=model.ledger_ref())
    return model


@governed(Action.VERSION_REGISTER)
def register_version(
    model: RegisteredModel,
    files: Sequence[ManifestFile] | None,
    *,
    by: Principal,
    source: str = "",
    run_id: str = "",
    run_link: str = "",
    logged_model_id: str = "",
    description: str = "",
    dataset_version: DatasetVersion | None = None,
    recipe: Recipe | None = None,
    retrain_of: ModelVersion | None = None,
    trained_by: User | None = None,
    code_reference: str = "",
    job_uuid: UUID | None = None,
    tags: Mapping[str, str] | None = None,
    number: int | None = None,
    admit: bool = True,
) -> ModelVersion:
    """Register files that are in the store already as the model's next version, in quarantine until the scan admits it.

    `files`: None where a worker has to fetch them from `source` first (`registry.arriving`). Once per `job_uuid`, whoever repeats
    it; and a client that sends the same source, run and bytes again within ten minutes gets the version it made. `number`: the
    one that the version has in the registry it is imported from; it has to be free, and then no repetition is guessed. With
    `admit`, a worker scans the files after the commit.
    """
    model = RegisteredModel.objects.locked(model.pk)
    permit(by, Permission.REGISTER_VERSION, model)
    tags = _checked_tags(tags)
    if tags:
        permit(by, Permission.EDIT_MODEL, model)
    if files is not None:
        check_tree(files, limits())
    _check_not_archived(model)
    digest = manifest_digest(files) if files is not None else None
    made = _made_before(model, digest, source, run_id, job_uuid, by) if number is None else None
    if made is not None:
        return made
    if files is not None:
        check_stored(files)
    _check_lineage(model, retrain_of)
    version = ModelVersion.objects.create(
        model=model,
        number=_next_number(model) if number is None else _kept_number(model, number),
        manifest=rows(files or ()),
        digest=digest or "",
        size_bytes=sum(file.size for file in files or ()),
        source=source,
        run_id=run_id,
        run_link=run_link,
        logged_model_id=logged_model_id,
        description=description,
        dataset_version=dataset_version,
        recipe=recipe,
        retrain_of=retrain_of,
        trained_by=trained_by,
        code_reference=code_reference,
        created_by=account_of(by),
        job_uuid=job_uuid,
        status_message="Waiting for the admission scan." if files is not None else "Waiting for its files.",
    )
    record_blobs(files or ())
    VersionTag.objects.bulk_create(VersionTag(version=version, key=key, value=value) for key, value in tags.items())
    append(
        Action.VERSION_REGISTER,
        by=by,
        obj=version.ledger_ref(),
        after={
            "digest": digest or "",
            "files": len(files or ()),
            "bytes": version.size_bytes,
            "run": run_id,
            "source": source,
            **_as_recorded(tags),
        },
    )
    emit(
        Event.VERSION_CREATED,
        model,
        {
            "name": model.name,
            "version": str(version.number),
            "source": source,
            "run_id": run_id or None,
            "tags": {**tags},
            "description": description or None,
        },
    )
    if files is None:
        enqueue(FETCH_JOB, {"version": version.pk}, by=by, max_attempts=3)
    elif admit:
        enqueue(ADMISSION_JOB, {"version": version.pk}, by=by)
    return version


@governed(Action.VERSION_UPDATE)
def update_version(version: ModelVersion, *, description: str, by: Principal) -> ModelVersion:
    """Change a version's description: outside every subject, so no signature becomes stale."""
    version = _locked_version(version)
    permit(by, Permission.EDIT_MODEL, version.model)
    before, version.description, version.updated_at = version.description, description, timezone.now()
    version.save(update_fields=["description", "updated_at"])
    append(
        Action.VERSION_UPDATE,
        by=by,
        obj=version.ledger_ref(),
        before={"description": before},
        after={"description": description},
    )
    return version


@governed(Action.VERSION_RETIRE)
def retire_version(version: ModelVersion, *, by: Principal) -> ModelVersion:
    """Close a version for good. Bytes, evidence and number stay; one that free aliases point at has to lose them first."""
    version = _locked_version(version)
    aliases = ", ".join(version.aliases.values_list("name", flat=True))
    if aliases:
        raise Conflict(f"{version} still has the alias {aliases}. Move or delete it first.", code="version-in-use")
    return move(version, "retire", by=by)


@governed(Action.EVIDENCE_ADD)
def add_evidence(
    version: ModelVersion, kind: str, content: Mapping[str, Any], *, by: Principal, run_id: str = ""
) -> Evidence:
    """Add a dated result about exactly these bytes, with whoever produced it. The same result twice in a row is one.

    `content` is JSON with finite numbers, at most 4 MiB. What a scan says comes from admission only.
    """
    version = _locked_version(version)
    permit(by, Permission.REGISTER_VERSION, version.model)
    if kind not in Evidence.Kind.values or kind in OWN_EVIDENCE:
        kinds = ", ".join(sorted(set(Evidence.Kind.values) - OWN_EVIDENCE))
        raise Invalid(
            f"“{kind}” is not a kind of evidence that can be added; the kinds are {kinds}.", code="evidence-kind"
        )
    _check_open(version)
    return append_evidence(version, kind, content, by=by, run_id=run_id)


@governed(Action.CARD_REVISE)
def revise_card(version: ModelVersion, sections: Mapping[str, object], *, by: Principal) -> ModelCardRevision:
    """Add a revision of the model card: the given sections replace the last revision's (empty ones go), the others stay."""
    version = _locked_version(version)
    permit(by, Permission.EDIT_MODEL, version.model)
    _check_open(version)
    last = version.card_revisions.order_by("-number").first()
    before: dict[str, str] = dict(last.sections) if last else {}
    after = {key: text for key, text in (before | cards.checked(sections)).items() if text}
    return _add_revision(version, last, after, by=by)


@governed(Action.CARD_REVISE)
def restore_card(version: ModelVersion, number: int, *, by: Principal) -> ModelCardRevision:
    """Add a revision that says exactly what revision `number` said; the ones in between stay in the record.

    Raises `NotFound` for a revision that does not exist, `Conflict` when the card says that already.
    """
    version = _locked_version(version)
    permit(by, Permission.EDIT_MODEL, version.model)
    _check_open(version)
    wanted = version.card_revisions.filter(number=number).first()
    if wanted is None:
        raise NotFound(f"The card of {version} has no revision {number}.", code="card-revision-unknown")
    last = version.card_revisions.order_by("-number").first()
    return _add_revision(version, last, dict(wanted.sections), by=by, restored=number)


def _add_revision(
    version: ModelVersion,
    last: ModelCardRevision | None,
    after: dict[str, str],
    *,
    by: Principal,
    restored: int | None = None,
) -> ModelCardRevision:
    if last is not None and after == last.sections:
        raise Conflict("Nothing changed: the card already says this.", code="card-unchanged")
    revision = ModelCardRevision.objects.create(
        version=version,
        number=last.number + 1 if last else 1,
        sections=after,
        digest=digest_of(after),
        author=account_of(by),
    )
    after_words: dict[str, Json] = {"revision": revision.number, "digest": revision.digest}
    if restored is not None:
        after_words["restored"] = restored
    append(
        Action.CARD_REVISE,
        by=by,
        obj=version.ledger_ref(),
        before={"revision": last.number if last else 0, "digest": last.digest if last else ""},
        after=after_words,
    )
    return revision


@governed(Action.ALIAS_SET)
def set_alias(
    model: RegisteredModel, name: str, version: ModelVersion, *, by: Principal, expected: int | None = None
) -> Alias:
    """Point a free alias at a version; a stage's alias is refused here, whoever asks.

    `expected`: the number that the alias must point at now, where the caller does not want to overwrite another's move.
    """
    model = RegisteredModel.objects.locked(model.pk)
    permit(by, Permission.SET_ALIAS, model)
    _check_alias_name(name)
    _refuse_stage_alias(model, name, version)
    if version.model_id != model.pk:
        raise NotFound(f"{model.name} has no such version.", code="version-unknown")
    version = ModelVersion.objects.locked(version.pk)
    version.model = model
    _check_open(version, quarantined=False)
    alias = Alias.objects.filter(model=model, name=name).select_related("version").first()
    before = alias.version.number if alias else None
    if expected is not None and before != expected:
        raise Conflict(
            f"{name} points at {f'version {before}' if before else 'no version'} now, not at version {expected}. Look again.",
            code="alias-moved",
        )
    now, person = timezone.now(), account_of(by)
    if alias is None:
        alias = Alias(model=model, name=name)
    alias.version, alias.updated_at, alias.updated_by = version, now, person
    alias.save()
    append(
        Action.ALIAS_SET,
        by=by,
        obj=model.ledger_ref(),
        before={"alias": name, "version": before},
        after={"alias": name, "version": version.number},
    )
    emit(Event.ALIAS_CREATED, model, {"name": model.name, "alias": name, "version": str(version.number)})
    return alias


@governed(Action.ALIAS_DELETE)
def delete_alias(model: RegisteredModel, name: str, *, by: Principal) -> None:
    """Delete a free alias. One that is not there is gone already, which is what was asked for."""
    model = RegisteredModel.objects.locked(model.pk)
    permit(by, Permission.SET_ALIAS, model)
    _refuse_stage_alias(model, name, None)
    alias = Alias.objects.filter(model=model, name=name).select_related("version").first()
    if alias is None:
        return
    number = alias.version.number
    alias.delete()
    append(Action.ALIAS_DELETE, by=by, obj=model.ledger_ref(), before={"alias": name, "version": number})
    emit(Event.ALIAS_DELETED, model, {"name": model.name, "alias": name})


@governed(Action.MODEL_TAG)
def set_model_tag(model: RegisteredModel, key: str, value: str, *, by: Principal) -> ModelTag:
    """Set a free label on a model."""
    model = RegisteredModel.objects.locked(model.pk)
    permit(by, Permission.EDIT_MODEL, model)
    _check_tag(key, value)
    before = model.tags.filter(key=key).values_list("value", flat=True).first()
    tag, _ = ModelTag.objects.update_or_create(model=model, key=key, defaults={"value": value})
    append(
        Action.MODEL_TAG,
        by=by,
        obj=model.ledger_ref(),
        before={"key": key, "value": before},
        after={"key": key, "value": value},
    )
    return tag


@governed(Action.MODEL_UNTAG)
def delete_model_tag(model: RegisteredModel, key: str, *, by: Principal) -> None:
    """Take a label off a model; one that is not there is gone already."""
    model = RegisteredModel.objects.locked(model.pk)
    permit(by, Permission.EDIT_MODEL, model)
    if model.tags.filter(key=key).delete()[0]:
        append(Action.MODEL_UNTAG, by=by, obj=model.ledger_ref(), before={"key": key})


@governed(Action.VERSION_TAG)
def set_version_tag(version: ModelVersion, key: str, value: str, *, by: Principal) -> VersionTag:
    """Set a free label on a version; outside every subject, so no signature becomes stale."""
    version = _locked_version(version)
    permit(by, Permission.EDIT_MODEL, version.model)
    _check_tag(key, value)
    before = version.tags.filter(key=key).values_list("value", flat=True).first()
    tag, _ = VersionTag.objects.update_or_create(version=version, key=key, defaults={"value": value})
    append(
        Action.VERSION_TAG,
        by=by,
        obj=version.ledger_ref(),
        before={"key": key, "value": before},
        after={"key": key, "value": value},
    )
    emit(Event.TAG_SET, version.model, {**_named(version), "key": key, "value": value})
    return tag


@governed(Action.VERSION_UNTAG)
def delete_version_tag(version: ModelVersion, key: str, *, by: Principal) -> None:
    """Take a label off a version; one that is not there is gone already."""
    version = _locked_version(version)
    permit(by, Permission.EDIT_MODEL, version.model)
    if version.tags.filter(key=key).delete()[0]:
        append(Action.VERSION_UNTAG, by=by, obj=version.ledger_ref(), before={"key": key})
        emit(Event.TAG_DELETED, version.model, {**_named(version), "key": key})


def _named(version: ModelVersion) -> dict[str, Json]:
    """How other systems are told which version it is: as MLflow names it."""
    return {"name": version.model.name, "version": str(version.number)}


def _checked_tags(tags: Mapping[str, str] | None) -> Mapping[str, str]:
    for key, value in (tags or {}).items():
        _check_tag(key, value)
    return tags or {}


def _as_recorded(tags: Mapping[str, str]) -> dict[str, Json]:
    return {"tags": {**tags}} if tags else {}


def _person_behind(account: User) -> User:
    return account.owner if account.owner is not None else account


def _check_owner(owner: User) -> None:
    if not (owner.is_person and owner.is_active):
        raise Invalid(
            f"{owner} cannot own a model: its owner is an active person, who answers for it.",
            code="owner",
            errors={"owner": "Name an active person."},
        )


def _check_fields(model: RegisteredModel) -> None:
    try:
        model.full_clean(validate_unique=False, validate_constraints=False)
    except ValidationError as error:
        errors = {field: " ".join(messages) for field, messages in error.message_dict.items()}
        raise Invalid(
            " ".join(f"{field}: {text}" for field, text in errors.items()), code="model", errors=errors
        ) from error
    twin = RegisteredModel.objects.filter(name__iexact=model.name).exclude(pk=model.pk).first()
    if twin is not None:
        raise _name_taken(twin.name)


def _check_not_reserved(name: str) -> None:
    if name.lower() in RESERVED_NAMES:
        raise Invalid(
            f"“{name}” cannot name a model: it is the name of a page here. Choose another.",
            code="model-name",
            errors={"name": "Choose another name."},
        )


def _name_taken(name: str) -> Conflict:
    return Conflict(
        f"The name “{name}” is taken (names that differ in case only count as the same). Choose another, or register a version "
        "of that model.",
        code="model-exists",
    )


def _check_not_archived(model: RegisteredModel) -> None:
    if model.archived_at is not None:
        raise Conflict(
            f"{model.name} was archived on {model.archived_at:%d %B %Y}; it takes no changes.", code="model-archived"
        )


def _check_tier_change(model: RegisteredModel, tier: int) -> None:
    if model.versions.filter(state=ModelVersion.State.IN_REVIEW).exists():
        raise Conflict(
            "The risk tier stays as it is while a version is in review: its policy depends on it.",
            code="tier-in-review",
        )
    if tier > model.tier and model.versions.exists():
        raise Conflict(
            "The risk tier can only become stricter once the model has a version. For a milder use, register a model of its own.",
            code="tier-milder",
        )


def _facts(model: RegisteredModel) -> dict[str, Any]:
    return {
        "description": model.description,
        "intended_use": model.intended_use,
        "tier": int(model.tier),
        "owner": str(model.owner.uuid),
    }


def _locked_version(version: ModelVersion) -> ModelVersion:
    model = RegisteredModel.objects.locked(version.model_id)
    locked = ModelVersion.objects.locked(version.pk)
    locked.model = model
    return locked


def _made_before(
    model: RegisteredModel, digest: str | None, source: str, run_id: str, job_uuid: UUID | None, by: Principal
) -> ModelVersion | None:
    """The version that this request made when it was sent before: there is no idempotency key in MLflow's protocol."""
    if job_uuid is not None:
        made = ModelVersion.objects.filter(job_uuid=job_uuid).select_related("model").first()
        if made is not None and (made.model_id, made.digest) != (model.pk, digest):
            raise Conflict(f"This job has made {made} already, with other bytes.", code="job-made-another")
        return made
    if not (source or run_id):
        return None
    made_just_now = model.versions.filter(
        source=source, job_uuid=None, created_by=account_of(by), created_at__gte=timezone.now() - RETRY_WINDOW
    )
    if digest is not None:
        return made_just_now.filter(run_id=run_id, digest=digest).first()
    # The digest is not known yet, nor a run that nobody named. What could not be fetched is tried anew.
    same_run = {"run_id": run_id} if run_id else {}
    return made_just_now.exclude(state=ModelVersion.State.REJECTED).filter(**same_run).first()


def _check_lineage(model: RegisteredModel, retrain_of: ModelVersion | None) -> None:
    if retrain_of is not None and retrain_of.model_id != model.pk:
        raise Invalid(
            f"{retrain_of} is a version of another model; a retraining continues a version of its own.", code="lineage"
        )


def _next_number(model: RegisteredModel) -> int:
    """The counter's next value; the row is locked, so nobody else gets it, and deleted or failed numbers are never reused."""
    RegisteredModel.objects.filter(pk=model.pk).update(last_number=F("last_number") + 1, updated_at=timezone.now())
    return RegisteredModel.objects.values_list("last_number", flat=True).get(pk=model.pk)


def _kept_number(model: RegisteredModel, number: int) -> int:
    """`number`, where no version has it; what is registered later gets higher ones."""
    if model.versions.filter(number=number).exists():
        raise Conflict(f"{model.name} has a version {number} already.", code="number-taken")
    RegisteredModel.objects.filter(pk=model.pk).update(
        last_number=Greatest(F("last_number"), number), updated_at=timezone.now()
    )
    return number


def _check_open(version: ModelVersion, *, quarantined: bool = True) -> None:
    """Refuse what a version that was refused or retired, or is not scanned yet, does not take any more."""
    closed = {ModelVersion.State.REJECTED, ModelVersion.State.RETIRED}
    if version.state in closed or (version.state == ModelVersion.State.QUARANTINED and not quarantined):
        raise Conflict(f"{version} is {version.get_state_display().lower()} and does not take this.", code="state")


def _check_alias_name(name: str) -> None:
    if RESERVED_ALIAS.fullmatch(name):
        raise Invalid(
            f"“{name}” cannot be an alias: it reads as a version. Choose another name.", code="alias-reserved"
        )
    if not FREE_ALIAS.fullmatch(name):
        raise Invalid(
            "An alias starts with a letter or digit and goes on with letters, digits, underscores, dots and hyphens, at most 80.",
            code="alias-name",
        )


def _refuse_stage_alias(model: RegisteredModel, name: str, version: ModelVersion | None) -> None:
    stage = Stage.objects.filter(Q(alias__iexact=name) | Q(name__iexact=name)).first()
    if stage is None:
        return
    what = f"version {version.number}" if version is not None and version.model_id == model.pk else "a version"
    raise Conflict(
        f"“{stage.alias}” is the alias of {stage.title}; it moves only when {what} has been reviewed, signed and promoted, and "
        "is taken away only by a revocation. Request a review; once the last sign-off is there, promote it.",
        code="alias-protected",
        link=_review_link(model, version),
    )


def _review_link(model: RegisteredModel, version: ModelVersion | None) -> str:
    """Where a review is requested."""
    try:
        if version is not None and version.model_id == model.pk:
            return reverse("reviews:request", kwargs={"name": model.name, "number": version.number})
        return reverse("reviews:model", kwargs={"name": model.name})
    except NoReverseMatch:  # a process without the portal's pages, such as the scoring worker
        return ""


def _check_tag(key: str, value: str) -> None:
    if not key.strip() or len(key) > MAX_TAG_KEY or len(value) > MAX_TAG_CHARACTERS:
        raise Invalid(
            f"A tag has a key of 1 to {MAX_TAG_KEY} characters and a value of at most {MAX_TAG_CHARACTERS:,}.",
            code="tag",
        )
