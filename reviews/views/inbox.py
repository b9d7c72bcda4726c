"""The inbox."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET

from access.permissions import Permission
from access.requests import principal_of
from foundation.refusals import Unauthenticated
from reviews.inbox import VIEWS, inbox


@require_GET
def show(request: HttpRequest) -> HttpResponse:
    """What waits for whom; `?view=` and `?review=` choose the list and the preview."""
    by = principal_of(request)
    if by.is_anonymous:
        raise Unauthenticated("Sign in to see what waits for you.")
    found = inbox(by, view=request.GET.get("view", ""), selected=request.GET.get("review", ""))
    hour = timezone.now().hour
    greeting = "Good morning" if hour < 12 else "Good afternoon" if hour < 18 else "Good evening"
    views = [
        (key, title, icon, found.counts[key]) for key, title, icon in VIEWS if key != "promote" or found.counts[key]
    ]
    context = {
        "inbox": found,
        "views": views,
        "greeting": greeting,
        "now": timezone.now(),
        "waiting_count": found.counts["needs-you"],
        "promote_count": found.counts["promote"],
        "monitoring_url": reverse("monitoring:list") if by.allows(Permission.SEE_MONITORING) else "",
    }
    return render(request, "reviews/inbox.html", context)
