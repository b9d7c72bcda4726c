"""Who may stand behind a stage's alias: the version that a release signed by the registry names, and no other.

This module is the only writer of protected aliases. It believes a signature, not a row: what it places it has verified,
and what others read back through it is verified again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.utils import timezone

from access.models import User
from access.permissions import Permission, permit
from access.principal import Principal
from audit.actions import append
from audit.events import Action
from audit.governed import governed
from countersign.proof.dsse import STATEMENT_TYPE, BadEnvelope, Envelope, envelope_digest, open_sealed
from countersign.proof.manifest import manifest_digest
from foundation.keys import registry_signer
from foundation.refusals import Conflict, Forbidden
from notices.webhooks.emitting import emit
from notices.webhooks.events import Event
from registry.lifecycle import move
from registry.models import Alias, ModelVersion, Promotion, RegisteredModel, Stage

RELEASE_TYPE: Final = "https://countersign.dev/release/v1"
AHEAD: Final = "break_glass"
"""The basis of a release that puts a version live ahead of its review."""


@dataclass(frozen=True, slots=True)
class Release:
    """What a release says, once its signature has been verified. `previous`: number of the version that it replaces.

    It may be promoted until `valid_until`, and pulled and served until `pulls_until`. `basis`: what its approval rests on.
    """

    model: str
    version: int
    stage: str
    digest: str
    previous: int | None
    valid_until: datetime
    pulls_until: datetime
    basis: str
    predicate: Mapping[str, Any]


@governed(Action.ALIAS_SET)
def place_stage_alias(
    model: RegisteredModel,
    stage: Stage,
    version: ModelVersion,
    *,
    release: Envelope,
    rollback: bool = False,
    by: Principal,
) -> Promotion:
    """Move a stage's alias to the version that `release` names; belongs into the transaction of the promotion that made it.

    Verifies the registry's signature, that the release names this model, version, stage and these bytes, that it has not run
    out, that it was not used before, and that the alias still points where the release says (compare-and-swap): `Conflict`. A release
    by break-glass was permitted where two people signed it, so that it asks for no permission here.
    """
    model = RegisteredModel.objects.locked(model.pk)
    version = ModelVersion.objects.locked(version.pk)
    version.model = model
    checked = _checked(release, model, stage, version)
    ahead = checked.basis == AHEAD and not rollback
    if not ahead:
        permit(by, Permission.PROMOTE_VERSION, model)
    digest = envelope_digest(release)
    if Promotion.objects.filter(release_digest=digest).exists():
        raise Conflict(
            "This release was used for a promotion before; a promotion needs a release of its own.",
            code="release-reused",
        )
    alias = Alias.objects.filter(model=model, stage=stage).select_related("version").first()
    _compare(alias, checked, model, stage)
    person = _account(by)
    promotion = Promotion.objects.create(
        model=model,
        version=version,
        stage=stage,
        previous=alias.version if alias else None,
        rollback=rollback,
        release=dict(release),
        release_digest=digest,
        by=person,
    )
    move(version, "go_ahead" if ahead else "promote", by=by, decision=promotion)
    _point(alias, model, stage, version, promotion, person)
    if alias and alias.version_id != version.pk:
        _demote(alias.version, model, promotion, by)
    append(
        Action.ALIAS_SET,
        by=by,
        obj=model.ledger_ref(),
        before={"version": alias.version.number if alias else None},
        after={
            "alias": stage.alias,
            "stage": stage.name,
            "version": version.number,
            "promotion": str(promotion.uuid),
            "release": digest,
            "basis": checked.basis,
        },
    )
    emit(Event.ALIAS_CREATED, model, {"name": model.name, "alias": stage.alias, "version": str(version.number)})
    return promotion


@governed(Action.ALIAS_DELETE)
def drop_stage_aliases(version: ModelVersion, *, stage: Stage | None = None, by: Principal) -> list[Alias]:
    """Take every stage's alias, or that of `stage`, off the version, for a revocation or a lapse whose transaction this runs in.

    Asks for no permission of its own: it can only take away, and the decision that calls it has been permitted. Returns the rows.
    """
    model = RegisteredModel.objects.locked(version.model_id)
    held = Alias.objects.filter(version=version, **({"stage": stage} if stage else {"stage__isnull": False}))
    dropped = list(held.select_related("stage", "promotion"))
    Alias.objects.filter(pk__in=[alias.pk for alias in dropped]).delete()
    for alias in dropped:
        append(
            Action.ALIAS_DELETE,
            by=by,
            obj=model.ledger_ref(),
            before={"alias": alias.name, "stage": alias.stage.name if alias.stage else "", "version": version.number},
        )
        emit(Event.ALIAS_DELETED, model, {"name": model.name, "alias": alias.name})
    return dropped


def verified_release(alias: Alias) -> Release:
    """The release behind a protected alias; raises `Conflict` where signature, content or bytes do not bear it out."""
    promotion = alias.promotion
    if alias.stage is None or promotion is None:
        raise Conflict(f"{alias} is not a stage's alias; no release stands behind it.", code="release-missing")
    release = read_release(promotion.release)
    _check_names(release, alias.model, alias.stage, alias.version)
    return release


def read_release(envelope: Mapping[str, Any]) -> Release:
    """What a release says; raises `Conflict` unless the registry's key signed it and it has the form of a release."""
    try:
        statement = open_sealed(envelope, registry_signer().public)
    except BadEnvelope as error:
        raise Conflict(
            f"This release is not one that the registry signed: {error}", code="release-signature"
        ) from error
    try:
        if statement["_type"] != STATEMENT_TYPE or statement["predicateType"] != RELEASE_TYPE:
            raise ValueError("it is a statement of another type")
        return _release(statement)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise Conflict(f"This statement is not a release: {error}.", code="release-form") from error


def _release(statement: Mapping[str, Any]) -> Release:
    predicate = statement["predicate"]
    if statement["subject"][0]["digest"]["sha256"] != predicate["digest"]:
        raise ValueError("its subject and its predicate name different digests")
    previous = predicate["previous"]
    return Release(
        model=str(predicate["model"]),
        version=int(predicate["version"]),
        stage=str(predicate["stage"]),
        digest=str(predicate["digest"]),
        previous=None if previous is None else int(previous),
        valid_until=_moment(predicate["valid_until"]),
        pulls_until=_moment(predicate.get("pulls_until", predicate["valid_until"])),
        basis=str(predicate.get("basis", "review")),
        predicate=predicate,
    )


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("its end has no time zone")
    return moment


def _checked(envelope: Envelope, model: RegisteredModel, stage: Stage, version: ModelVersion) -> Release:
    release = read_release(envelope)
    _check_names(release, model, stage, version)
    if release.valid_until <= timezone.now():
        raise Conflict(
            f"The approval of {version} for {stage} ran out on {release.valid_until:%d %B %Y}.", code="release-expired"
        )
    return release


def _check_names(release: Release, model: RegisteredModel, stage: Stage, version: ModelVersion) -> None:
    named = (release.model, release.version, release.stage, release.digest)
    if version.model_id != model.pk or named != (model.name, version.number, stage.name, version.digest):
        raise Conflict(
            f"The release names {release.model} v{release.version} for {release.stage}, not {version} for {stage.name} "
            "with these bytes.",
            code="release-mismatch",
        )
    if manifest_digest(version.files) != version.digest:
        raise Conflict(
            f"The manifest of {version} does not hash to its digest; it cannot be released.", code="manifest-damaged"
        )


def _compare(alias: Alias | None, release: Release, model: RegisteredModel, stage: Stage) -> None:
    holder = alias.version.number if alias else None
    if holder == release.previous:
        return
    now = f"version {holder}" if holder is not None else "no version"
    then = f"version {release.previous}" if release.previous is not None else "no version"
    raise Conflict(
        f"{stage} of {model.name} moved meanwhile: {then} was live when this was decided, {now} is live now. "
        "Look at the comparison again, then promote.",
        code="stage-moved",
    )


def _point(
    alias: Alias | None,
    model: RegisteredModel,
    stage: Stage,
    version: ModelVersion,
    promotion: Promotion,
    person: User | None,
) -> None:
    values = {"version": version, "promotion": promotion, "updated_at": promotion.at, "updated_by": person}
    if alias is None:
        Alias.objects.create(model=model, name=stage.alias, stage=stage, **values)
    else:
        Alias.objects.filter(pk=alias.pk).update(**values)


def _demote(previous: ModelVersion, model: RegisteredModel, promotion: Promotion, by: Principal) -> None:
    """The version that lost the stage is live no more, unless it holds another stage."""
    if previous.state != ModelVersion.State.LIVE or previous.aliases.filter(stage__isnull=False).exists():
        return
    previous.model = model
    move(previous, "demote", by=by, decision=promotion)


def _account(by: Principal) -> User | None:
    """Who made it; none where a part of the installation carries out what people signed before."""
    if by.user is None and not by.part:
        raise Forbidden("A promotion is made by a person or a service account, so that the record can say who made it.")
    return by.user
