"""Delegations, exceptions and asking for stale signatures again, over the API."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import Q
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from access.models import User
from access.permissions import Permission, visible_to
from access.requests import principal_of
from foundation.refusals import Invalid, NotFound
from reviews.actions import (
    end_delegation,
    give_delegation,
    grant_exception,
    request_again,
    withdraw_exception,
)
from reviews.api_confirming import ProofIn, confirmed
from reviews.api_receipts import ReceiptField
from reviews.models import Delegation, GateException, Review


class DelegationOut(serializers.ModelSerializer[Delegation]):
    """That one person may sign for another in one capacity."""

    delegator = serializers.CharField(source="delegator.username")
    delegate = serializers.CharField(source="delegate.username")
    group = serializers.CharField(source="group.name")

    class Meta:
        model = Delegation
        fields = ("uuid", "delegator", "delegate", "group", "reason", "starts_at", "ends_at", "ended_at")


class DelegationIn(serializers.Serializer[Any]):
    """A delegation of one's own membership: at most 90 days, from now on or later."""

    delegate = serializers.CharField(max_length=150, help_text="user name")
    group = serializers.CharField(max_length=150)
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    reason = serializers.CharField(max_length=1_000)


class ExceptionOut(serializers.ModelSerializer[GateException]):
    """One exception with the signed statement (DSSE) that carries it."""

    gate = serializers.CharField(source="gate_key")
    slot = serializers.CharField(source="slot.key")
    person = serializers.CharField(source="person.username")
    round = serializers.IntegerField(source="round.number")
    receipt = ReceiptField()

    class Meta:
        model = GateException
        fields = (
            "uuid",
            "round",
            "gate",
            "slot",
            "person",
            "reason",
            "compensating_control",
            "ends_at",
            "signed_at",
            "withdrawn_at",
            "withdrawn_why",
            "statement_digest",
            "statement",
            "receipt",
        )


class ExceptionIn(ProofIn):
    """An exception of a gate that fails now, in the review's current round."""

    gate = serializers.SlugField()
    reason = serializers.CharField(max_length=10_000)
    compensating_control = serializers.CharField(max_length=10_000)
    ends_at = serializers.DateTimeField()
    expected_subject = serializers.CharField(max_length=64)


class WhyIn(serializers.Serializer[Any]):
    """Why it is taken back."""

    reason = serializers.CharField(max_length=10_000)


class AskedOut(serializers.Serializer[Any]):
    """Who was asked to sign anew, by user name."""

    asked = serializers.ListField(child=serializers.CharField())


class DelegationsView(ListAPIView[Delegation]):
    """Delegations that name the caller, newest first."""

    serializer_class = DelegationOut
    filter_backends = ()
    queryset = Delegation.objects.none()

    def get_queryset(self) -> Any:
        """Given and held ones."""
        user = principal_of(self.request).user
        rows = Delegation.objects.select_related("delegator", "delegate", "group")
        return rows.filter(Q(delegator=user) | Q(delegate=user)) if user else rows.none()

    @extend_schema(request=DelegationIn, responses={201: DelegationOut})
    def post(self, request: Request) -> Response:
        """Let somebody sign for the caller, who has to be a member of the group."""
        values = _given(DelegationIn, request)
        delegate = User.objects.filter(username=values["delegate"]).first()
        if delegate is None:
            raise Invalid("There is no such person.", errors={"delegate": "There is no such person."})
        given = give_delegation(
            delegate,
            group=values["group"],
            starts_at=values["starts_at"],
            ends_at=values["ends_at"],
            reason=values["reason"],
            by=principal_of(request),
        )
        return Response(DelegationOut(given).data, status=status.HTTP_201_CREATED)


class DelegationEndView(APIView):
    """Ending a delegation."""

    @extend_schema(request=None, responses=DelegationOut)
    def post(self, request: Request, uuid: UUID) -> Response:
        """Take it back, or hand it back."""
        by = principal_of(request)
        found = (
            Delegation.objects.filter(Q(delegator=by.user) | Q(delegate=by.user), uuid=uuid).first()
            if by.user
            else None
        )
        if found is None:
            raise NotFound("There is no such delegation that names you.")
        return Response(DelegationOut(end_delegation(found, by=by)).data)


class ExceptionsView(APIView):
    """Exceptions of a review's gates."""

    @extend_schema(responses=ExceptionOut(many=True))
    def get(self, request: Request, uuid: UUID) -> Response:
        """All of them, oldest first."""
        rows = GateException.objects.filter(round__review=_review(uuid, request))
        return Response(ExceptionOut(rows.select_related("round", "slot", "person"), many=True).data)

    @extend_schema(request=ExceptionIn, responses={201: ExceptionOut})
    def post(self, request: Request, uuid: UUID) -> Response:
        """Except a gate, confirming in the same request that it is you."""
        values = _given(ExceptionIn, request)
        by = principal_of(request)
        review = _review(uuid, request)
        given = confirmed(
            values,
            by,
            lambda proof: grant_exception(
                review.current_round,
                values["gate"],
                reason=values["reason"],
                compensating_control=values["compensating_control"],
                ends_at=values["ends_at"],
                reauthentication=proof,
                expected_subject=values["expected_subject"],
                by=by,
            ),
        )
        return Response(ExceptionOut(given).data, status=status.HTTP_201_CREATED)


class ExceptionWithdrawView(APIView):
    """Taking one's own exception back."""

    @extend_schema(request=WhyIn, responses=ExceptionOut)
    def post(self, request: Request, uuid: UUID) -> Response:
        """The gate blocks again; the exception stays in the record."""
        rows = GateException.objects.select_related("round__review__version__model", "slot", "person")
        by = principal_of(request)
        seen = visible_to(rows, by, Permission.SEE_MODEL, through="round__review__version__model")
        found = seen.filter(uuid=uuid).first()
        if found is None:
            raise NotFound("There is no such exception that you may see.")
        return Response(ExceptionOut(withdraw_exception(found, reason=_given(WhyIn, request)["reason"], by=by)).data)


class SignAgainView(APIView):
    """Stale signatures of a review."""

    @extend_schema(request=None, responses=AskedOut)
    def post(self, request: Request, uuid: UUID) -> Response:
        """Tell everybody whose signature no longer covers what is there."""
        people = request_again(_review(uuid, request).current_round, by=principal_of(request))
        return Response({"asked": [person.username for person in people]})


def _given(form: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    given = form(data=request.data)
    given.is_valid(raise_exception=True)
    return dict(given.validated_data)


def _review(uuid: UUID, request: Request) -> Review:
    rows = Review.objects.select_related("version__model", "stage", "requested_by")
    seen = visible_to(rows, principal_of(request), Permission.SEE_MODEL, through="version__model")
    found = seen.filter(uuid=uuid).first()
    if found is None:
        raise NotFound("There is no such review that you may see.")
    return found
