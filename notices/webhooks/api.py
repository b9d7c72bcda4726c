"""Webhooks over the API: make, change, delete and test them, read the delivery log, send again."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from access.principal import Principal
from access.requests import principal_of
from notices.models import Delivery, Webhook
from notices.webhooks import actions, queries
from notices.webhooks.events import Event
from notices.webhooks.forms import LogFilter

EVENTS = [(str(one), one.sentence) for one in Event]


class WebhookOut(serializers.ModelSerializer[Webhook]):
    """A webhook; `url` is whole for its owner alone. `secret` stands only in the answer that made or changed it here."""

    url = serializers.SerializerMethodField()
    owner = serializers.CharField(source="owner.username")
    signed = serializers.SerializerMethodField()
    models = serializers.ListField(source="model_names", child=serializers.CharField())
    events = serializers.ListField(child=serializers.ChoiceField(choices=EVENTS))
    waiting = serializers.IntegerField()
    given_up = serializers.IntegerField()
    last_delivered = serializers.DateTimeField(allow_null=True)

    class Meta:
        model = Webhook
        fields = (
            "uuid",
            "name",
            "description",
            "url",
            "events",
            "models",
            "state",
            "signed",
            "owner",
            "created_at",
            "updated_at",
            "paused_at",
            "waiting",
            "given_up",
            "last_delivered",
        )

    def get_url(self, webhook: Webhook) -> str:
        """The address, or its host."""
        return queries.shown_url(webhook, self.context["by"])

    def get_signed(self, webhook: Webhook) -> bool:
        """Whether deliveries are signed."""
        return bool(webhook.secret)


class WebhookMade(WebhookOut):
    """The same with the secret, which no later answer shows."""

    secret = serializers.SerializerMethodField()

    class Meta(WebhookOut.Meta):
        fields = (*WebhookOut.Meta.fields, "secret")  # type: ignore[assignment]  # one field more is the point

    def get_secret(self, webhook: Webhook) -> str:
        """The secret that was made or given."""
        secret: str = self.context["secret"]
        return secret


class WebhookIn(serializers.Serializer[dict[str, Any]]):
    """A webhook to be made. Without a `secret` one is made, and answered once."""

    name = serializers.CharField(max_length=63)
    url = serializers.CharField(max_length=1_000)
    events = serializers.ListField(child=serializers.ChoiceField(choices=EVENTS), min_length=1)
    models = serializers.ListField(child=serializers.CharField(max_length=200), required=False, max_length=100)
    description = serializers.CharField(max_length=1_000, required=False, allow_blank=True)
    secret = serializers.CharField(max_length=1_000, required=False, min_length=16, write_only=True)
    on = serializers.BooleanField(required=False)

    def wanted(self) -> dict[str, Any]:
        """What was sent, as the actions take it."""
        found = dict(self.validated_data)
        if "models" in found:
            found["model_names"] = found.pop("models")
        return found


class TestIn(serializers.Serializer[dict[str, Any]]):
    """Which event to send an example of; by default the first that the webhook wants."""

    event = serializers.ChoiceField(choices=EVENTS, required=False)


class DeliveryOut(serializers.ModelSerializer[Delivery]):
    """A line of the delivery log; `body` is null for who may not see the model that it names."""

    body = serializers.SerializerMethodField()
    event = serializers.ChoiceField(choices=EVENTS)

    class Meta:
        model = Delivery
        fields = (
            "uuid",
            "event",
            "test",
            "at",
            "state",
            "attempts",
            "not_before",
            "last_try_at",
            "last_status",
            "last_error",
            "last_milliseconds",
            "body",
        )

    def get_body(self, delivery: Delivery) -> str | None:
        """What is sent, byte for byte."""
        return delivery.body if queries.may_read(delivery, self.context["by"]) else None


class WebhooksView(ListAPIView[Webhook]):
    """All webhooks."""

    serializer_class = WebhookOut
    filter_backends = ()
    queryset = Webhook.objects.none()

    def get_queryset(self) -> Any:
        """All, for who looks after them."""
        return queries.webhooks(principal_of(self.request))

    def get_serializer_context(self) -> dict[str, Any]:
        """Who asks."""
        return {**super().get_serializer_context(), "by": principal_of(self.request)}

    @extend_schema(request=WebhookIn, responses={201: WebhookMade})
    def post(self, request: Request) -> Response:
        """Make a webhook in the name of the caller."""
        by = principal_of(request)
        given = WebhookIn(data=request.data)
        given.is_valid(raise_exception=True)
        wanted = {"secret": actions.new_secret(), **given.wanted()}
        made = actions.create_webhook(**wanted, by=by)
        return Response(_shown(made.uuid, by, wanted["secret"]), status=status.HTTP_201_CREATED)


class WebhookView(APIView):
    """One webhook."""

    @extend_schema(responses=WebhookOut)
    def get(self, request: Request, uuid: UUID) -> Response:
        """One webhook."""
        return Response(_shown(uuid, principal_of(request)))

    @extend_schema(request=WebhookIn(partial=True), responses=WebhookOut)
    def patch(self, request: Request, uuid: UUID) -> Response:
        """Change what is sent; `on` switches it on and off."""
        by = principal_of(request)
        given = WebhookIn(data=request.data, partial=True)
        given.is_valid(raise_exception=True)
        actions.update_webhook(queries.find_webhook(uuid, by), **given.wanted(), by=by)
        return Response(_shown(uuid, by))

    @extend_schema(responses={204: None})
    def delete(self, request: Request, uuid: UUID) -> Response:
        """Delete it, with its secret and its log."""
        by = principal_of(request)
        actions.delete_webhook(queries.find_webhook(uuid, by), by=by)
        return Response(status=status.HTTP_204_NO_CONTENT)


class TestView(APIView):
    """Sending an example."""

    @extend_schema(request=TestIn, responses=DeliveryOut)
    def post(self, request: Request, uuid: UUID) -> Response:
        """Send an example now, once, and answer what became of it."""
        by = principal_of(request)
        given = TestIn(data=request.data)
        given.is_valid(raise_exception=True)
        event = given.validated_data.get("event")
        tried, _ = actions.send_example(queries.find_webhook(uuid, by), Event(event) if event else None, by=by)
        return Response(DeliveryOut(tried, context={"by": by}).data)


class DeliveriesView(ListAPIView[Delivery]):
    """The delivery log of one webhook."""

    serializer_class = DeliveryOut
    filter_backends = ()
    queryset = Delivery.objects.none()

    @extend_schema(
        parameters=[
            OpenApiParameter("state", str, enum=Delivery.State.values),
            OpenApiParameter("event", str, enum=[str(one) for one in Event]),
        ]
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """The log, newest first, in pages."""
        return super().get(request, *args, **kwargs)

    def get_queryset(self) -> Any:
        """Of one webhook."""
        webhook = queries.find_webhook(self.kwargs["uuid"], principal_of(self.request))
        form = LogFilter(self.request.query_params)
        return queries.deliveries(webhook, **(form.cleaned_data if form.is_valid() else {}))

    def get_serializer_context(self) -> dict[str, Any]:
        """Who asks."""
        return {**super().get_serializer_context(), "by": principal_of(self.request)}


class RedeliverView(APIView):
    """Sending a delivery again."""

    @extend_schema(request=None, responses=DeliveryOut)
    def post(self, request: Request, uuid: UUID, delivery: UUID) -> Response:
        """Send it once more, the same bytes under the same id."""
        by = principal_of(request)
        found = queries.find_delivery(queries.find_webhook(uuid, by), delivery)
        return Response(DeliveryOut(actions.redeliver(found, by=by), context={"by": by}).data)


def _shown(uuid: UUID, by: Principal, secret: str = "") -> Any:
    found = queries.find_webhook(uuid, by)
    if secret:
        return WebhookMade(found, context={"by": by, "secret": secret}).data
    return WebhookOut(found, context={"by": by}).data
