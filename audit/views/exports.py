"""The filtered entries to take away, in four formats; that they were taken is recorded first."""

from __future__ import annotations

from django.http import HttpResponseBase, StreamingHttpResponse
from django.views.decorators.http import require_GET

from audit import formats, queries
from audit.actions import append_alone
from audit.events import Action
from audit.formats import Format
from audit.forms import FilterForm
from audit.integrity import LEDGER
from audit.payload import Fields
from audit.views.access import LedgerRequest, Reader, permit
from foundation.refusals import NotFound


@require_GET
def export(request: LedgerRequest, suffix: str) -> HttpResponseBase:
    """The entries of the log's page as a download, without personal data."""
    permit(request, Action.LEDGER_EXPORT)
    found = formats.by_suffix(suffix)
    if found is None:
        raise NotFound(f"The log is exported as {', '.join(one.suffix for one in formats.FORMATS)}.")
    return exported(FilterForm(request.GET), found, by=request.principal)


def exported(form: FilterForm, wanted: Format, *, by: Reader) -> StreamingHttpResponse:
    """Record the export, then send the entries while they are read: a thousand at a time are held in memory."""
    if not form.is_valid():
        form.refuse()
    found = queries.entries(form.wanted(), pending=wanted.shows_pending)
    after: Fields = {"entries": len(found), "filter": {**form.recorded()}, "format": wanted.name}
    append_alone(Action.LEDGER_EXPORT, by=by, obj=LEDGER, after=after)
    response = StreamingHttpResponse(wanted.lines(found), content_type=wanted.content_type)
    response["Content-Disposition"] = f'attachment; filename="ledger.{wanted.suffix}"'
    return response
