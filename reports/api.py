"""The API about a moment in the past."""

from __future__ import annotations

from datetime import datetime

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from access.requests import principal_of
from audit.events import Action
from audit.keys import KeyRefused
from audit.models import Checkpoint, IndexRow
from audit.receipts import NotProvable, issue_receipt
from audit.views.access import permit_reader
from foundation.refusals import Invalid, NotFound, Unavailable
from registry.queries import find_model
from reports.as_of_answer import ask, encode
from reports.as_of_views import find_stage

_PARAMETERS = [
    OpenApiParameter("model", str, required=True, description="the registered model's name"),
    OpenApiParameter("stage", str, description="the stage's name; `production` where it is left out"),
    OpenApiParameter(
        "at", OpenApiTypes.DATETIME, required=True, description="the moment, with its zone: 2026-03-31T16:00:00Z"
    ),
]


class AsOfView(APIView):
    """What stood at a moment."""

    @extend_schema(operation_id="as_of", parameters=_PARAMETERS, responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> HttpResponse:
        """Which version the stage had, on whose authority, who could pull it and who did: from the ledger alone, with receipts.

        Canonical JSON (RFC 8785): the same question has the same bytes whenever it is asked. Needs `audit.see`, and that the caller may
        see the model. The question is put on record.
        """
        by, given = principal_of(request), request.query_params
        at = _moment(given.get("at", ""))
        stage = find_stage(given.get("stage", "production"))
        found = ask(find_model(given.get("model", ""), by), stage, at, by=by)
        return HttpResponse(
            encode(found), content_type="application/json", headers={"Cache-Control": "private, no-store"}
        )


class ReceiptView(APIView):
    """The receipt of one entry, by its writer's number, as every answer about a decision or a pull gives it."""

    @extend_schema(operation_id="ledger_receipt", responses={(200, "text/plain"): OpenApiTypes.STR})
    def get(self, request: Request, writer: str, n: int) -> HttpResponse:
        """The entry's exact bytes, its inclusion proof and the first checkpoint that covers it (C2SP tlog-proof).

        For whoever did what the entry records, and for auditors. 404 while it is recorded and not signed yet: ask again.
        """
        by = principal_of(request)
        row = IndexRow.objects.filter(writer=writer, n=n).first()
        if row is None:
            raise NotFound(
                "No entry of this name is signed yet. What was just done is on record and is signed within seconds: ask again.",
                code="not-signed-yet",
            )
        if (row.actor_kind, row.actor_id) != (by.actor.kind, by.actor.id):
            permit_reader(by, Action.LEDGER_VIEW)
        response = HttpResponse(_receipt(row.seq), content_type="text/plain; charset=utf-8")
        response["Content-Disposition"] = f'attachment; filename="entry-{row.seq}.tlog-proof"'
        return response


def _receipt(seq: int) -> bytes:
    covering = Checkpoint.objects.filter(size__gt=seq).order_by("size").first()
    try:
        return issue_receipt(seq, covering.note if covering else None).encode()
    except (NotProvable, KeyRefused) as error:
        raise Unavailable(str(error), code="ledger-cannot-be-verified") from error


def _moment(text: str) -> datetime:
    sentence = "Give the moment with its zone, for example 2026-03-31T16:00:00Z."
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise Invalid(sentence, errors={"at": sentence}) from error
    if at.tzinfo is None or not 1970 < at.year < 9999:
        raise Invalid(sentence, errors={"at": sentence})
    return at
