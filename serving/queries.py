"""Decides what a caller gets for a name: the version behind an alias or number, and only while an approval of it is in force."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.db.models import QuerySet
from django.urls import NoReverseMatch, reverse
from django.utils import timezone

from access.permissions import Permission, absent_or_kept_out, permit, permit_at, visible_to
from access.principal import Principal
from countersign.proof.dsse import envelope_digest
from foundation.refusals import Conflict, NotFound, Refusal
from registry.models import Alias, ModelVersion, Promotion, RegisteredModel, Stage
from registry.queries import find_model
from reviews.models import Approval
from reviews.promotion import requirements
from reviews.queries import approval_in_force
from serving.models import Deployment

HEARTBEAT_EVERY: Final = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Resolved:
    """A version that may be used now, with the stage for which it is approved and the signed release that says so.

    `alias`: behind which it was found, empty where it was asked for by its number.
    """

    version: ModelVersion
    stage: Stage
    approval: Approval
    release: dict[str, Any]
    alias: str = ""

    @property
    def release_digest(self) -> str:
        """The digest of the release's envelope."""
        promotion = self.approval.promotion
        return promotion.release_digest if promotion else envelope_digest(self.release)


def find_pullable(name: str, by: Principal) -> RegisteredModel:
    """The model of this name for somebody who wants to pull from it; unknown and invisible look the same (`NotFound`)."""
    model = visible_to(RegisteredModel.objects.all(), by, Permission.PULL_VERSION).filter(name=name).first()
    if model is None:
        try:
            model = find_model(name, by)
        except NotFound as absent:
            # Who may pull and not see is told of the access policy that keeps them from pulling, too.
            there = RegisteredModel.objects.filter(name=name).first()
            raise absent_or_kept_out(there, by, Permission.PULL_VERSION, absent) from None
        permit(by, Permission.PULL_VERSION, model)
    return model


def resolve(
    model_name: str, *, alias: str = "", version: int | None = None, stage_name: str = "", by: Principal
) -> Resolved:
    """The approved version behind `alias` (or a stage's name) or number `version`; `stage_name` asks for an approval for that stage.

    Raises `NotFound` for an unknown model, alias or number, `Forbidden` without the permission to pull or where an access policy keeps
    them from pulling what is live at that stage, and `Conflict` with every
    unmet requirement where no approval is in force.
    """
    model = find_pullable(model_name, by)
    if alias:
        row = find_alias(model, alias)
        found = replace(approved(row.version, row.stage), alias=row.name)
    else:
        found = _approved_number(model, version, stage_name)
    permit_at(by, Permission.PULL_VERSION, model, found.stage.name)
    return found


def attested(model_name: str, *, version: int, stage_name: str = "", by: Principal) -> Resolved:
    """The approved version whose proof is asked for. Whoever may see the model may check it, auditors first; bytes take more (`resolve`).

    Raises `NotFound` and `Conflict` as `resolve` does.
    """
    return _approved_number(find_model(model_name, by), version, stage_name)


def _approved_number(model: RegisteredModel, version: int | None, stage_name: str) -> Resolved:
    found = model.versions.select_related("model", "created_by", "trained_by").filter(number=version or 0).first()
    if found is None:
        raise NotFound(f"{model.name} has no version {version}.", code="version-unknown")
    return approved(found, _stage(stage_name) if stage_name else None)


def approved(version: ModelVersion, stage: Stage | None = None) -> Resolved:
    """The approval of `version` that is in force for `stage` (none: for any, the last stage first); else raises `not_approved`."""
    now = timezone.now()
    stages = [stage] if stage else list(Stage.objects.order_by("-order"))
    for candidate in stages:
        approval = approval_in_force(version, candidate, now)
        if approval is not None and approval.promotion is not None:
            return Resolved(version, candidate, approval, approval.promotion.release)
    raise not_approved(version, stages[0])


def not_approved(version: ModelVersion, stage: Stage) -> Refusal:
    """Why `version` cannot be used for `stage`: in a sentence, and as the requirements that are not met."""
    state = ModelVersion.State(version.state)
    link = _review_link(version)
    said = {
        ModelVersion.State.QUARANTINED: "has not been admitted yet",
        ModelVersion.State.REJECTED: f"was refused at admission ({version.status_message})",
        ModelVersion.State.REVOKED: "was revoked",
        ModelVersion.State.EXPIRED: "was approved, but the approval has expired",
        ModelVersion.State.RETIRED: "is retired",
    }.get(state, f"has no approval in force for {stage.title}")
    closed = {ModelVersion.State.QUARANTINED, ModelVersion.State.REJECTED, ModelVersion.State.RETIRED}
    unmet = () if state in closed else requirements(version, stage)
    where = f" Its review: {link}" if link else ""
    return Conflict(
        f"{version.model.name} version {version.number} {said}, so it cannot be pulled or served.{where}",
        code="revoked" if state == ModelVersion.State.REVOKED else "not-approved",
        title="Not approved",
        requirements=tuple(unmet),
        link=link,
    )


def assigned(deployment: Deployment) -> tuple[Resolved | None, str]:
    """What a deployment should serve now, or None and why; whoever holds its stage's alias, while the approval is in force."""
    alias = (
        Alias.objects.filter(model=deployment.model, stage=deployment.stage)
        .select_related("version__model", "stage")
        .first()
    )
    if alias is None:
        return None, _nothing_live(deployment)
    try:
        return approved(alias.version, alias.stage), ""
    except Refusal as refusal:
        return None, refusal.detail


def check_deployable(model: RegisteredModel, stage: Stage) -> None:
    """Raises `Conflict` while the version live at `stage` may only be pulled and served where it is already: its approval has run out."""
    alias = Alias.objects.filter(model=model, stage=stage).select_related("version__model", "stage").first()
    approval = approval_in_force(alias.version, stage, now := timezone.now()) if alias else None
    if alias is not None and approval is not None and approval.valid_until <= now:
        raise Conflict(
            f"The approval of {alias.version} for {stage} ran out on {approval.valid_until:%d %B %Y}: what serves it goes on until "
            f"{approval.pulls_until:%d %B %Y}, and nothing new is deployed. Renew it by a review first.",
            code="approval-ran-out",
        )


def find_deployment(name: str, by: Principal) -> Deployment:
    """The deployment of this name, for those who may see its model or manage deployments; else `NotFound`."""
    deployment = deployments_visible_to(by).filter(name=name).first()
    if deployment is None:
        raise NotFound(f"There is no deployment named “{name}” that you may see.", code="deployment-unknown")
    return deployment


def deployments_visible_to(by: Principal) -> QuerySet[Deployment]:
    """Deployments of models that `by` may see; all of them for those who manage deployments."""
    rows = Deployment.objects.described()
    if by.allows(Permission.MANAGE_DEPLOYMENTS):
        return rows
    return visible_to(rows, by, Permission.SEE_MODEL, through="model")


def alias_named(name: str) -> str:
    """The alias that a name stands for: a stage's name means the stage's alias, whoever asks and wherever; any other name itself."""
    return Stage.objects.filter(name=name).values_list("alias", flat=True).first() or name


def find_alias(model: RegisteredModel, name: str) -> Alias:
    """The alias that a name stands for; raises `NotFound` with what there is instead, or why a stage's alias points at nothing yet."""
    name = alias_named(name)
    row = Alias.objects.filter(model=model, name=name).select_related("version__model", "stage").first()
    if row is not None:
        return row
    stage = Stage.objects.filter(alias=name).first()
    if stage is not None:
        raise NotFound(
            f"No version of {model.name} is in {stage.title}, so “{name}” points at nothing yet. "
            "A version gets there when it has been reviewed, signed and promoted.",
            code="alias-unknown",
        )
    names = ", ".join(model.aliases.values_list("name", flat=True)) or "none yet"
    raise NotFound(f"{model.name} has no alias “{name}”. Its aliases: {names}.", code="alias-unknown")


def _stage(name: str) -> Stage:
    stage = Stage.objects.filter(name=name).first()
    if stage is None:
        names = ", ".join(Stage.objects.values_list("name", flat=True))
        raise NotFound(f"There is no stage “{name}”. The stages: {names}.", code="stage-unknown")
    return stage


def _nothing_live(deployment: Deployment) -> str:
    last = (
        Promotion.objects.filter(model=deployment.model, stage=deployment.stage)
        .select_related("version")
        .order_by("-at")
        .first()
    )
    if last and last.version.state == ModelVersion.State.REVOKED:
        return f"The approval of {deployment.model.name} version {last.version.number} was revoked, and no other version is live."
    return f"No version of {deployment.model.name} is live in {deployment.stage.title} yet."


def _review_link(version: ModelVersion) -> str:
    """The address of the version's page with the portal's origin, since refusals are read far from the portal."""
    try:
        return str(settings.PORTAL_URL) + reverse("reviews:version", args=[version.model.name, version.number])
    except NoReverseMatch:
        return ""
