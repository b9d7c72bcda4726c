"""The pull API, and what scoring workers ask: see `serving.queries` for what is allowed and `countersign.proof` for the proof."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from threading import BoundedSemaphore
from typing import Any, Final

import orjson
from django.conf import settings
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from access.authentication import authenticate_credentials
from access.models import User
from access.permissions import Permission, permit, permit_at
from access.principal import Principal
from countersign.proof.manifest import ManifestFile
from countersign.proof.model_sig import MEDIA_TYPE
from foundation.refusals import NotFound, Unauthenticated
from serving.actions import pause_deployment, permit_worker, report_status, resume_deployment
from serving.attestations import current_status, release_attestation
from serving.byte_ranges import choose, is_held
from serving.ledger_headers import ledger_headers
from serving.model_sig import model_sig
from serving.models import Deployment
from serving.pull_documents import pull_document, standing
from serving.pulls import (
    CHUNK_BYTES,
    Pull,
    PulledFile,
    PulledTar,
    allowed,
    check_stored,
    download_headers,
    find_blob,
    find_file,
    record_proof,
    tar_size,
)
from serving.queries import Resolved, assigned, attested, deployments_visible_to, find_deployment
from serving.watching import Present, Ref, Stream, Watcher, look, parse_refs, record_watch

VERDICT_SECONDS: Final = 1
WATCH_SECONDS: Final = 25.0
WATCHERS: Final = BoundedSemaphore(2)
"""How many threads of a process may wait with watchers; the others are there for everybody else."""
PURPOSE: Final = OpenApiParameter(
    "X-Countersign-Purpose",
    str,
    OpenApiParameter.HEADER,
    description="what it is pulled for: access policies may ask for it, and it is kept in the ledger; `?purpose=` says it as well",
)
STAGE: Final = OpenApiParameter(
    "stage", str, description="ask for an approval for this stage; without it, any stage's counts"
)
IF_NONE_MATCH: Final = OpenApiParameter(
    "If-None-Match", str, OpenApiParameter.HEADER, description="the ETag of what is held: 304 while it is the newest"
)
RANGE: Final = OpenApiParameter(
    "Range", str, OpenApiParameter.HEADER, description="`bytes=0-99`, several with commas (RFC 9110, section 14)"
)
IF_RANGE: Final = OpenApiParameter(
    "If-Range", str, OpenApiParameter.HEADER, description="the ETag of what is held in part: all of it where it differs"
)
WATCH_PARAMETERS: Final = [
    OpenApiParameter(
        "ref", str, required=True, many=True, description="`model@stage`, `model@alias` or `model/number`"
    ),
    OpenApiParameter(
        "Last-Event-ID", str, OpenApiParameter.HEADER, description="the `id` of the last event that was read"
    ),
]
BYTES_PARAMETERS: Final = [PURPOSE, RANGE, IF_RANGE, IF_NONE_MATCH]
PULL_RESPONSES: Final = {200: OpenApiTypes.OBJECT, 304: None}
BYTES_RESPONSES: Final = {200: OpenApiTypes.BINARY, 206: OpenApiTypes.BINARY, 304: None, 412: None, 416: None}


class AliasView(APIView):
    """What an alias stands for."""

    @extend_schema(operation_id="resolve_alias", parameters=[IF_NONE_MATCH], responses=PULL_RESPONSES)
    def get(self, request: Request, name: str, alias: str) -> HttpResponseBase:
        """The approved version behind an alias, with the proof: digest, files with their addresses, attestation, ledger.

        A stage's name stands for its alias: `production` is answered as `champion`.
        An alias of a stage resolves only while the approval is in force; a free alias only to a version that has one.
        """
        return _document(request, allowed(name, alias=alias, by=_by(request)))


class VersionView(APIView):
    """An approved version by its number."""

    @extend_schema(operation_id="resolve_version", parameters=[STAGE, IF_NONE_MATCH], responses=PULL_RESPONSES)
    def get(self, request: Request, name: str, number: int) -> HttpResponseBase:
        """The same document as for an alias, while an approval of the version is in force."""
        stage = request.query_params.get("stage", "")
        return _document(request, allowed(name, version=number, stage_name=stage, by=_by(request)))


class FileView(APIView):
    """One file of an approved version."""

    @extend_schema(operation_id="pull_file", parameters=BYTES_PARAMETERS, responses=BYTES_RESPONSES)
    def get(self, request: Request, name: str, number: int, path: str) -> HttpResponseBase:
        """The bytes, with their SHA-256 as ETag and as Repr-Digest (RFC 9530); all of them, or the ranges that were asked for."""
        resolved = allowed(name, version=number, by=_by(request))
        return _send(request, resolved, find_file(resolved.version, path))


class BlobView(APIView):
    """One file of an approved version, by its digest."""

    @extend_schema(operation_id="pull_blob", parameters=BYTES_PARAMETERS, responses=BYTES_RESPONSES)
    def get(self, request: Request, name: str, number: int, sha256: str) -> HttpResponseBase:
        """As by its path. The digest is what the signed manifest says, so a client knows what it has when it arrives."""
        resolved = allowed(name, version=number, by=_by(request))
        return _send(request, resolved, find_blob(resolved.version, sha256))


class DownloadView(APIView):
    """Everything of an approved version at once."""

    @extend_schema(operation_id="pull_version", parameters=[PURPOSE], responses=OpenApiTypes.BINARY)
    def get(self, request: Request, name: str, number: int) -> HttpResponseBase:
        """All files as one tar."""
        resolved = allowed(name, version=number, by=_by(request))
        headers = download_headers(f"{name}-v{number}.tar", resolved.version.digest) | {
            "Content-Length": str(tar_size(resolved.version)),
            "Content-Type": "application/x-tar",
        }
        del headers["Repr-Digest"]  # the digest is the manifest's, not the tar's
        pulled = PulledTar(_pull(request, resolved, ""))
        return StreamingHttpResponse(pulled, headers=headers | ledger_headers(pulled.receipt))


class AttestationView(APIView):
    """The proof that a version is approved."""

    @extend_schema(operation_id="pull_attestation", parameters=[STAGE], responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, name: str, number: int) -> Response:
        """The release attestation: manifest, sign-off statements, policies, release and a status snapshot, verifiable offline.

        For whoever may see the model: an auditor checks the proof without the right to pull the bytes.
        """
        resolved = attested(name, version=number, stage_name=request.query_params.get("stage", ""), by=_by(request))
        attestation = release_attestation(resolved.version, resolved.stage, resolved.release)
        receipt = record_proof(resolved, by=_by(request))
        return Response(attestation, headers={"Cache-Control": "private, no-cache"} | ledger_headers(receipt))


class ModelSigView(APIView):
    """The signature over an approved version's files that the OpenSSF model-signing tool checks."""

    @extend_schema(
        operation_id="pull_model_sig", parameters=[STAGE], responses={(200, MEDIA_TYPE): OpenApiTypes.OBJECT}
    )
    def get(self, request: Request, name: str, number: int) -> HttpResponse:
        """`model.sig`: a Sigstore bundle by the key at `/verify/model-signing.pub`; where a pull is refused, so is this."""
        stage = request.query_params.get("stage", "")
        resolved = allowed(name, version=number, stage_name=stage, by=_by(request))
        content = model_sig(resolved)
        headers = {
            "Content-Disposition": 'attachment; filename="model.sig"',
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private, no-cache",
        }
        receipt = record_proof(resolved, by=_by(request), form="model.sig")
        return HttpResponse(content, content_type=MEDIA_TYPE, headers=headers | ledger_headers(receipt))


class EventStream(BaseRenderer):
    """Server-sent events; a refusal is answered as problem JSON whatever was asked for."""

    media_type, format, charset = "text/event-stream", "sse", None

    def render(self, data: Any, accepted_media_type: Any = None, renderer_context: Any = None) -> bytes:
        """The refusal."""
        return orjson.dumps(data)


class WatchView(APIView):
    """What changes among versions that are live."""

    renderer_classes = (EventStream, JSONRenderer)

    @extend_schema(
        operation_id="watch", parameters=WATCH_PARAMETERS, responses={(200, "text/event-stream"): OpenApiTypes.STR}
    )
    def get(self, request: Request) -> HttpResponseBase:
        """Events `release`, `revoked`, `status` and `denied`; the first ones say how it stands now, later ones each change.

        Threads are few here: a stream ends after a while, at once where enough others watch, and the client comes back after `retry`
        with `Last-Event-ID`. The pull gateway, where one runs, keeps streams open.
        """
        refs, by = parse_refs(request.query_params.getlist("ref")), _by(request)
        stays = WATCHERS.acquire(blocking=False)
        let_go = WATCHERS.release if stays else _nothing
        try:
            stream = Stream(
                Watcher(request.headers.get("Last-Event-ID", "")),
                partial(_look_again, refs, request.META.get("HTTP_AUTHORIZATION", ""), request.META, by),
                seconds=WATCH_SECONDS if stays else 0.0,
                record=partial(record_watch, refs, by),
                let_go=let_go,
            )
        except BaseException:
            let_go()
            raise
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingHttpResponse(stream, content_type="text/event-stream", headers=headers)


def _nothing() -> None:
    """There is no place to give back."""


def _look_again(refs: Sequence[Ref], header: str, meta: Mapping[str, Any], by: Principal) -> Present:
    """How it stands, for a caller whose credential is asked for anew: a stream outlives the request that began it."""
    if header:
        by = authenticate_credentials(header, meta)
    elif by.user is None or not User.objects.active().filter(pk=by.user.pk).exists():
        raise Unauthenticated("This account is closed.")
    return look(refs, by)


class AuthorizeRequest(serializers.Serializer[Any]):
    """What a worker asks about a caller."""

    deployment = serializers.CharField(max_length=63)


class AuthorizeView(APIView):
    """Whether the caller may ask a deployment for predictions."""

    @extend_schema(operation_id="authorize_scoring", request=AuthorizeRequest, responses=OpenApiTypes.OBJECT)
    def post(self, request: Request) -> Response:
        """The verdict about whoever sends this request (a worker passes its caller's Authorization header on); good for one second."""
        asked = AuthorizeRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        by = _by(request)
        deployment = (
            Deployment.objects.select_related("model__team", "stage")
            .filter(name=asked.validated_data["deployment"])
            .first()
        )
        if deployment is None:
            raise NotFound("There is no such deployment.", code="deployment-unknown")
        permit(by, Permission.SCORE_MODEL, deployment.model)
        permit_at(by, Permission.SCORE_MODEL, deployment.model, deployment.stage.name)
        caller = by.user.username if by.user else ""
        return Response(
            {"allowed": True, "caller": caller}, headers={"Cache-Control": f"private, max-age={VERDICT_SECONDS}"}
        )


class Heartbeat(serializers.Serializer[Any]):
    """What a worker says about itself."""

    state = serializers.ChoiceField(choices=Deployment.State.choices)
    detail = serializers.CharField(allow_blank=True, max_length=4_000, default="")
    version = serializers.IntegerField(min_value=1, allow_null=True, default=None)


class HeartbeatView(APIView):
    """Where a worker reports and learns what to serve."""

    @extend_schema(operation_id="report_heartbeat", request=Heartbeat, responses=OpenApiTypes.OBJECT)
    def post(self, request: Request, name: str) -> Response:
        """Keeps the report; answers with the version to serve (null: none, and why), whether it is paused, and a status snapshot."""
        said = Heartbeat(data=request.data)
        said.is_valid(raise_exception=True)
        by = _by(request)
        deployment = find_deployment(name, by)
        permit_worker(deployment, by)
        report_status(deployment, **said.validated_data, by=by)
        resolved, reason = assigned(deployment)
        return Response(
            {
                "deployment": deployment.name,
                "model": deployment.model.name,
                "stage": deployment.stage.name,
                "version": resolved.version.number if resolved else None,
                "paused": deployment.paused,
                "reason": deployment.paused_why if deployment.paused else reason,
                "status": current_status(),
            },
            headers={"Cache-Control": "no-store"},
        )


class DeploymentsView(APIView):
    """Scoring endpoints."""

    @extend_schema(operation_id="list_deployments", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> Response:
        """The deployments of models that the caller may see."""
        return Response({"deployments": [_deployment(one) for one in deployments_visible_to(_by(request))]})


class DeploymentView(APIView):
    """One scoring endpoint."""

    @extend_schema(operation_id="get_deployment", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, name: str) -> Response:
        """What it serves and how its worker is."""
        return Response(_deployment(find_deployment(name, _by(request))))


class Reason(serializers.Serializer[Any]):
    """Why the kill switch is moved."""

    reason = serializers.CharField(max_length=500)


class PauseView(APIView):
    """The kill switch, on."""

    @extend_schema(operation_id="pause_deployment", request=Reason, responses=OpenApiTypes.OBJECT)
    def post(self, request: Request, name: str) -> Response:
        """The worker stops answering within two seconds."""
        return Response(
            _deployment(pause_deployment(find_deployment(name, _by(request)), reason=_reason(request), by=_by(request)))
        )


class ResumeView(APIView):
    """The kill switch, off."""

    @extend_schema(operation_id="resume_deployment", request=Reason, responses=OpenApiTypes.OBJECT)
    def post(self, request: Request, name: str) -> Response:
        """The worker answers again, as far as its version's approval is in force."""
        return Response(
            _deployment(
                resume_deployment(find_deployment(name, _by(request)), reason=_reason(request), by=_by(request))
            )
        )


def _by(request: Request) -> Principal:
    principal: Principal = request.auth  # type: ignore[assignment]  # set by PrincipalAuthentication; SignedIn let nobody else in
    return principal


def _pull(request: Request, resolved: Resolved, path: str, range_: str = "") -> Pull:
    return Pull(resolved.version, path, _by(request), _by(request).purpose, range_)


def _document(request: Request, resolved: Resolved) -> HttpResponseBase:
    """The pull document, or 304 for who holds it; on record before it leaves."""
    now = standing(resolved)
    held = is_held(now.etag, request.headers.get("If-None-Match", ""))
    document = None if held else pull_document(now)
    receipt = record_proof(resolved, by=_by(request), held=held)
    headers = {"ETag": now.etag, "Cache-Control": "private, no-cache"} | ledger_headers(receipt)
    if document is None:
        return HttpResponse(status=status.HTTP_304_NOT_MODIFIED, headers=headers)
    return Response(document, headers=headers)


def _send(request: Request, resolved: Resolved, file: ManifestFile) -> HttpResponseBase:
    """What of the file was asked for, by whoever sends it best: this process, or the proxy in front of it."""
    headers = download_headers(file.path.rsplit("/", 1)[-1], file.sha256)
    chosen = choose(file.size, headers["ETag"], request.headers, request.method or "")
    pull = _pull(request, resolved, file.path, chosen.range)
    headers |= chosen.headers
    if request.method == "HEAD" or not chosen.sends:
        check_stored(file)
        receipt = pull.record_read(request.method or "", chosen.status)
        return HttpResponse(status=chosen.status, headers=headers | ledger_headers(receipt))
    if settings.ACCEL_PREFIX and "Range" not in request.headers:
        check_stored(file)
        del headers["Content-Length"]  # the proxy sets it when it has opened the file
        headers["X-Accel-Redirect"] = f"{settings.ACCEL_PREFIX.rstrip('/')}/{file.sha256[:2]}/{file.sha256}"
        return HttpResponse(headers=headers | ledger_headers(pull.record("handed_over", file.size)))
    return OnItsWay(PulledFile(pull, file, chosen), chosen.status, headers)


class OnItsWay(StreamingHttpResponse):
    """A file that a server may send with `sendfile`, and this process in parts where it cannot."""

    block_size: Final = CHUNK_BYTES

    def __init__(self, pulled: PulledFile, status_code: int, headers: dict[str, str]) -> None:
        super().__init__(pulled, status=status_code, headers=headers | ledger_headers(pulled.receipt))
        self.file_to_stream = pulled


def _reason(request: Request) -> str:
    given = Reason(data=request.data)
    given.is_valid(raise_exception=True)
    return str(given.validated_data["reason"])


def _deployment(deployment: Deployment) -> dict[str, Any]:
    return {
        "name": deployment.name,
        "model": deployment.model.name,
        "stage": deployment.stage.name,
        "state": deployment.shown_state,
        "detail": deployment.detail,
        "paused": deployment.paused,
        "version": deployment.version.number if deployment.version else None,
        "serving_since": deployment.serving_since,
        "heartbeat_at": deployment.heartbeat_at,
        "address": deployment.address,
    }
