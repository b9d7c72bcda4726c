"""The API about registered models, versions, evidence, cards, aliases and tags: short views over queries and actions."""

from __future__ import annotations

import json
from typing import Any

from django.db.models import Prefetch, Q, QuerySet
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import generics, serializers
from rest_framework.parsers import JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from access.permissions import Permission, permit
from access.requests import principal_of
from foundation.refusals import Invalid, NotFound
from registry import actions, queries
from registry import serializers as forms
from registry.models import Alias, Evidence, ModelCardRevision, ModelVersion, RegisteredModel
from registry.uploads import check_announced, store_uploads


def fields_of(form: type[serializers.Serializer[Any]], data: object) -> dict[str, Any]:
    """The checked fields; raises DRF's `ValidationError`, which becomes problem JSON."""
    checked = form(data=data)
    checked.is_valid(raise_exception=True)
    return dict(checked.validated_data)


class Models(generics.ListAPIView[RegisteredModel]):
    """Registered models that the caller may see."""

    serializer_class = forms.ModelSerializer
    queryset = RegisteredModel.objects.none()

    def get_queryset(self) -> QuerySet[RegisteredModel]:
        """Narrowed and ordered as the query string asks."""
        wanted = fields_of(forms.ModelFilterSerializer, self.request.query_params)
        models = queries.models_visible_to(principal_of(self.request)).filter(
            archived_at__isnull=not wanted["archived"]
        )
        if wanted.get("q"):
            text = wanted["q"]
            models = models.filter(
                Q(name__icontains=text) | Q(description__icontains=text) | Q(intended_use__icontains=text)
            )
        if wanted.get("tier"):
            models = models.filter(tier=wanted["tier"])
        if wanted.get("owner"):
            models = models.filter(owner__username=wanted["owner"])
        aliases = Alias.objects.select_related("version", "stage").defer("version__manifest")
        return models.prefetch_related("tags", Prefetch("aliases", aliases)).order_by(wanted["ordering"], "pk")

    @extend_schema(parameters=[forms.ModelFilterSerializer])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List models."""
        return super().get(request, *args, **kwargs)

    @extend_schema(request=forms.NewModelSerializer, responses={201: forms.ModelSerializer})
    def post(self, request: Request) -> Response:
        """Register a model; needs model.create."""
        fields = fields_of(forms.NewModelSerializer, request.data)
        model = actions.create_model(fields.pop("name"), **fields, by=principal_of(request))
        return Response(forms.ModelSerializer(model).data, status=201)


class Model(APIView):
    """One registered model."""

    @extend_schema(responses=forms.ModelSerializer)
    def get(self, request: Request, name: str) -> Response:
        """Read it."""
        return Response(forms.ModelSerializer(queries.find_model(name, principal_of(request))).data)

    @extend_schema(request=forms.ModelChangeSerializer, responses=forms.ModelSerializer)
    def patch(self, request: Request, name: str) -> Response:
        """Change description, intended use or risk tier; needs edit_model."""
        by = principal_of(request)
        model = queries.find_model(name, by)
        changed = actions.update_model(model, **fields_of(forms.ModelChangeSerializer, request.data), by=by)
        return Response(forms.ModelSerializer(changed).data)


class Versions(generics.ListAPIView[ModelVersion]):
    """The versions of one model, newest first."""

    serializer_class = forms.VersionSerializer
    queryset = ModelVersion.objects.none()
    parser_classes = (MultiPartParser, JSONParser)

    def get_queryset(self) -> QuerySet[ModelVersion]:
        """All versions of the model of the address."""
        model = queries.find_model(self.kwargs["name"], principal_of(self.request))
        return (
            model.versions.select_related("model", "created_by").prefetch_related("aliases", "tags").order_by("-number")
        )

    @extend_schema(
        request={"multipart/form-data": forms.NewVersionSerializer},
        responses={
            201: forms.VersionDetailSerializer,
            400: OpenApiResponse(description="problem JSON: which file, and why"),
        },
    )
    def post(self, request: Request, name: str) -> Response:
        """Register a version from files sent as multipart parts, each under its path as the part's name; needs register_version.

        `manifest` names every file with its SHA-256; a file whose bytes differ is refused and nothing is kept. The version waits
        in quarantine until it has been scanned: read it again for its state.
        """
        by = principal_of(request)
        model = queries.find_model(name, by)
        permit(by, Permission.REGISTER_VERSION, model)
        check_announced(int(request.META.get("CONTENT_LENGTH") or 0))
        fields = fields_of(forms.NewVersionSerializer, request.data)
        files = store_uploads(_manifest(fields.pop("manifest")), request.FILES.dict())
        version = actions.register_version(model, files, **fields, by=by)
        return Response(forms.VersionDetailSerializer(version).data, status=201)


def _manifest(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = None
    if not isinstance(value, list):
        raise Invalid(
            "manifest is a JSON list of {path, sha256}.", code="manifest", errors={"manifest": "Send a JSON list."}
        )
    return [fields_of(forms.ExpectedFileSerializer, row) for row in value]


class Version(APIView):
    """One version."""

    @extend_schema(responses=forms.VersionDetailSerializer)
    def get(self, request: Request, name: str, number: int) -> Response:
        """Read it, with its manifest."""
        return Response(forms.VersionDetailSerializer(queries.find_version(name, number, principal_of(request))).data)

    @extend_schema(request=forms.VersionChangeSerializer, responses=forms.VersionDetailSerializer)
    def patch(self, request: Request, name: str, number: int) -> Response:
        """Change its description; needs edit_model."""
        by = principal_of(request)
        version = queries.find_version(name, number, by)
        fields = fields_of(forms.VersionChangeSerializer, request.data)
        return Response(forms.VersionDetailSerializer(actions.update_version(version, **fields, by=by)).data)


class EvidenceOfVersion(generics.ListAPIView[Evidence]):
    """Everything that was measured or checked about one version, newest first."""

    serializer_class = forms.EvidenceSerializer
    queryset = Evidence.objects.none()

    def get_queryset(self) -> QuerySet[Evidence]:
        """The evidence of the version of the address."""
        version = queries.find_version(self.kwargs["name"], self.kwargs["number"], principal_of(self.request))
        return version.evidence.select_related("producer").order_by("-created_at", "-pk")

    @extend_schema(request=forms.NewEvidenceSerializer, responses={201: forms.EvidenceSerializer})
    def post(self, request: Request, name: str, number: int) -> Response:
        """Add a result about exactly these bytes; needs register_version."""
        by = principal_of(request)
        version = queries.find_version(name, number, by)
        fields = fields_of(forms.NewEvidenceSerializer, request.data)
        if not isinstance(fields["content"], dict):
            raise Invalid(
                "content is a JSON object.", code="evidence-content", errors={"content": "Send a JSON object."}
            )
        evidence = actions.add_evidence(version, fields["kind"], fields["content"], run_id=fields["run_id"], by=by)
        return Response(forms.EvidenceSerializer(evidence).data, status=201)


class Card(generics.ListAPIView[ModelCardRevision]):
    """The revisions of a version's model card, newest first."""

    serializer_class = forms.CardSerializer
    queryset = ModelCardRevision.objects.none()

    def get_queryset(self) -> QuerySet[ModelCardRevision]:
        """The card of the version of the address."""
        version = queries.find_version(self.kwargs["name"], self.kwargs["number"], principal_of(self.request))
        return version.card_revisions.select_related("author").order_by("-number")

    @extend_schema(request=forms.CardChangeSerializer, responses={201: forms.CardSerializer})
    def post(self, request: Request, name: str, number: int) -> Response:
        """Add a revision; sections that are not sent stay as they were. Needs edit_model."""
        by = principal_of(request)
        version = queries.find_version(name, number, by)
        fields = fields_of(forms.CardChangeSerializer, request.data)
        return Response(forms.CardSerializer(actions.revise_card(version, fields["sections"], by=by)).data, status=201)


class RestoreCard(APIView):
    """Going back to what an earlier revision said."""

    @extend_schema(request=forms.CardRestoreSerializer, responses={201: forms.CardSerializer})
    def post(self, request: Request, name: str, number: int) -> Response:
        """Add a revision that says what an earlier one said; needs edit_model."""
        by = principal_of(request)
        version = queries.find_version(name, number, by)
        fields = fields_of(forms.CardRestoreSerializer, request.data)
        return Response(forms.CardSerializer(actions.restore_card(version, fields["revision"], by=by)).data, status=201)


class Aliases(generics.ListAPIView[Alias]):
    """The aliases of one model."""

    serializer_class = forms.AliasSerializer
    queryset = Alias.objects.none()

    def get_queryset(self) -> QuerySet[Alias]:
        """Free and protected ones, by name."""
        model = queries.find_model(self.kwargs["name"], principal_of(self.request))
        return model.aliases.select_related("version", "stage").order_by("name")


class OneAlias(APIView):
    """One free alias. A stage's alias is refused here, with the way to a review."""

    @extend_schema(request=forms.AliasChangeSerializer, responses=forms.AliasSerializer)
    def put(self, request: Request, name: str, alias: str) -> Response:
        """Point it at a version; needs set_alias."""
        by = principal_of(request)
        fields = fields_of(forms.AliasChangeSerializer, request.data)
        model = queries.find_model(name, by)
        version = queries.find_number(model, fields["version"])
        row = actions.set_alias(model, alias, version, expected=fields.get("expected"), by=by)
        return Response(forms.AliasSerializer(row).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, name: str, alias: str) -> Response:
        """Delete it; needs set_alias."""
        by = principal_of(request)
        actions.delete_alias(queries.find_model(name, by), alias, by=by)
        return Response(status=204)


class ModelTags(APIView):
    """A free label on a model."""

    @extend_schema(request=forms.TagSerializer, responses=forms.TagSerializer)
    def put(self, request: Request, name: str, key: str) -> Response:
        """Set it; needs edit_model."""
        by = principal_of(request)
        value = fields_of(forms.TagSerializer, request.data)["value"]
        return Response(
            forms.TagSerializer(actions.set_model_tag(queries.find_model(name, by), key, value, by=by)).data
        )

    @extend_schema(responses={204: None})
    def delete(self, request: Request, name: str, key: str) -> Response:
        """Take it off; needs edit_model."""
        by = principal_of(request)
        actions.delete_model_tag(queries.find_model(name, by), key, by=by)
        return Response(status=204)


class VersionTags(APIView):
    """A free label on a version."""

    @extend_schema(request=forms.TagSerializer, responses=forms.TagSerializer)
    def put(self, request: Request, name: str, number: int, key: str) -> Response:
        """Set it; needs edit_model."""
        by = principal_of(request)
        value = fields_of(forms.TagSerializer, request.data)["value"]
        return Response(
            forms.TagSerializer(actions.set_version_tag(queries.find_version(name, number, by), key, value, by=by)).data
        )

    @extend_schema(responses={204: None})
    def delete(self, request: Request, name: str, number: int, key: str) -> Response:
        """Take it off; needs edit_model."""
        by = principal_of(request)
        actions.delete_version_tag(queries.find_version(name, number, by), key, by=by)
        return Response(status=204)


class OneEvidence(APIView):
    """One piece of evidence."""

    @extend_schema(responses=forms.EvidenceSerializer)
    def get(self, request: Request, name: str, number: int, pk: int) -> Response:
        """Read it."""
        version = queries.find_version(name, number, principal_of(request))
        evidence = version.evidence.select_related("producer").filter(pk=pk).first()
        if evidence is None:
            raise NotFound(f"{version} has no evidence {pk}.")
        return Response(forms.EvidenceSerializer(evidence).data)
