"""The inbox."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET

from access.permissions import Permission
from access.requests import reader_of
from foundation.numbers import whole_number
from foundation.refusals import Unauthenticated
from registry.models import RegisteredModel
from reviews.ahead import emergencies_seen_by
from reviews.inbox import VIEWS, Narrowing, inbox, preview


@require_GET
def show(request: HttpRequest) -> HttpResponse:
    """What waits for whom; `?view=`, the filters, `?page=` and `?review=` choose the list and the preview.

    An htmx request with `?preview=` is answered with the preview of that review alone.
    """
    by = reader_of(request)
    if by.is_anonymous:
        raise Unauthenticated("Sign in to see what waits for you.")
    if getattr(request, "htmx", False) and request.GET.get("preview"):
        item = preview(by, request.GET["preview"])
        return render(request, "reviews/inbox.html#preview", {"item": item, "now": timezone.now()})
    narrowing = Narrowing(
        stage=request.GET.get("stage", "").strip(),
        tier=whole_number(request.GET.get("tier", "")),
        text=request.GET.get("q", "").strip()[:128],
        mine=request.GET.get("mine") == "1",
    )
    found = inbox(
        by,
        view=request.GET.get("view", ""),
        narrowing=narrowing,
        page=whole_number(request.GET.get("page", "")) or 1,
        selected=request.GET.get("review", ""),
    )
    request.inbox_count = found.counts["needs-you"]  # type: ignore[attr-defined]  # for config.context, which would ask again
    context = {
        "inbox": found,
        "views": [
            (key, title, icon, found.counts[key]) for key, title, icon in VIEWS if _shown(key, found.counts[key])
        ],
        "notes": emergencies_seen_by(by),
        "greeting": _greeting(),
        "now": timezone.now(),
        "waiting_count": found.counts["needs-you"],
        "promote_count": found.counts["promote"],
        "tiers": RegisteredModel.Tier.choices,
        "monitoring_url": reverse("monitoring:list") if by.allows(Permission.SEE_MONITORING) else "",
    }
    return render(request, "reviews/inbox.html", context)


def _shown(key: str, count: int) -> bool:
    return key != "promote" or bool(count)


def _greeting() -> str:
    hour = timezone.now().hour
    return "Good morning" if hour < 12 else "Good afternoon" if hour < 18 else "Good evening"
