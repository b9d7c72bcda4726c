"""Datasets over the API: list, register, add versions and recipes, read profiles."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.generics import ListAPIView
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from access.requests import principal_of
from datasets import queries
from datasets.actions import add_recipe, add_version, register_dataset
from datasets.models import Dataset, DatasetVersion, Recipe
from foundation.refusals import NotFound


class DatasetOut(serializers.ModelSerializer[Dataset]):
    """A dataset."""

    owner = serializers.CharField(source="owner.username")
    newest_version = serializers.IntegerField(source="newest_number", allow_null=True, default=None)

    class Meta:
        model = Dataset
        fields = (
            "name", "title", "description", "licence", "target", "time_column", "protected", "schema", "owner",
            "created_at", "newest_version",
        )  # fmt: skip


class DatasetIn(serializers.Serializer[dict[str, Any]]):
    """A dataset to register; the owner is whoever asks."""

    name = serializers.CharField(max_length=63)
    title = serializers.CharField(max_length=160)
    target = serializers.CharField(max_length=128)
    description = serializers.CharField(required=False, default="", allow_blank=True)
    licence = serializers.CharField(required=False, default="", allow_blank=True, max_length=160)
    time_column = serializers.CharField(required=False, default="", allow_blank=True, max_length=128)
    protected = serializers.ListField(child=serializers.CharField(), required=False, default=list)
    schema = serializers.DictField(required=False, default=dict)


class VersionOut(serializers.ModelSerializer[DatasetVersion]):
    """A version of a dataset."""

    dataset = serializers.CharField(source="dataset.name")
    prepared_by = serializers.CharField(source="prepared_by.username")

    class Meta:
        model = DatasetVersion
        fields = ("dataset", "number", "digest", "size_bytes", "rows", "columns", "note", "prepared_by", "created_at")


class VersionIn(serializers.Serializer[dict[str, Any]]):
    """The file of a new version, as multipart form data."""

    file = serializers.FileField()
    note = serializers.CharField(required=False, default="", allow_blank=True, max_length=300)


class RecipeOut(serializers.ModelSerializer[Recipe]):
    """A numbered recipe."""

    dataset = serializers.CharField(source="dataset.name")
    created_by = serializers.CharField(source="created_by.username")

    class Meta:
        model = Recipe
        fields = ("dataset", "name", "number", "content", "digest", "created_by", "created_at")


class RecipeIn(serializers.Serializer[dict[str, Any]]):
    """A recipe to add; `content` has the recipe format 1."""

    name = serializers.CharField(max_length=63)
    content = serializers.DictField()


class DatasetsView(ListAPIView[Dataset]):
    """Datasets."""

    serializer_class = DatasetOut
    filter_backends = ()
    queryset = Dataset.objects.none()

    def get_queryset(self) -> Any:
        """What the caller may see."""
        return queries.datasets_for(principal_of(self.request))

    @extend_schema(request=DatasetIn, responses={201: DatasetOut})
    def post(self, request: Request) -> Response:
        """Register a dataset."""
        given = DatasetIn(data=request.data)
        given.is_valid(raise_exception=True)
        values = dict(given.validated_data)
        dataset = register_dataset(values.pop("name"), **values, by=principal_of(request))
        return Response(DatasetOut(dataset).data, status=status.HTTP_201_CREATED)


class DatasetView(APIView):
    """One dataset."""

    @extend_schema(responses=DatasetOut)
    def get(self, request: Request, name: str) -> Response:
        """The dataset called `name`."""
        return Response(DatasetOut(queries.find_dataset(name, principal_of(request))).data)


class VersionsView(APIView):
    """Versions of a dataset."""

    parser_classes = (MultiPartParser,)

    @extend_schema(responses=VersionOut(many=True))
    def get(self, request: Request, name: str) -> Response:
        """All versions, newest first."""
        dataset = queries.find_dataset(name, principal_of(request))
        return Response(VersionOut(dataset.versions.select_related("dataset", "prepared_by"), many=True).data)

    @extend_schema(request=VersionIn, responses={201: VersionOut})
    def post(self, request: Request, name: str) -> Response:
        """Add a version; its profile follows on a worker."""
        dataset = queries.find_dataset(name, principal_of(request))
        given = VersionIn(data=request.data)
        given.is_valid(raise_exception=True)
        file = given.validated_data["file"]
        version = add_version(
            dataset, file, filename=file.name, note=given.validated_data["note"], by=principal_of(request)
        )
        return Response(VersionOut(version).data, status=status.HTTP_201_CREATED)


class ProfileView(APIView):
    """The profile of a version."""

    @extend_schema(responses={200: OpenApiTypes.OBJECT})
    def get(self, request: Request, name: str, number: int) -> Response:
        """What a worker found in the version."""
        dataset = queries.find_dataset(name, principal_of(request))
        version = queries.find_version(dataset, number)
        profile = getattr(version, "profile", None)
        if profile is None:
            raise NotFound(f"{version} has no profile yet; a worker is at it.", code="profile-pending")
        return Response(profile.content)


class RecipesView(APIView):
    """Recipes of a dataset."""

    @extend_schema(responses=RecipeOut(many=True))
    def get(self, request: Request, name: str) -> Response:
        """All recipes, newest number first."""
        dataset = queries.find_dataset(name, principal_of(request))
        return Response(RecipeOut(dataset.recipes.select_related("dataset", "created_by"), many=True).data)

    @extend_schema(request=RecipeIn, responses={201: RecipeOut})
    def post(self, request: Request, name: str) -> Response:
        """Add a recipe, or get the newest back when it says the same."""
        dataset = queries.find_dataset(name, principal_of(request))
        given = RecipeIn(data=request.data)
        given.is_valid(raise_exception=True)
        recipe = add_recipe(
            dataset, given.validated_data["name"], given.validated_data["content"], by=principal_of(request)
        )
        return Response(RecipeOut(recipe).data, status=status.HTTP_201_CREATED)
