"""The log: what happened, newest first, filtered, by pages that go on from a position; and its live tail.

The tail is polled, not streamed: a portal of a few gunicorn threads would give one of them to each open tab for as long as it stays
open, and a handful of auditors would stop everybody else. A poll asks for what came after the last position it has and is answered
with nothing at all (204) while nothing came.
"""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from audit import queries, search
from audit.events import Action
from audit.forms import FilterForm
from audit.queries import Page
from audit.views.access import LedgerRequest, permit

PER_PAGE: Final = 50
COUNTED: Final = 10_000


@require_GET
def log(request: LedgerRequest) -> HttpResponse:
    """The entries, newest first, with the newest checkpoint and how old it is; with `part=live` what came since."""
    permit(request, Action.LEDGER_VIEW)
    if request.GET.get("part") == "live":
        return _tail(request)
    return render(request, "audit/log.html", log_context(request))


def log_context(request: HttpRequest) -> dict[str, Any]:
    """What the page of the log shows; nothing is listed while the filter cannot be read."""
    form = FilterForm(request.GET)
    live = request.GET.get("live") == "1"
    shown, count = Page([]), 0
    if form.is_valid():
        wanted, given = form.wanted(), form.cleaned_data
        shown = queries.page(wanted, size=PER_PAGE, before=given["before"], after=given["after"])
        count = search.count(wanted, cap=COUNTED + 1)
    return {
        "form": form,
        "page": shown,
        "count": min(count, COUNTED),
        "capped": count > COUNTED,
        "head": queries.latest_checkpoint(),
        "live": live,
        "last": max((one.seq for one in shown.entries if one.seq is not None), default=-1),
        "query": form.query(),
        "older": form.query(before=shown.older) if shown.older is not None else "",
        "newer": form.query(after=shown.newer) if shown.newer is not None else "",
        "live_query": form.query(live="" if live else "1"),
    }


def _tail(request: LedgerRequest) -> HttpResponse:
    form = FilterForm(request.GET)
    seen = request.GET.get("seen", "")
    if not form.is_valid() or not seen.lstrip("-").isdecimal() or len(seen) > 18:
        return HttpResponse(status=400)
    found = queries.since(form.wanted(), int(seen), limit=PER_PAGE)
    # That the log was read is an entry too: shown alone, two open tails would feed each other for ever. They come with what else comes.
    if all(one.entry.action == Action.LEDGER_VIEW for one in found):
        return HttpResponse(status=204)
    return render(request, "audit/_rows.html", {"entries": found, "is_new": True})
