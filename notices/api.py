"""One's own notifications over the API: list, mark as read, and how one wants to be written to."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from access.models import User
from access.requests import principal_of
from foundation.refusals import Forbidden
from notices import actions, queries
from notices.models import MailPreference, Notification


class NotificationOut(serializers.ModelSerializer[Notification]):
    """Something that one was told; `link` is a path on the portal."""

    class Meta:
        model = Notification
        fields = ("uuid", "event", "kind", "title", "body", "link", "at", "read_at", "mail_state", "mailed_at")


class ReadIn(serializers.Serializer[dict[str, Any]]):
    """Which kind to mark as read; empty means all."""

    kind = serializers.ChoiceField(choices=Notification.Kind.choices, required=False, default="", allow_blank=True)


class ReadOut(serializers.Serializer[dict[str, Any]]):
    """How many were unread before."""

    read = serializers.IntegerField()


class MailPreferenceBody(serializers.Serializer[Any]):
    """How one wants to be written to; the hour is in UTC."""

    mode = serializers.ChoiceField(choices=MailPreference.Mode.choices)
    digest_hour = serializers.IntegerField(min_value=0, max_value=23)


class NotificationsView(ListAPIView[Notification]):
    """What the caller was told, unread first."""

    serializer_class = NotificationOut
    filter_backends = ()
    queryset = Notification.objects.none()

    @extend_schema(
        parameters=[
            OpenApiParameter("kind", str, enum=Notification.Kind.values),
            OpenApiParameter("unread", bool, description="only what was not read"),
        ]
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """The list, in pages."""
        return super().get(request, *args, **kwargs)

    def get_queryset(self) -> Any:
        """The caller's own."""
        rows = queries.seen_by(principal_of(self.request))
        if kind := self.request.query_params.get("kind"):
            rows = rows.filter(kind=kind)
        return rows.unread() if self.request.query_params.get("unread") in {"true", "1"} else rows


class ReadView(APIView):
    """Marking one as read."""

    @extend_schema(request=None, responses=NotificationOut)
    def post(self, request: Request, uuid: UUID) -> Response:
        """Mark one's own notification as read."""
        by = principal_of(request)
        return Response(NotificationOut(actions.mark_read(queries.find_notification(uuid, by), by=by)).data)


class ReadAllView(APIView):
    """Marking all as read."""

    @extend_schema(operation_id="notifications_read_all", request=ReadIn, responses=ReadOut)
    def post(self, request: Request) -> Response:
        """Mark all of one's own notifications, or those of one kind, as read."""
        given = ReadIn(data=request.data)
        given.is_valid(raise_exception=True)
        return Response({"read": actions.mark_all_read(given.validated_data["kind"], by=principal_of(request))})


class PreferenceView(APIView):
    """How one wants to be written to."""

    @extend_schema(responses=MailPreferenceBody)
    def get(self, request: Request) -> Response:
        """What holds now."""
        return Response(MailPreferenceBody(queries.preference_of(_person(request))).data)

    @extend_schema(request=MailPreferenceBody, responses=MailPreferenceBody)
    def put(self, request: Request) -> Response:
        """Choose anew."""
        given = MailPreferenceBody(data=request.data)
        given.is_valid(raise_exception=True)
        kept = actions.set_preference(_person(request), **given.validated_data, by=principal_of(request))
        return Response(MailPreferenceBody(kept).data)


def _person(request: Request) -> User:
    user = principal_of(request).user
    if user is None or not user.is_person:
        raise Forbidden("Mail is written to people; this is a service account.")
    return user
