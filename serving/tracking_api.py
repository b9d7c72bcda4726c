"""Who has which experiment, over the API: the same lists and the same actions as on the pages."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from access.forms import HolderForm
from access.requests import principal_of
from foundation.pagination import Pages
from foundation.refusals import Invalid
from serving.tracking_access import find_listed, listed
from serving.tracking_forms import OthersForm, OwnerForm, ShareForm
from serving.tracking_models import Experiment, ExperimentGrant, Level, Others
from serving.tracking_views import CHANGES

FORMS: Final = {"share": ShareForm, "unshare": HolderForm, "others": OthersForm, "owner": OwnerForm}


class ExperimentGrantSerializer(serializers.ModelSerializer[ExperimentGrant]):
    """One account or group, and what it may."""

    holder = serializers.SerializerMethodField(help_text="`user:<uuid>` or `group:<id>`")
    name = serializers.CharField(source="holder.__str__", read_only=True)

    class Meta:
        model = ExperimentGrant
        fields = ["holder", "name", "level", "created_at"]

    def get_holder(self, grant: ExperimentGrant) -> str:
        """As the API takes it."""
        return f"user:{grant.user.uuid}" if grant.user else f"group:{grant.group_id}"


class ExperimentSerializer(serializers.ModelSerializer[Experiment]):
    """One experiment of MLflow's and whose it is."""

    owner = serializers.SlugRelatedField[Any](slug_field="username", read_only=True)

    class Meta:
        model = Experiment
        fields = ["experiment_id", "name", "owner", "others", "deleted", "created_at"]


class ExperimentWithGrantsSerializer(ExperimentSerializer):
    """The same, with whom it is shared with."""

    grants = ExperimentGrantSerializer(many=True, read_only=True)

    class Meta(ExperimentSerializer.Meta):
        fields = [*ExperimentSerializer.Meta.fields, "grants"]


class ExperimentChangeSerializer(serializers.Serializer[Any]):
    """What to change: `share` (holder, level), `unshare` (holder), `others` (others) or `owner` (holder)."""

    change = serializers.ChoiceField(choices=list(FORMS))
    holder = serializers.CharField(required=False, help_text="`user:<uuid>` or `group:<id>`")
    level = serializers.ChoiceField(choices=Level.choices, required=False)
    others = serializers.ChoiceField(choices=Others.choices, required=False)


class ExperimentsView(APIView):
    """Experiments that the caller reads."""

    @extend_schema(
        operation_id="list_experiments",
        parameters=[
            OpenApiParameter("q", str, description="what its name contains"),
            OpenApiParameter("page", int),
            OpenApiParameter("page_size", int),
        ],
        responses=ExperimentSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        """Newest first, in pages."""
        found = listed(principal_of(request)).select_related("owner")
        if text := request.query_params.get("q", ""):
            found = found.filter(name__icontains=text[:200])
        pages = Pages()
        page = pages.paginate_queryset(found, request, view=self)
        return pages.get_paginated_response(ExperimentSerializer(page, many=True).data)


class ExperimentView(APIView):
    """Who has one experiment."""

    @extend_schema(operation_id="read_experiment", responses=ExperimentWithGrantsSerializer)
    def get(self, request: Request, number: int) -> Response:
        """Its owner, whom it is shared with, and what everybody else may."""
        return Response(ExperimentWithGrantsSerializer(find_listed(number, principal_of(request))).data)

    @extend_schema(
        operation_id="change_experiment", request=ExperimentChangeSerializer, responses=ExperimentWithGrantsSerializer
    )
    def post(self, request: Request, number: int) -> Response:
        """Share it, stop sharing it, say what everybody else may, or give it to another owner; by people only."""
        by = principal_of(request)
        found = find_listed(number, by)
        said = ExperimentChangeSerializer(data=request.data)
        said.is_valid(raise_exception=True)
        form = FORMS[said.validated_data["change"]](said.validated_data)
        if not form.is_valid():
            errors = {name: " ".join(map(str, problems)) for name, problems in form.errors.items()}
            raise Invalid(" ".join(errors.values()), errors=errors)
        CHANGES[said.validated_data["change"]](found, form, by)
        return Response(ExperimentWithGrantsSerializer(find_listed(number, by)).data)
