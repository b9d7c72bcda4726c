"""The API about oneself, people, service accounts and tokens.

Every serializer names its fields; what it does not name cannot be written.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from access import actions, queries
from access.models import ServiceToken, User
from access.permissions import PEOPLE_ONLY, Permission, permissions_of, permit
from access.requests import principal_of
from access.tokens import MAX_MODELS, MAX_NAME, MAX_TOKEN_DAYS

SCOPES = [permission.value for permission in Permission if permission not in PEOPLE_ONLY]


class MeSerializer(serializers.Serializer[Any]):
    """Who the credential stands for, and what it may do over everything."""

    id = serializers.UUIDField()
    username = serializers.CharField()
    display_name = serializers.CharField()
    kind = serializers.ChoiceField(choices=User.Kind.choices)
    via = serializers.CharField(help_text="session, or token:<prefix>")
    groups = serializers.ListField(child=serializers.CharField())
    roles = serializers.ListField(child=serializers.CharField(), help_text="held directly or through a group")
    permissions = serializers.ListField(child=serializers.ChoiceField(choices=[one.value for one in Permission]))
    models = serializers.ListField(
        child=serializers.CharField(),
        allow_null=True,
        help_text="the registered models that the token is for; null: all",
    )


class PersonSerializer(serializers.ModelSerializer[User]):
    """A person as others may know them."""

    id = serializers.UUIDField(source="uuid", read_only=True)
    active = serializers.BooleanField(source="is_active", read_only=True)
    roles = serializers.SerializerMethodField()
    groups = serializers.SerializerMethodField()

    class Meta:
        model = User
        fields = ("id", "username", "display_name", "active", "roles", "groups")
        read_only_fields = fields

    def get_roles(self, user: User) -> list[str]:
        """Names of the roles held directly."""
        return [assignment.role.name for assignment in user.role_assignments.all()]

    def get_groups(self, user: User) -> list[str]:
        """Names of the groups."""
        return [group.name for group in user.groups.all()]


class ServiceAccountSerializer(serializers.ModelSerializer[User]):
    """A service account."""

    id = serializers.UUIDField(source="uuid", read_only=True)
    name = serializers.CharField(source="username", read_only=True)
    owner = serializers.CharField(source="owner.username", read_only=True)
    active = serializers.BooleanField(source="is_active", read_only=True)
    roles = serializers.SerializerMethodField()
    tokens_not_revoked = serializers.IntegerField(source="token_count", read_only=True)

    class Meta:
        model = User
        fields = ("id", "name", "owner", "description", "active", "roles", "tokens_not_revoked")
        read_only_fields = fields

    def get_roles(self, user: User) -> list[str]:
        """Names of the roles held directly."""
        return [assignment.role.name for assignment in user.role_assignments.all()]


class TokenSerializer(serializers.ModelSerializer[ServiceToken]):
    """A token without its secret."""

    state = serializers.SerializerMethodField()
    models = serializers.ListField(source="objects_scope", child=serializers.CharField(), read_only=True)

    class Meta:
        model = ServiceToken
        fields: tuple[str, ...] = (
            "prefix",
            "name",
            "state",
            "scopes",
            "models",
            "created_at",
            "expires_at",
            "last_used_at",
            "revoked_at",
        )
        read_only_fields = fields

    def get_state(self, token: ServiceToken) -> str:
        """active, expired, revoked, or inactive with its account."""
        return token.state(timezone.now())


class NewTokenSerializer(serializers.Serializer[Any]):
    """What to issue."""

    name = serializers.CharField(max_length=MAX_NAME)
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=SCOPES), min_length=1)
    models = serializers.ListField(child=serializers.CharField(max_length=128), max_length=MAX_MODELS, default=list)
    days = serializers.IntegerField(min_value=1, max_value=MAX_TOKEN_DAYS)


class IssuedTokenSerializer(TokenSerializer):
    """A token with its secret, this once."""

    secret = serializers.CharField(read_only=True)

    class Meta(TokenSerializer.Meta):
        fields = (*TokenSerializer.Meta.fields, "secret")
        read_only_fields = fields


class Me(APIView):
    """Who am I?"""

    @extend_schema(responses=MeSerializer)
    def get(self, request: Request) -> Response:
        """Who the credential stands for, and what it may do over everything; grants on single models come on top."""
        by = principal_of(request)
        user: User = request.user  # type: ignore[assignment]  # SignedIn has refused everybody else
        held = permissions_of(user)
        body = {
            "id": user.uuid,
            "username": user.username,
            "display_name": user.display_name,
            "kind": user.kind,
            "via": by.via,
            "groups": list(user.groups.order_by("name").values_list("name", flat=True)),
            "roles": sorted(set(held.values())),
            "permissions": [one.value for one in Permission if one in held and (by.scopes is None or one in by.scopes)],
            "models": sorted(by.models) if by.models is not None else None,
        }
        return Response(MeSerializer(body).data)


class People(generics.ListAPIView[User]):
    """People, by name; needs people.see."""

    serializer_class = PersonSerializer
    queryset = User.objects.none()

    def get_queryset(self) -> QuerySet[User]:
        """Those whom the caller may see."""
        return queries.people(principal_of(self.request), text=self.request.query_params.get("q", ""))


class Person(generics.RetrieveAPIView[User]):
    """One person; needs people.see."""

    serializer_class = PersonSerializer
    queryset = User.objects.none()

    def get_object(self) -> User:
        """The person of the address."""
        return queries.person(self.kwargs["uuid"], principal_of(self.request))


class ServiceAccounts(generics.ListAPIView[User]):
    """Service accounts: all for whoever manages tokens, else one's own."""

    serializer_class = ServiceAccountSerializer
    queryset = User.objects.none()

    def get_queryset(self) -> QuerySet[User]:
        """Those that the caller may see."""
        return queries.accounts(principal_of(self.request))


class Tokens(APIView):
    """The tokens of one service account."""

    @extend_schema(responses=TokenSerializer(many=True))
    def get(self, request: Request, uuid: UUID) -> Response:
        """Every token the account ever had, newest first, without secrets."""
        shown = queries.account(uuid, principal_of(request))
        return Response(TokenSerializer(queries.tokens_of(shown), many=True).data)

    @extend_schema(request=NewTokenSerializer, responses={201: IssuedTokenSerializer})
    def post(self, request: Request, uuid: UUID) -> Response:
        """Issue a token; `secret` is in this answer and never again. Needs tokens.manage."""
        by = principal_of(request)
        shown = queries.account(uuid, by)
        permit(by, Permission.MANAGE_TOKENS)
        wanted = NewTokenSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        fields = wanted.validated_data
        issued = actions.issue_token(
            shown,
            name=fields["name"],
            scopes=[Permission(scope) for scope in fields["scopes"]],
            models=fields["models"],
            days=fields["days"],
            by=by,
        )
        body = {**TokenSerializer(issued.token).data, "secret": issued.secret}
        return Response(body, status=201, headers={"Cache-Control": "no-store"})


class RevokeToken(APIView):
    """The end of one token."""

    @extend_schema(request=None, responses=TokenSerializer)
    def post(self, request: Request, prefix: str) -> Response:
        """Revoke the token; it stops working with this answer. Its account's owner may, and whoever manages tokens."""
        by = principal_of(request)
        return Response(TokenSerializer(actions.revoke_token(queries.token(prefix, by), by=by)).data)
