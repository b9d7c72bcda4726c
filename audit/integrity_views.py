"""The page on which somebody answers for a ledger that does not verify."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from audit import integrity
from audit.events import Action
from audit.views import LedgerRequest, permit
from foundation.refusals import Conflict, Invalid


@require_http_methods(["GET", "POST"])
def state(request: LedgerRequest) -> HttpResponse:
    """What the last verification found; with a reason, whoever may lets promotion go on."""
    permit(request, Action.LEDGER_VIEW)
    errors, status = dict[str, str](), 200
    if request.method == "POST":
        try:
            integrity.acknowledge(
                request.POST.getlist("kind"), reason=request.POST.get("reason", ""), by=request.principal
            )
        except Invalid as invalid:
            errors, status = invalid.errors, invalid.status
        except Conflict as conflict:
            errors, status = {"": conflict.detail}, conflict.status
        else:
            messages.success(request, "Acknowledged. Promotion goes on; the ledger is verified again every minute.")
            return redirect("audit:integrity")
    found = integrity.found()
    context = {
        "found": found,
        "kinds": sorted({problem.code for problem in found.problems}),
        "may_acknowledge": request.principal.allows(integrity.ACKNOWLEDGE),
        "reason": request.POST.get("reason", ""),
        "errors": errors,
    }
    return render(request, "audit/integrity.html", context, status=status)
