"""What one person, service or part of the installation did: for auditors, and for each person about themselves."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from audit import activity as activities
from audit.events import Action, Obj
from audit.forms import FilterForm
from audit.views.access import SEE_AUDIT, LedgerRequest, permit
from foundation.refusals import NotFound, Unauthenticated

PER_PAGE: Final = 50


@require_GET
def activity(request: LedgerRequest, actor: str) -> HttpResponse:
    """The activity of anybody that the ledger names."""
    permit(request, Action.LEDGER_VIEW, Obj("person", actor))
    context = _context(request, actor, own=False)
    found = context["found"]
    if found.first is None and found.name == actor:
        raise NotFound("The ledger names nobody with this identifier.")
    return render(request, "audit/activity.html", context)


@require_GET
def own_activity(request: LedgerRequest) -> HttpResponse:
    """One's own activity: what one did oneself."""
    if request.principal.is_anonymous:
        raise Unauthenticated("Sign in to see what is on record of you.")
    context = _context(request, request.principal.actor.id, own=True)
    return render(request, "audit/activity.html", context | {"may_open": request.principal.allows(SEE_AUDIT)})


def _context(request: HttpRequest, actor: str, *, own: bool) -> dict[str, Any]:
    form = FilterForm({name: request.GET[name] for name in ("before", "after") if name in request.GET})
    given = form.cleaned_data if form.is_valid() else {}
    page = activities.page(actor, size=PER_PAGE, before=given.get("before"), after=given.get("after"))
    return {
        "own": own,
        "may_open": True,
        "found": activities.of(actor, own=own),
        "page": page,
        "days": activities.by_day(page.entries),
        "older": form.query(before=page.older) if page.older is not None else "",
        "newer": form.query(after=page.newer) if page.newer is not None else "",
    }
