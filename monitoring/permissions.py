"""Who sees what is watched, and who looks after it."""

from __future__ import annotations

from django.db.models import QuerySet

from access.permissions import Permission, permit, visible_to
from access.principal import Principal
from foundation.refusals import NotFound
from monitoring.models import Alert
from serving.models import Deployment


def deployments_for(by: Principal) -> QuerySet[Deployment]:
    """The deployments whose monitoring `by` may see: those of models that they may see, if they may see monitoring at all."""
    watched = visible_to(Deployment.objects.all(), by, Permission.SEE_MONITORING)
    return visible_to(watched, by, Permission.SEE_MODEL, through="model").select_related(
        "model", "stage", "version__model"
    )


def deployment_for(by: Principal, name: str) -> Deployment:
    """One of them by name; absent and forbidden look the same."""
    found = deployments_for(by).filter(name=name).first()
    if found is None:
        raise NotFound(f"There is no deployment called {name} that you may watch.")
    return found


def deployment_to_feed(by: Principal, name: str) -> Deployment:
    """One deployment for whoever reports outcomes: of a model that they may see or ask for predictions."""
    permit(by, Permission.FEED_OUTCOMES)
    named = Deployment.objects.filter(name=name).select_related("model", "stage", "version__model")
    seen = visible_to(named, by, Permission.SEE_MODEL, through="model").first()
    found = seen or visible_to(named, by, Permission.SCORE_MODEL, through="model").first()
    if found is None:
        raise NotFound(f"There is no deployment called {name} that you may report outcomes for.")
    return found


def alert_for(by: Principal, name: str, pk: int) -> Alert:
    """One alert of one deployment; absent and forbidden look the same."""
    deployment = deployment_for(by, name)
    found = (
        Alert.objects.filter(deployment=deployment, pk=pk).select_related("deployment__model", "version__model").first()
    )
    if found is None:
        raise NotFound("There is no such alert.")
    return found


def permit_care(by: Principal, deployment: Deployment) -> None:
    """Limits and alerts are for whoever manages deployments and for whoever may edit the model; raises `Forbidden` otherwise."""
    permit(by, Permission.SEE_MONITORING)
    if not by.allows(Permission.MANAGE_DEPLOYMENTS):
        permit(by, Permission.EDIT_MODEL, deployment.model)


def may_care(by: Principal, deployment: Deployment) -> bool:
    """Whether `permit_care` would let them, for showing or hiding a button."""
    return by.allows(Permission.SEE_MONITORING) and (
        by.allows(Permission.MANAGE_DEPLOYMENTS) or by.allows(Permission.EDIT_MODEL, deployment.model)
    )
