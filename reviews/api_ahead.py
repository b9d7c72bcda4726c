"""What goes live ahead of or without a new round, over the API: emergencies, and the bounds of retraining."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from access.permissions import Permission, visible_to
from access.principal import Principal
from access.requests import principal_of
from foundation.refusals import NotFound
from registry import queries as registry
from reviews.api_confirming import ProofIn, confirmed
from reviews.api_receipts import ReceiptField
from reviews.break_glass import ask, decline, second
from reviews.envelopes import propose_envelope, sign_envelope, withdraw_envelope
from reviews.models import BreakGlass, EnvelopeSignature, RetrainingEnvelope


class BreakGlassIn(ProofIn):
    """A request for a version to go live ahead of its review."""

    stage = serializers.CharField(default="production")
    reason = serializers.ChoiceField(choices=BreakGlass.Reason.choices)
    text = serializers.CharField(max_length=10_000)
    hours = serializers.IntegerField(min_value=1)


class AnswerIn(ProofIn):
    """The second person's answer; a reason is needed to decline."""

    answer = serializers.ChoiceField(choices=["second", "decline"])
    reason = serializers.CharField(max_length=10_000, default="", allow_blank=True)


class BreakGlassOut(serializers.ModelSerializer[BreakGlass]):
    """A break-glass with its signed statements."""

    model = serializers.CharField(source="version.model.name")
    version = serializers.IntegerField(source="version.number")
    stage = serializers.CharField(source="stage.name")
    previous = serializers.IntegerField(source="previous.number", default=None, allow_null=True)
    review = serializers.UUIDField(source="review.uuid")
    asked_by = serializers.CharField(source="asked_by.username")
    seconded_by = serializers.CharField(
        source="seconded_by.username", default=None, allow_null=True, help_text="who answered"
    )
    receipt = ReceiptField()

    class Meta:
        model = BreakGlass
        fields = (
            *("uuid", "model", "version", "stage", "previous", "review", "reason", "text", "hours", "state"),
            *("asked_by", "asked_at", "asked_statement", "asked_digest", "seconded_by", "seconded_at"),
            *("seconded_statement", "seconded_digest", "ends_at", "ended_at", "receipt"),
        )


class EnvelopeIn(serializers.Serializer[Any]):
    """Proposed bounds; see the guide for their form."""

    stage = serializers.CharField(default="production")
    base = serializers.IntegerField(min_value=1, help_text="number of the approved version that retraining starts from")
    bounds = serializers.DictField()
    why = serializers.CharField(max_length=10_000)
    valid_until = serializers.DateTimeField()


class EnvelopeSignatureIn(ProofIn):
    """A signature under the bounds."""

    slot = serializers.SlugField()
    reason = serializers.CharField(max_length=10_000)


class EnvelopeWithdrawIn(serializers.Serializer[Any]):
    """Why it ends."""

    reason = serializers.CharField(max_length=10_000)


class EnvelopeSignatureOut(serializers.ModelSerializer[EnvelopeSignature]):
    """One signature with its statement."""

    person = serializers.CharField(source="person.username")
    receipt = ReceiptField()

    class Meta:
        model = EnvelopeSignature
        fields = (
            *("uuid", "slot_key", "slot_title", "person", "reason", "statement", "statement_digest", "signed_at"),
            "receipt",
        )


class EnvelopeOut(serializers.ModelSerializer[RetrainingEnvelope]):
    """A retraining envelope with its signatures."""

    model = serializers.CharField(source="model.name")
    stage = serializers.CharField(source="stage.name")
    base = serializers.IntegerField(source="base.number")
    proposed_by = serializers.CharField(source="proposed_by.username")
    signatures = EnvelopeSignatureOut(many=True)

    class Meta:
        model = RetrainingEnvelope
        fields = (
            *("uuid", "model", "stage", "base", "bounds", "digest", "why", "state", "valid_until", "proposed_by"),
            *("proposed_at", "ended_at", "ended_why", "signatures"),
        )


class BreakGlassesView(APIView):
    """Emergencies of one version."""

    @extend_schema(responses=BreakGlassOut(many=True))
    def get(self, request: Request, name: str, number: int) -> Response:
        """All of them, newest first."""
        version = registry.find_version(name, number, principal_of(request))
        return Response(BreakGlassOut(_cases().filter(version=version), many=True).data)

    @extend_schema(request=BreakGlassIn, responses={201: BreakGlassOut})
    def post(self, request: Request, name: str, number: int) -> Response:
        """Ask, confirming in the same request that it is you; nothing moves before a second person has signed."""
        values = _given(BreakGlassIn, request)
        by = principal_of(request)
        version, stage = registry.find_version(name, number, by), registry.find_stage(values["stage"])
        asked = {name: values[name] for name in ("reason", "text", "hours")}
        case = confirmed(values, by, lambda proof: ask(version, stage, **asked, reauthentication=proof, by=by))
        return Response(BreakGlassOut(case).data, status=status.HTTP_201_CREATED)


class BreakGlassAnswerView(APIView):
    """The answer of the second person."""

    @extend_schema(request=AnswerIn, responses={200: BreakGlassOut})
    def post(self, request: Request, uuid: UUID) -> Response:
        """Second it, and the version is live; or decline it."""
        values = _given(AnswerIn, request)
        by = principal_of(request)
        case = visible_to(_cases(), by, Permission.SEE_MODEL, through="version__model").filter(uuid=uuid).first()
        if case is None:
            raise NotFound("There is no such break-glass.")
        if values["answer"] == "second":
            answered = confirmed(values, by, lambda proof: second(case, reauthentication=proof, by=by))
        else:
            answered = confirmed(
                values, by, lambda proof: decline(case, reason=values["reason"], reauthentication=proof, by=by)
            )
        return Response(BreakGlassOut(answered).data)


class EnvelopesView(APIView):
    """Retraining envelopes of a model."""

    @extend_schema(responses=EnvelopeOut(many=True))
    def get(self, request: Request, name: str) -> Response:
        """All of them, newest first."""
        model = registry.find_model(name, principal_of(request))
        return Response(EnvelopeOut(_envelopes().filter(model=model), many=True).data)

    @extend_schema(request=EnvelopeIn, responses={201: EnvelopeOut})
    def post(self, request: Request, name: str) -> Response:
        """Propose bounds; they count once every slot of the policy has signed."""
        values = _given(EnvelopeIn, request)
        by = principal_of(request)
        base = registry.find_version(name, values["base"], by)
        envelope = propose_envelope(
            base.model,
            registry.find_stage(values["stage"]),
            base=base,
            bounds=values["bounds"],
            why=values["why"],
            valid_until=values["valid_until"],
            by=by,
        )
        return Response(EnvelopeOut(envelope).data, status=status.HTTP_201_CREATED)


class EnvelopeSignaturesView(APIView):
    """Signatures under an envelope."""

    @extend_schema(request=EnvelopeSignatureIn, responses={201: EnvelopeSignatureOut})
    def post(self, request: Request, uuid: UUID) -> Response:
        """Sign the bounds in one slot, confirming in the same request that it is you."""
        values = _given(EnvelopeSignatureIn, request)
        by = principal_of(request)
        envelope = _envelope(uuid, by)
        given = confirmed(
            values,
            by,
            lambda proof: sign_envelope(
                envelope, values["slot"], reason=values["reason"], reauthentication=proof, by=by
            ),
        )
        return Response(EnvelopeSignatureOut(given).data, status=status.HTTP_201_CREATED)


class EnvelopeWithdrawView(APIView):
    """Ending an envelope early."""

    @extend_schema(request=EnvelopeWithdrawIn, responses={200: EnvelopeOut})
    def post(self, request: Request, uuid: UUID) -> Response:
        """Nothing more goes live by it."""
        by = principal_of(request)
        values = _given(EnvelopeWithdrawIn, request)
        return Response(EnvelopeOut(withdraw_envelope(_envelope(uuid, by), reason=values["reason"], by=by)).data)


def _cases() -> Any:
    rows = BreakGlass.objects.select_related("version__model", "stage", "previous", "review")
    return rows.select_related("asked_by", "seconded_by")


def _envelopes() -> Any:
    rows = RetrainingEnvelope.objects.select_related("model__owner", "stage", "base", "proposed_by")
    return rows.prefetch_related("signatures__person")


def _envelope(uuid: UUID, by: Principal) -> RetrainingEnvelope:
    found: RetrainingEnvelope | None = (
        visible_to(_envelopes(), by, Permission.SEE_MODEL, through="model").filter(uuid=uuid).first()
    )
    if found is None:
        raise NotFound("There is no such envelope.")
    return found


def _given(form: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    given = form(data=request.data)
    given.is_valid(raise_exception=True)
    return dict(given.validated_data)
