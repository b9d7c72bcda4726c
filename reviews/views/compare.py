"""Any two versions of a model side by side: metrics, fairness, data and environment, decisions that change, cards."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from access.requests import principal_of
from foundation.numbers import whole_number
from foundation.refusals import NotFound
from registry import cards
from registry import queries as registry
from registry.models import ModelVersion, Stage
from reviews.counting import counted
from reviews.rulebook import rules_for
from reviews.sections.changes import changes
from reviews.sections.fairness import fairness, side_by_side
from reviews.sections.measured import Measured
from reviews.sections.performance import compared, performance

CHOICES = 60


@require_GET
def compare(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """`?with=<number>`: the other version; by default the one in production, else the one before.

    The review page's form says `base`, and `none` where it compares with nothing.
    """
    version = registry.find_version(name, number, principal_of(request))
    others = list(version.model.versions.exclude(pk=version.pk).order_by("-number")[:CHOICES])
    other = _other(version, others, request.GET.get("with") or request.GET.get("base", "").removeprefix("none"))
    context = {"version": version, "model": version.model, "others": others, "other": other}
    if other is not None:
        context |= _sides(version, other)
    return render(request, "reviews/compare.html", context)


def _other(version: ModelVersion, others: list[ModelVersion], asked: str) -> ModelVersion | None:
    if asked:
        found = version.model.versions.filter(number=whole_number(asked) or 0).exclude(pk=version.pk).first()
        if found is None:
            raise NotFound(f"{version.model} has no other version {asked} to compare with.", code="version-unknown")
        return found
    live = version.model.aliases.filter(stage__name="production").values_list("version_id", flat=True).first()
    in_production = next((one for one in others if one.pk == live), None)
    return (
        in_production or next((one for one in others if one.number < version.number), None) or next(iter(others), None)
    )


def _sides(version: ModelVersion, other: ModelVersion) -> dict[str, object]:
    other.model = version.model
    records = registry.records_of([version, other])
    stage = Stage.objects.order_by("-order").first()
    rules = rules_for(version.model.tier, stage) if stage else None
    new, old = (
        Measured.known(records[one.pk], counted(records[one.pk], rules) if rules else None) for one in (version, other)
    )
    before, after = (side.card.sections if side.card else {} for side in (old, new))
    return {
        "new": new,
        "old": old,
        "performance": performance(new, old),
        "fairness": fairness(new, old),
        "groups": side_by_side(new, old),
        "changes": changes(new, old),
        "card": cards.difference(before, after),
        "paired": compared(new, old),
    }
