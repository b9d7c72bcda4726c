"""The pull API, and what scoring workers ask: see `serving.queries` for what is allowed and `serving.verification` for the proof."""

from __future__ import annotations

import base64
from typing import Any, Final

from django.http import FileResponse, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from access.permissions import Permission, permit
from access.principal import Principal
from audit.actions import append_alone
from audit.events import Action
from foundation.dsse import envelope_digest
from foundation.refusals import NotFound
from serving.actions import pause_deployment, permit_worker, report_status, resume_deployment
from serving.attestations import current_status, release_attestation
from serving.ledger_headers import ledger_headers
from serving.models import Deployment
from serving.pulls import Pull, PulledFile, PulledTar, allowed, find_file, tar_size
from serving.queries import Resolved, assigned, attested, deployments_visible_to, find_deployment

VERDICT_SECONDS: Final = 1
PURPOSE: Final = OpenApiParameter(
    "X-Purpose", str, OpenApiParameter.HEADER, description="what it is pulled for; kept in the ledger"
)
STAGE: Final = OpenApiParameter(
    "stage", str, description="ask for an approval for this stage; without it, any stage's counts"
)


class AliasView(APIView):
    """What an alias stands for."""

    @extend_schema(operation_id="resolve_alias", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, name: str, alias: str) -> HttpResponseBase:
        """The approved version behind an alias: digest, files with their addresses, until when it is approved.

        An alias of a stage resolves only while the approval is in force; a free alias only to a version that has one.
        """
        resolved = allowed(name, alias=alias, by=_by(request))
        etag = f'"{resolved.version.digest[:32]}-{envelope_digest(resolved.release)[:16]}"'
        headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
        if request.headers.get("If-None-Match") == etag:
            return HttpResponse(status=status.HTTP_304_NOT_MODIFIED, headers=headers)
        return Response(_resolved(resolved, alias), headers=headers)


class FileView(APIView):
    """One file of an approved version."""

    @extend_schema(operation_id="pull_file", parameters=[PURPOSE], responses=OpenApiTypes.BINARY)
    def get(self, request: Request, name: str, number: int, path: str) -> HttpResponseBase:
        """The bytes, with their SHA-256 as ETag and as Repr-Digest (RFC 9530)."""
        resolved = allowed(name, version=number, by=_by(request))
        file = find_file(resolved.version, path)
        headers = _download_headers(file.path.rsplit("/", 1)[-1], file.sha256)
        if request.headers.get("If-None-Match") == headers["ETag"]:
            return HttpResponse(status=status.HTTP_304_NOT_MODIFIED, headers=headers)
        headers["Content-Length"] = str(file.size)
        pulled = PulledFile(_pull(request, resolved, path), file)
        return FileResponse(pulled, headers=headers | ledger_headers(pulled.receipt))


class DownloadView(APIView):
    """Everything of an approved version at once."""

    @extend_schema(operation_id="pull_version", parameters=[PURPOSE], responses=OpenApiTypes.BINARY)
    def get(self, request: Request, name: str, number: int) -> HttpResponseBase:
        """All files as one tar."""
        resolved = allowed(name, version=number, by=_by(request))
        headers = _download_headers(f"{name}-v{number}.tar", resolved.version.digest) | {
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
        receipt = append_alone(
            Action.VERSION_ATTEST,
            by=_by(request),
            obj=resolved.version.ledger_ref(),
            after={"stage": resolved.stage.name, "release": envelope_digest(resolved.release)},
        )
        return Response(attestation, headers={"Cache-Control": "private, no-cache"} | ledger_headers(receipt))


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
        deployment = Deployment.objects.select_related("model").filter(name=asked.validated_data["deployment"]).first()
        if deployment is None:
            raise NotFound("There is no such deployment.", code="deployment-unknown")
        permit(by, Permission.SCORE_MODEL, deployment.model)
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


def _pull(request: Request, resolved: Resolved, path: str) -> Pull:
    return Pull(resolved.version, path, _by(request), request.headers.get("X-Purpose", ""))


def _reason(request: Request) -> str:
    given = Reason(data=request.data)
    given.is_valid(raise_exception=True)
    return str(given.validated_data["reason"])


def _download_headers(filename: str, sha256: str) -> dict[str, str]:
    return {
        "Content-Type": "application/octet-stream",
        "Content-Disposition": f'attachment; filename="{filename}"',
        "X-Content-Type-Options": "nosniff",
        "ETag": f'"{sha256}"',
        "Repr-Digest": f"sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode()}:",
        "Cache-Control": "private, no-cache",
    }


def _resolved(resolved: Resolved, alias: str) -> dict[str, Any]:
    version = resolved.version
    here = {"name": version.model.name, "number": version.number}
    return {
        "model": version.model.name,
        "alias": alias,
        "version": version.number,
        "stage": resolved.stage.name,
        "digest": version.digest,
        "size": version.size_bytes,
        "approved_until": resolved.approval.valid_until,
        "files": [
            file.row() | {"url": reverse("serving-api:file", kwargs=here | {"path": file.path})}
            for file in version.files
        ],
        "download": reverse("serving-api:download", kwargs=here),
        "attestation": f"{reverse('serving-api:attestation', kwargs=here)}?stage={resolved.stage.name}",
    }


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
