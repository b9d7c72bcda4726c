"""The API about deployments in use: health, windows, alerts, limits, and outcomes fed back by the services that learn them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from access.principal import Principal
from monitoring import actions, queries
from monitoring.models import Alert, Measure, PerformanceWindow, PredictionWindow, Thresholds
from monitoring.outcomes import checked
from monitoring.permissions import alert_for, deployment_for, deployment_to_feed


class HealthSerializer(serializers.Serializer[Any]):
    """How one deployment is."""

    deployment = serializers.CharField(source="deployment.name")
    model = serializers.CharField(source="deployment.model.name")
    level = serializers.CharField(source="health.level.value", help_text="ok, warn, fail or insufficient")
    health = serializers.CharField(source="health.sentence")
    score_psi = serializers.FloatField(allow_null=True)
    open_alerts = serializers.SerializerMethodField()

    def get_open_alerts(self, line: queries.Overview) -> int:
        """How many alerts stand."""
        return len(line.alerts)


class MeasureSerializer(serializers.ModelSerializer[Measure]):
    """The drift of one column; the score is the one without a feature's name."""

    class Meta:
        model = Measure
        fields = ("feature", "psi", "ks", "missing", "missing_reference", "unseen", "level")
        read_only_fields = fields


class WindowSerializer(serializers.ModelSerializer[PredictionWindow]):
    """One window of predictions. Windows follow the worker's clock, not dates inside the rows."""

    version = serializers.IntegerField(source="version.number", read_only=True)
    ends_at = serializers.DateTimeField(read_only=True)
    measures = MeasureSerializer(many=True, read_only=True)

    class Meta:
        model = PredictionWindow
        fields = ("starts_at", "ends_at", "version", "rows", "incomplete_rows", "callers", "level", "measures")
        read_only_fields = fields


class PerformanceSerializer(serializers.ModelSerializer[PerformanceWindow]):
    """One window of outcomes."""

    version = serializers.IntegerField(source="version.number", read_only=True)
    ends_at = serializers.DateTimeField(read_only=True)

    class Meta:
        model = PerformanceWindow
        fields = (
            "starts_at",
            "ends_at",
            "version",
            "outcomes",
            "positives",
            "auc",
            "auc_low",
            "auc_high",
            "released_auc",
            "brier",
            "ece",
            "level",
        )
        read_only_fields = fields


class AlertSerializer(serializers.ModelSerializer[Alert]):
    """One alert."""

    version = serializers.IntegerField(source="version.number", read_only=True)
    sentence = serializers.CharField(source="__str__", read_only=True)
    acknowledged_by = serializers.CharField(source="acknowledged_by.username", read_only=True, default=None)
    retraining = serializers.UUIDField(source="retraining.job.uuid", read_only=True, default=None)

    class Meta:
        model = Alert
        fields = (
            "id",
            "version",
            "kind",
            "feature",
            "sentence",
            "severity",
            "state",
            "measured",
            "limit",
            "opened_at",
            "acknowledged_by",
            "acknowledged_at",
            "note",
            "closed_at",
            "closed_because",
            "retraining",
        )
        read_only_fields = fields


class ThresholdsSerializer(serializers.ModelSerializer[Thresholds]):
    """A deployment's limits."""

    class Meta:
        model = Thresholds
        fields = (
            "psi_warn",
            "psi_fail",
            "auc_drop_warn",
            "auc_drop_fail",
            "minimum_rows",
            "minimum_outcomes",
            "window_seconds",
        )


class OutcomeSerializer(serializers.Serializer[Any]):
    """What really happened after one prediction."""

    id = serializers.CharField(max_length=100, help_text="the prediction's id, as the worker answered it")
    label = serializers.IntegerField(min_value=0, max_value=1)  # type: ignore[assignment]  # a field called as outcomes are


class OutcomesSerializer(serializers.Serializer[Any]):
    """Outcomes to feed."""

    outcomes = OutcomeSerializer(many=True)


class FedSerializer(serializers.Serializer[Any]):
    """What became of them."""

    taken = serializers.IntegerField()
    repeated = serializers.IntegerField()
    contradicting = serializers.ListField(child=serializers.CharField())
    unknown = serializers.ListField(child=serializers.CharField())


class NoteSerializer(serializers.Serializer[Any]):
    """What somebody makes of an alert."""

    note = serializers.CharField(max_length=2_000)


class OverviewView(APIView):
    """Every deployment that the caller may watch."""

    @extend_schema(responses=HealthSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Those that need somebody first."""
        return Response(HealthSerializer(queries.overview(_by(request)), many=True).data)


class DeploymentView(APIView):
    """One deployment: health, windows, performance, alerts."""

    @extend_schema(responses={200: dict[str, Any]})
    def get(self, request: Request, name: str) -> Response:
        """The newest 48 windows, oldest first."""
        picture = queries.picture(deployment_for(_by(request), name))
        return Response(
            {
                "deployment": name,
                "level": picture.health.level.value,
                "health": picture.health.sentence,
                "windows": WindowSerializer(picture.windows, many=True).data,
                "performance": PerformanceSerializer(picture.performance, many=True).data,
                "alerts": AlertSerializer(picture.alerts, many=True).data,
                "thresholds": ThresholdsSerializer(picture.thresholds).data,
            }
        )


class EvaluateView(APIView):
    """Counting and measuring now."""

    @extend_schema(request=None, responses={202: dict[str, str]})
    def post(self, request: Request, name: str) -> Response:
        """Queue it; the answer names the job."""
        by = _by(request)
        job = actions.ask_for_evaluation(deployment_for(by, name), by=by)
        return Response({"job": str(job.uuid)}, status=202)


class ThresholdsView(APIView):
    """A deployment's limits."""

    @extend_schema(responses=ThresholdsSerializer)
    def get(self, request: Request, name: str) -> Response:
        """The limits in force."""
        return Response(ThresholdsSerializer(Thresholds.objects.of(deployment_for(_by(request), name))).data)

    @extend_schema(request=ThresholdsSerializer, responses=ThresholdsSerializer)
    def patch(self, request: Request, name: str) -> Response:
        """Change some of them."""
        by = _by(request)
        sent = ThresholdsSerializer(data=request.data, partial=True)
        sent.is_valid(raise_exception=True)
        return Response(
            ThresholdsSerializer(actions.set_thresholds(deployment_for(by, name), sent.validated_data, by=by)).data
        )


class OutcomesView(APIView):
    """Outcomes, fed back by whoever learns them."""

    @extend_schema(request=OutcomesSerializer, responses=FedSerializer)
    def post(self, request: Request, name: str) -> Response:
        """Keep them, all or none of a request; unknown prediction ids are named in the answer and not kept."""
        by = _by(request)
        deployment = deployment_to_feed(by, name)
        sent = request.data.get("outcomes") if isinstance(request.data, dict) else request.data
        rows = checked(sent if isinstance(sent, list) else [])
        return Response(asdict(actions.feed_outcomes(deployment, rows, by=by)))


class AcknowledgeView(APIView):
    """Taking notice of an alert."""

    @extend_schema(request=NoteSerializer, responses=AlertSerializer)
    def post(self, request: Request, name: str, pk: int) -> Response:
        """With a note; the alert stays open until its cause is gone."""
        by = _by(request)
        sent = NoteSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        alert = actions.acknowledge_alert(alert_for(by, name, pk), note=sent.validated_data["note"], by=by)
        return Response(AlertSerializer(alert).data)


class RetrainView(APIView):
    """A retraining because of an alert."""

    @extend_schema(request=None, responses={202: dict[str, str]})
    def post(self, request: Request, name: str, pk: int) -> Response:
        """Queue it; the answer names the training job."""
        by = _by(request)
        training = actions.ask_for_retraining(alert_for(by, name, pk), by=by)
        return Response({"training": str(training.job.uuid)}, status=202)


def _by(request: Request) -> Principal:
    principal: Principal = request._request.principal  # type: ignore[attr-defined]  # set by PrincipalAuthentication
    return principal
