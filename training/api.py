"""Training jobs over the API: list, start, follow, cancel, retry."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from access.permissions import Permission
from access.requests import principal_of
from datasets.queries import find_dataset, find_recipe, find_version
from foundation.refusals import NotFound
from registry import queries as registry_queries
from training.actions import cancel_training, compare_again, retry_training, start_training
from training.models import TrainingJob
from training.queries import find_training


class TrainingOut(serializers.ModelSerializer[TrainingJob]):
    """A training job and how far it is."""

    uuid = serializers.UUIDField(source="job.uuid")
    model = serializers.CharField(source="model.name")
    dataset_version = serializers.CharField(source="dataset_version.__str__")
    recipe = serializers.CharField(source="recipe.__str__")
    state = serializers.CharField(source="job.state")
    attempt = serializers.IntegerField(source="job.attempt")
    step = serializers.CharField(source="job.step")
    done = serializers.IntegerField(source="job.done")
    total = serializers.IntegerField(source="job.total")
    error = serializers.CharField(source="job.error")
    log = serializers.CharField(source="job.log")
    version = serializers.IntegerField(source="version.number", default=None, allow_null=True)
    requested_by = serializers.CharField(source="requested_by.username")

    class Meta:
        model = TrainingJob
        fields = (
            "uuid", "model", "dataset_version", "recipe", "algorithm", "parameters", "split", "seed", "cutoff", "mitigation", "reason",
            "state", "attempt", "step", "done", "total", "error", "log", "version", "run_id", "requested_by", "created_at",
        )  # fmt: skip


class TrainingIn(serializers.Serializer[dict[str, Any]]):
    """What to train. `dataset_number` defaults to the newest version; `recipe` is `name` or `name#number`."""

    model = serializers.CharField()
    dataset = serializers.CharField()
    dataset_number = serializers.IntegerField(required=False, min_value=1)
    recipe = serializers.RegexField(r"^[a-z0-9][a-z0-9_-]{0,62}(#[1-9][0-9]{0,8})?$")
    algorithm = serializers.CharField(required=False, default="logistic_regression")
    parameters = serializers.DictField(required=False, default=dict)
    split = serializers.DictField(required=False, default=dict)
    seed = serializers.IntegerField(required=False, default=0)
    cutoff = serializers.FloatField(required=False, default=0.5)
    mitigation = serializers.DictField(
        required=False,
        default=dict,
        help_text="against unequal treatment: {reweighing: [protected attributes], threshold: [protected attributes], max_accuracy_loss}",
    )
    retrain_of = serializers.IntegerField(
        required=False, min_value=1, help_text="number of the version that is retrained"
    )
    reason = serializers.CharField(required=False, default="", allow_blank=True, max_length=2000)


class TrainingsView(ListAPIView[TrainingJob]):
    """Training jobs of models that the caller may see."""

    serializer_class = TrainingOut
    filter_backends = ()
    queryset = TrainingJob.objects.none()

    def get_queryset(self) -> Any:
        """What the caller may see, newest first."""
        return TrainingJob.objects.seen_by(principal_of(self.request)).with_everything_shown()

    @extend_schema(request=TrainingIn, responses={202: TrainingOut})
    def post(self, request: Request) -> Response:
        """Start a training; it runs on a worker."""
        given = TrainingIn(data=request.data)
        given.is_valid(raise_exception=True)
        values = dict(given.validated_data)
        by = principal_of(request)
        model = registry_queries.find_model(values.pop("model"), by, Permission.REGISTER_VERSION)
        dataset = find_dataset(values.pop("dataset"), by)
        version = find_version(dataset, values.pop("dataset_number", None))
        if version is None:
            raise NotFound(f"{dataset.name} has no version yet.")
        name, _, number = values.pop("recipe").partition("#")
        newest = dataset.recipes.filter(name=name).order_by("-number").values_list("number", flat=True).first()
        recipe = find_recipe(dataset, name, int(number) if number else newest or 0)
        before = values.pop("retrain_of", None)
        training = start_training(
            model,
            dataset_version=version,
            recipe=recipe,
            retrain_of=registry_queries.find_version(model.name, before, by) if before else None,
            by=by,
            **values,
        )
        return Response(TrainingOut(training).data, status=status.HTTP_202_ACCEPTED)


class TrainingView(APIView):
    """One training job."""

    @extend_schema(responses=TrainingOut)
    def get(self, request: Request, uuid: UUID) -> Response:
        """How far it is."""
        return Response(TrainingOut(find_training(uuid, principal_of(request))).data)


class CancelView(APIView):
    """Cancelling."""

    @extend_schema(request=None, responses={202: TrainingOut})
    def post(self, request: Request, uuid: UUID) -> Response:
        """Stop the job; nothing is registered."""
        training = cancel_training(find_training(uuid, principal_of(request)), by=principal_of(request))
        return Response(TrainingOut(training).data, status=status.HTTP_202_ACCEPTED)


class RetryView(APIView):
    """Retrying."""

    @extend_schema(request=None, responses={202: TrainingOut})
    def post(self, request: Request, uuid: UUID) -> Response:
        """Run a failed or cancelled job again, as the same job."""
        training = retry_training(find_training(uuid, principal_of(request)), by=principal_of(request))
        return Response(TrainingOut(training).data, status=status.HTTP_202_ACCEPTED)


class ComparisonOut(serializers.Serializer[Any]):
    """The job that compares."""

    job = serializers.UUIDField(source="uuid")
    state = serializers.CharField()


class CompareView(APIView):
    """Comparing a version with production once more."""

    @extend_schema(request=None, responses={202: ComparisonOut})
    def post(self, request: Request, name: str, number: int) -> Response:
        """Compare the version with the one in production now, on the rows it was judged on; the result becomes evidence."""
        by = principal_of(request)
        job = compare_again(registry_queries.find_version(name, number, by), by=by)
        return Response(ComparisonOut(job).data, status=status.HTTP_202_ACCEPTED)
