"""The API about a moment in the past."""

from __future__ import annotations

from datetime import datetime

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from access.requests import principal_of
from foundation.refusals import Invalid
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


def _moment(text: str) -> datetime:
    sentence = "Give the moment with its zone, for example 2026-03-31T16:00:00Z."
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise Invalid(sentence, errors={"at": sentence}) from error
    if at.tzinfo is None or not 1970 < at.year < 9999:
        raise Invalid(sentence, errors={"at": sentence})
    return at
