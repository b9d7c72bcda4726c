"""Every write about deployments: setting them up, the kill switch, and what workers report."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from access.models import User
from access.permissions import Permission, permit
from access.principal import Principal
from audit.actions import append
from audit.events import Action
from audit.governed import governed
from foundation.refusals import Conflict, Forbidden, Invalid
from registry.models import RegisteredModel, Stage
from serving.models import Deployment
from serving.queries import HEARTBEAT_EVERY, check_deployable

MAX_DETAIL_CHARACTERS = 2_000


@governed(Action.DEPLOYMENT_CREATE)
def create_deployment(
    name: str,
    *,
    model: RegisteredModel,
    stage: Stage,
    address: str = "",
    worker: User | None = None,
    by: Principal,
) -> Deployment:
    """Set up a scoring endpoint for one stage of one model. It serves once a worker runs for it and a version is live.

    `worker`: the service account whose worker may report for it; none: any that may pull the model. `address`: where callers find it.
    """
    permit(by, Permission.MANAGE_DEPLOYMENTS)
    if by.user is None:
        raise Forbidden("Somebody has to be signed in to create a deployment, so that the record can say who did.")
    if worker is not None and worker.is_person:
        raise Invalid("A worker is a service account, not a person.", errors={"worker": "Choose a service account."})
    if name.strip() == "new":
        raise Invalid("“new” is the address of a page; choose another name.", errors={"name": "Choose another name."})
    check_deployable(model, stage)
    deployment = Deployment(
        name=name.strip(), model=model, stage=stage, address=address, worker=worker, created_by=by.user
    )
    try:
        deployment.clean_fields()
    except ValidationError as error:
        errors = {field: " ".join(messages) for field, messages in error.message_dict.items()}
        raise Invalid(" ".join(errors.values()), errors=errors) from error
    try:
        with transaction.atomic():
            deployment.save(force_insert=True)
    except IntegrityError as error:
        raise Conflict(f"There is a deployment named “{deployment.name}” already.", code="deployment-exists") from error
    append(
        Action.DEPLOYMENT_CREATE,
        by=by,
        obj=deployment.ledger_ref(),
        after={"model": model.name, "stage": stage.name, "address": address},
    )
    return deployment


@governed(Action.DEPLOYMENT_PAUSE)
def pause_deployment(deployment: Deployment, *, reason: str, by: Principal) -> Deployment:
    """The kill switch: workers stop answering within two seconds, until somebody resumes the deployment."""
    deployment = Deployment.objects.locked(deployment.pk)
    permit(by, Permission.MANAGE_DEPLOYMENTS)
    _check_reason(reason)
    if deployment.paused:
        raise Conflict(f"{deployment} is paused already.", code="paused")
    deployment.paused, deployment.paused_why = True, reason.strip()
    deployment.save(update_fields=["paused", "paused_why"])
    append(
        Action.DEPLOYMENT_PAUSE,
        by=by,
        obj=deployment.ledger_ref(),
        why=reason.strip(),
        before={"paused": False},
        after={"paused": True},
    )
    return deployment


@governed(Action.DEPLOYMENT_RESUME)
def resume_deployment(deployment: Deployment, *, reason: str, by: Principal) -> Deployment:
    """Let a paused deployment answer again, as far as its version's approval is in force."""
    deployment = Deployment.objects.locked(deployment.pk)
    permit(by, Permission.MANAGE_DEPLOYMENTS)
    _check_reason(reason)
    if not deployment.paused:
        raise Conflict(f"{deployment} is not paused.", code="not-paused")
    deployment.paused, deployment.paused_why = False, ""
    deployment.save(update_fields=["paused", "paused_why"])
    append(
        Action.DEPLOYMENT_RESUME,
        by=by,
        obj=deployment.ledger_ref(),
        why=reason.strip(),
        before={"paused": True},
        after={"paused": False},
    )
    return deployment


def report_status(
    deployment: Deployment, *, state: str, detail: str = "", version: int | None = None, by: Principal
) -> None:
    """Keep what a worker says about itself. The ledger gets an entry when serving starts, stops or changes version.

    A report that says nothing new within two seconds writes nothing: workers report twice a second.
    """
    permit_worker(deployment, by)
    if state not in Deployment.State.values:
        raise Invalid(
            f"A worker is one of {', '.join(Deployment.State.values)}, not “{state}”.",
            errors={"state": "Unknown state."},
        )
    served = deployment.version.number if deployment.version else None
    now = timezone.now()
    same = (deployment.state, deployment.detail, served) == (state, detail[:MAX_DETAIL_CHARACTERS], version)
    if same and deployment.heartbeat_at and now - deployment.heartbeat_at < HEARTBEAT_EVERY:
        return
    if same:
        Deployment.objects.filter(pk=deployment.pk).update(heartbeat_at=now)
    else:
        _record_change(deployment, state=state, detail=detail[:MAX_DETAIL_CHARACTERS], number=version, by=by)


def permit_worker(deployment: Deployment, by: Principal) -> None:
    """That `by` is this deployment's worker: its service account, with the permission to pull its model."""
    permit(by, Permission.PULL_VERSION, deployment.model)
    if by.user is None or by.user.is_person:
        raise Forbidden("Only a worker's service account reports for a deployment.")
    if deployment.worker_id is not None and deployment.worker_id != by.user.pk:
        raise Forbidden(f"{deployment} is served by another service account; an administrator can change that.")


@transaction.atomic
def _record_change(deployment: Deployment, *, state: str, detail: str, number: int | None, by: Principal) -> None:
    deployment = Deployment.objects.locked(deployment.pk)
    version = deployment.model.versions.filter(number=number).first() if number is not None else None
    was = (deployment.state, deployment.version_id)
    serving = state == Deployment.State.SERVING
    now = timezone.now()
    if serving and was != (state, version.pk if version else None):
        deployment.serving_since = now
    elif not serving:
        deployment.serving_since = None
    before = {"state": deployment.state, "version": deployment.version.number if deployment.version else None}
    deployment.state, deployment.detail, deployment.version, deployment.heartbeat_at = state, detail, version, now
    deployment.save(update_fields=["state", "detail", "version", "heartbeat_at", "serving_since"])
    if was != (state, deployment.version_id):
        action = Action.DEPLOYMENT_START if serving else Action.DEPLOYMENT_STOP
        append(
            action,
            by=by,
            obj=deployment.ledger_ref(),
            why=detail[:200],
            before=before,
            after={"state": state, "version": number},
        )


def _check_reason(reason: str) -> None:
    if len(reason.strip()) < 5:
        raise Invalid("Say why in a few words; the audit log keeps it.", errors={"reason": "Say why in a few words."})
