"""The list of models as people see it: what is live in production, what comes next, in a fixed number of statements."""

from __future__ import annotations

from typing import Any

from django.db.models import OuterRef, Q, QuerySet, Subquery

from access.principal import Principal
from registry.models import Alias, ModelVersion, RegisteredModel
from registry.queries import models_visible_to

State = ModelVersion.State


def models_for(
    by: Principal, *, text: str = "", tier: int | None = None, standing: str = "", mine: bool = False
) -> QuerySet[RegisteredModel]:
    """Models that `by` may see, each with `live_number`, and `next_number` and `next_state` of the newest version after it."""
    models: QuerySet[Any] = with_standing(models_visible_to(by))
    models = models.exclude(archived_at=None) if standing == "archived" else models.filter(archived_at=None)
    if text:
        models = models.filter(
            Q(name__icontains=text) | Q(description__icontains=text) | Q(intended_use__icontains=text)
        )
    if tier:
        models = models.filter(tier=tier)
    if mine:
        models = models.filter(owner=by.user)
    if standing == "production":
        models = models.filter(live_number__isnull=False)
    elif standing == "idle":
        models = models.filter(live_number=None)
    elif standing == "review":
        models = models.filter(versions__state=State.IN_REVIEW).distinct()
    return models.order_by("name")


def with_standing(models: QuerySet[RegisteredModel]) -> QuerySet[RegisteredModel]:
    """The models with what is live and what comes next, as annotations."""
    live = Alias.objects.filter(model=OuterRef("pk"), stage__name="production")
    coming = ModelVersion.objects.filter(
        model=OuterRef("pk"), state__in=[State.QUARANTINED, State.REGISTERED, State.IN_REVIEW, State.APPROVED]
    ).order_by("-number")
    annotations: dict[str, Any] = {
        "live_number": Subquery(live.values("version__number")[:1]),
        "live_digest": Subquery(live.values("version__digest")[:1]),
        "next_number": Subquery(coming.values("number")[:1]),
        "next_state": Subquery(coming.values("state")[:1]),
    }
    return models.annotate(**annotations)
