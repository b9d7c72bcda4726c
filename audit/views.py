"""The ledger's pages: read it, check it, take it away. For auditors; who else asks is refused, and that is recorded."""

from __future__ import annotations

from typing import Any, Final, Protocol

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_POST

from audit import queries
from audit.actions import append_alone
from audit.bundle import NotExportable, export_bundle
from audit.checks import verify_what_is_new
from audit.events import Action, Actor, Outcome
from audit.forms import FilterForm
from audit.integrity import LEDGER
from audit.journal import JournalDamaged
from audit.keys import KeyRefused
from audit.queries import Found, LoggedEntry
from audit.receipts import NotProvable, issue_receipt
from foundation.refusals import Forbidden, NotFound, Unauthenticated, Unavailable
from foundation.spreadsheets import Cell, csv_stream

SEE_AUDIT: Final = "audit.see"
PER_PAGE: Final = 50
COLUMNS: Final = (
    "number",
    "time",
    "action",
    "outcome",
    "why",
    "actor kind",
    "actor",
    "via",
    "object kind",
    "object",
    "name",
    "version",
    "request",
)


class _Principal(Protocol):
    """What the middleware of the room above puts on the request."""

    @property
    def actor(self) -> Actor: ...
    @property
    def is_anonymous(self) -> bool: ...
    def allows(self, permission: str) -> bool: ...


class LedgerRequest(HttpRequest):
    """A request with whoever asks, as the middleware of the room above puts it there."""

    principal: _Principal


@require_GET
def log(request: LedgerRequest) -> HttpResponse:
    """The entries, newest first, with the newest checkpoint and how old it is."""
    permit(request, Action.LEDGER_VIEW)
    return render(request, "audit/log.html", _page(request))


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
    return render(request, "audit/log.html", _page(request) | {"verification": result})


@require_GET
def export(request: LedgerRequest) -> HttpResponseBase:
    """The filtered entries as CSV, without private data; that they were taken is recorded first."""
    permit(request, Action.LEDGER_EXPORT)
    form, found = _find(request)
    wanted = {name: str(value) for name, value in form.data.items() if name in form.fields and value}
    append_alone(
        Action.LEDGER_EXPORT, by=request.principal, obj=LEDGER, after={"entries": len(found), "filter": dict(wanted)}
    )
    return csv_stream("ledger.csv", COLUMNS, (_cells(one) for one in found))


@require_GET
def bundle(request: LedgerRequest) -> HttpResponseBase:
    """The whole ledger as one tar for checking it without us, personal data left out; that it was taken is recorded first."""
    permit(request, Action.LEDGER_EXPORT)
    try:
        found = export_bundle(by=request.principal)
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


def permit(request: LedgerRequest, action: Action) -> None:
    """Let auditors in; record everybody else's attempt and refuse it."""
    by = request.principal
    if by.is_anonymous:
        raise Unauthenticated("Sign in to read the audit log.")
    if not by.allows(SEE_AUDIT):
        append_alone(action, by=by, obj=LEDGER, outcome=Outcome.DENIED, why="forbidden")
        raise Forbidden(
            "Reading the audit log needs the permission audit.see, which the role Auditor has. An administrator assigns it."
        )


def _find(request: HttpRequest) -> tuple[FilterForm, Found]:
    form = FilterForm(request.GET)
    form.is_valid()
    return form, queries.entries(form.wanted())


def _page(request: HttpRequest) -> dict[str, Any]:
    form, found = _find(request)
    page = Paginator(found, PER_PAGE).get_page(request.GET.get("page"))
    return {
        "form": form,
        "filtered": any(request.GET.get(name) for name in form.fields),
        "page": page,
        "unreadable": page.end_index() - page.start_index() + 1 - len(page.object_list) if found else 0,
        "head": queries.latest_checkpoint(),
        "query": request.GET.urlencode(),
    }


def _cells(one: LoggedEntry) -> list[Cell]:
    entry = one.entry
    return [
        "pending" if one.seq is None else one.seq,
        one.at,
        entry.action,
        entry.outcome,
        entry.why,
        entry.actor_kind,
        entry.actor_id,
        entry.via,
        entry.obj_kind,
        entry.obj_id,
        entry.obj_name,
        entry.obj_version,
        entry.request_id,
    ]
