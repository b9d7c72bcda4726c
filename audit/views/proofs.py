"""What lets others check the ledger: verification now, receipts, the offline bundle, the newest checkpoint."""

from __future__ import annotations

from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_POST

from audit import queries
from audit.bundle import NotExportable, export_bundle
from audit.checks import verify_what_is_new
from audit.events import Action
from audit.journal import JournalDamaged
from audit.keys import KeyRefused
from audit.receipts import NotProvable, issue_receipt
from audit.views.access import LedgerRequest, Reader, permit
from audit.views.log import log_context
from foundation.refusals import NotFound, Unavailable


@require_POST
def verify(request: LedgerRequest) -> HttpResponse:
    """Check what is new in the ledger now and show the result."""
    permit(request, Action.LEDGER_VERIFY)
    try:
        result = verify_what_is_new(by=request.principal)
    except (KeyRefused, JournalDamaged) as error:
        raise Unavailable(str(error), code="ledger-cannot-be-verified") from error
    if getattr(request, "htmx", False):
        return render(request, "audit/log.html#verification", {"verification": result})
    return render(request, "audit/log.html", log_context(request) | {"verification": result})


@require_GET
def bundle(request: LedgerRequest) -> HttpResponseBase:
    """The whole ledger as one tar for checking it without us, personal data left out; that it was taken is recorded first."""
    permit(request, Action.LEDGER_EXPORT)
    return sent_bundle(by=request.principal)


def sent_bundle(*, by: Reader, since: int = 0) -> StreamingHttpResponse:
    """Record that the bundle is taken, then send it while it is read; raises `Unavailable` where there is none to be had."""
    try:
        found = export_bundle(by=by, since=since)
    except (NotExportable, KeyRefused) as error:
        raise Unavailable(str(error), code="ledger-cannot-be-exported") from error
    response = StreamingHttpResponse(found.chunks, content_type="application/x-tar")
    response["Content-Disposition"] = f'attachment; filename="{found.name}"'
    return response


@require_GET
def receipt(request: LedgerRequest, seq: int) -> HttpResponse:
    """The receipt of an entry: its exact bytes, the proof that it is in the ledger, and the newest checkpoint."""
    permit(request, Action.LEDGER_VIEW)
    try:
        found = issue_receipt(seq)
    except NotProvable as error:
        raise NotFound(str(error)) from error
    except KeyRefused as error:
        raise Unavailable(str(error), code="ledger-cannot-be-verified") from error
    response = HttpResponse(found.encode(), content_type="text/plain; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="entry-{seq}.tlog-proof"'
    return response


@require_GET
def checkpoint(request: LedgerRequest) -> HttpResponse:
    """The newest signed checkpoint as it is, for keeping elsewhere."""
    permit(request, Action.LEDGER_VIEW)
    head = queries.latest_checkpoint()
    if head is None:
        raise NotFound("The ledger has no checkpoint yet. An administrator initialises it with `manage.py audit init`.")
    response = HttpResponse(head.note, content_type="text/plain; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="checkpoint-{head.size}.txt"'
    return response
