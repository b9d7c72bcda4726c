"""The API of the ledger, for who holds `audit.see`: entries by filter and position, one entry with its proof, the newest checkpoint."""

from __future__ import annotations

from typing import Any, Final

import orjson
from django.http import HttpResponse, HttpResponseBase, QueryDict
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from audit import formats, queries
from audit.actions import append_alone
from audit.events import Action, Obj, Outcome
from audit.formats import CLOUD_EVENTS, CSV, JSON_LINES, OCSF
from audit.forms import FilterForm
from audit.integrity import LEDGER
from audit.payload import Fields
from audit.queries import Page
from audit.views.access import Reader, permit_reader
from audit.views.entry import proven, stored_payload
from audit.views.proofs import sent_bundle
from foundation.refusals import Invalid, NotFound

PAGE: Final = 100
LARGEST_PAGE: Final = 1_000


class _Text(BaseRenderer):
    """A form in which entries are answered; what is refused is answered as problem JSON whatever was asked for."""

    charset = None

    def render(self, data: Any, accepted_media_type: Any = None, renderer_context: Any = None) -> bytes:
        """The refusal."""
        return orjson.dumps(data)


class Json(_Text):
    """A page with its positions."""

    media_type, format = "application/json", "json"


class JsonLines(_Text):
    """One entry a line: its number and its exact bytes."""

    media_type, format = "application/x-ndjson", JSON_LINES.name


class Csv(_Text):
    """A table."""

    media_type, format = "text/csv", CSV.name


class CloudEvents(_Text):
    """CloudEvents 1.0, one a line."""

    media_type, format = "application/cloudevents+json", CLOUD_EVENTS.name


class Ocsf(_Text):
    """OCSF 1.1, one event a line."""

    media_type, format = "application/vnd.ocsf+json", OCSF.name


class Tar(_Text):
    """An offline bundle."""

    media_type, format = "application/x-tar", "tar"


class LoggedEntryOut(serializers.Serializer[Any]):
    """An entry as it was hashed, and its number in the ledger."""

    seq = serializers.IntegerField(min_value=0)
    entry = serializers.DictField(child=serializers.JSONField())


class LedgerPageOut(serializers.Serializer[Any]):
    """A page of entries, newest first; `older` and `newer` are what to give as `before` and `after` to go on, null at the end."""

    entries = LoggedEntryOut(many=True)
    older = serializers.IntegerField(allow_null=True)
    newer = serializers.IntegerField(allow_null=True)


class ProvenEntryOut(LoggedEntryOut):
    """An entry with its inclusion proof (RFC 6962), checked before it was handed out; hashes in hex, from the leaf upwards."""

    leaf = serializers.CharField()
    proof = serializers.ListField(child=serializers.CharField())
    size = serializers.IntegerField()
    root = serializers.CharField()  # type: ignore[assignment]  # a field of that name; DRF keeps fields apart from attributes
    checkpoint = serializers.CharField(help_text="the signed note over `size` entries")


class CheckpointOut(serializers.Serializer[Any]):
    """The newest signed checkpoint."""

    size = serializers.IntegerField()
    root = serializers.CharField()  # type: ignore[assignment]  # as above
    signed_at = serializers.DateTimeField()
    note = serializers.CharField()


_PARAMETERS: Final = [
    OpenApiParameter("action", str, description="a whole action, or a group that ends in a dot: `version.`"),
    OpenApiParameter("actor", str, description="user name or identifier"),
    OpenApiParameter("kind", str, description="kind of thing; together with `obj`"),
    OpenApiParameter("obj", str, description="the thing's name or identifier"),
    OpenApiParameter("outcome", str, enum=[one.value for one in Outcome]),
    OpenApiParameter("since", str, description="a day or a minute in UTC, included"),
    OpenApiParameter("until", str, description="a day or a minute in UTC, included"),
    OpenApiParameter("request", str, description="id of the request"),
    OpenApiParameter("before", int, description="only entries with a lower number: the `older` of the page before"),
    OpenApiParameter(
        "after", int, description="only entries with a higher number, the lowest of them: for following the ledger"
    ),
    OpenApiParameter("limit", int, description=f"how many, {PAGE} where it is left out, at most {LARGEST_PAGE}"),
    OpenApiParameter(
        "format", str, enum=["json", *(one.name for one in formats.FORMATS)], description="instead of Accept"
    ),
]


class EntriesView(APIView):
    """Entries of the ledger."""

    renderer_classes = (Json, JsonLines, Csv, CloudEvents, Ocsf)

    @extend_schema(
        operation_id="ledger_entries",
        parameters=_PARAMETERS,
        responses={
            (200, "application/json"): LedgerPageOut,
            (200, "application/x-ndjson"): OpenApiTypes.STR,
            (200, "text/csv"): OpenApiTypes.STR,
        },
    )
    def get(self, request: Request) -> HttpResponseBase:
        """Logged entries that match, newest first, in pages that go on from a position; without personal data.

        The answer carries `Link: rel="next"` in every format. That entries were taken is put on record.
        """
        by = _reader(request)
        permit_reader(by, Action.LEDGER_EXPORT)
        form = FilterForm(_query(request))
        if not form.is_valid():
            form.refuse()
        given, size = form.cleaned_data, _limit(request)
        page = queries.logged(form.wanted(), size=size, before=given["before"], after=given["after"])
        name = str(request.accepted_renderer.format)
        if page.entries:
            after: Fields = {"entries": len(page.entries), "filter": {**form.recorded()}, "format": name}
            append_alone(Action.LEDGER_EXPORT, by=by, obj=LEDGER, after=after)
        response = _answer(page, name)
        if page.older is not None:
            query = form.query(
                before=page.older, limit=request.query_params.get("limit"), format=request.query_params.get("format")
            )
            response["Link"] = f'<{request.build_absolute_uri(request.path)}?{query}>; rel="next"'
        return response


class EntryView(APIView):
    """One entry."""

    @extend_schema(operation_id="ledger_entry", responses=ProvenEntryOut)
    def get(self, request: Request, seq: int) -> HttpResponse:
        """The entry's exact bytes with the proof that it is in the ledger, checked now under the newest checkpoint."""
        permit_reader(_reader(request), Action.LEDGER_VIEW, Obj("entry", str(seq)))
        payload = stored_payload(seq)
        found = proven(seq, payload)
        if found.problem:
            raise NotFound(found.problem, code="entry-not-provable")
        facts = {
            "seq": seq,
            "leaf": found.leaf,
            "proof": [step.sibling for step in found.steps],
            "size": found.size,
            "root": found.root,
            "checkpoint": found.checkpoint,
        }
        return _json(orjson.dumps(facts)[:-1] + b',"entry":' + payload + b"}")


class CheckpointView(APIView):
    """The newest checkpoint."""

    @extend_schema(operation_id="ledger_checkpoint", responses=CheckpointOut)
    def get(self, request: Request) -> HttpResponse:
        """The newest signed checkpoint: keep it elsewhere, and compare."""
        permit_reader(_reader(request), Action.LEDGER_VIEW)
        head = queries.latest_checkpoint()
        if head is None:
            raise NotFound("The ledger has no checkpoint yet.")
        return _json(
            orjson.dumps({"size": head.size, "root": head.root, "signed_at": head.signed_at, "note": head.note})
        )


class BundleView(APIView):
    """The offline bundle."""

    renderer_classes = (Json, Tar)

    @extend_schema(
        operation_id="ledger_bundle",
        parameters=[
            OpenApiParameter("since", int, description="leave out what lies before a size that a checkpoint signs"),
        ],
        responses={(200, "application/x-tar"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request) -> HttpResponseBase:
        """The whole ledger as one tar for checking it without us (`verify.py bundle`), personal data left out.

        That it was taken is put on record before the first byte. It ends early where the database does not hold what was signed.
        """
        by = _reader(request)
        permit_reader(by, Action.LEDGER_EXPORT)
        since = request.query_params.get("since", "0")
        if not (since.isdecimal() and since.isascii() and len(since) < 19):
            raise Invalid("since is a whole number of entries.", errors={"since": "a whole number"})
        return sent_bundle(by=by, since=int(since))


def _reader(request: Request) -> Reader:
    reader: Reader = request._request.principal  # type: ignore[attr-defined]  # set by PrincipalAuthentication
    return reader


def _query(request: Request) -> QueryDict:
    query: QueryDict = request.query_params
    return query


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", str(PAGE))
    if not (text.isdecimal() and text.isascii() and 1 <= int(text[:9]) <= LARGEST_PAGE):
        raise Invalid(f"limit is a whole number from 1 to {LARGEST_PAGE}.", errors={"limit": f"1 to {LARGEST_PAGE}"})
    return int(text)


def _answer(page: Page, name: str) -> HttpResponse:
    form = formats.by_name(name)
    if form is None:
        entries = b",".join(formats.json_line(one) for one in page.entries)
        ends = orjson.dumps({"older": page.older, "newer": page.newer})
        return _json(b'{"entries":[' + entries + b"]," + ends[1:])
    lines = [line if isinstance(line, bytes) else line.encode() for line in form.lines(page.entries)]
    return HttpResponse(b"".join(lines), content_type=form.content_type, headers={"Cache-Control": "private, no-store"})


def _json(body: bytes) -> HttpResponse:
    return HttpResponse(body, content_type="application/json", headers={"Cache-Control": "private, no-store"})
