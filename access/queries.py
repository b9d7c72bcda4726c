"""Questions about people that pages and the API ask: each in a fixed number of statements."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from django.contrib.auth.models import Group
from django.db.models import Count, Prefetch, Q, QuerySet

from access.models import Role, RoleAssignment, ServiceToken, User
from access.permissions import Permission, permit, visible_to
from access.principal import Principal
from audit.models import IndexRow
from foundation.refusals import NotFound, Unauthenticated

_ROLES = Prefetch(
    "role_assignments", queryset=RoleAssignment.objects.select_related("role", "team").order_by("role__name", "pk")
)
_GROUPS = Prefetch("groups", queryset=Group.objects.order_by("name"))


def people(
    by: Principal, *, text: str = "", group: Group | None = None, role: Role | None = None, state: str = ""
) -> QuerySet[User]:
    """People with their roles and groups, by name; `state` is `active`, `inactive` or empty for both. Needs `SEE_PEOPLE`."""
    permit(by, Permission.SEE_PEOPLE)
    found = visible_to(User.objects.people(), by, Permission.SEE_PEOPLE)
    if text:
        found = found.filter(Q(username__icontains=text) | Q(display_name__icontains=text))
    if group is not None:
        found = found.filter(groups=group)
    if role is not None:
        found = found.filter(Q(role_assignments__role=role) | Q(groups__role_assignments__role=role))
    if state:
        found = found.filter(is_active=state == "active")
    return found.distinct().order_by("display_name", "username").prefetch_related(_ROLES, _GROUPS)


def person(uuid: UUID, by: Principal) -> User:
    """One person; `NotFound` where there is none."""
    found = people(by).filter(uuid=uuid).first()
    if found is None:
        raise NotFound("There is no such person.")
    return found


def accounts(by: Principal) -> QuerySet[User]:
    """Service accounts with owner, roles and the number of tokens: all for whoever manages tokens, else one's own."""
    if by.user is None:
        raise Unauthenticated("Sign in first, or send a token in the Authorization header.")
    found = User.objects.services()
    if not by.allows(Permission.MANAGE_TOKENS):
        found = found.filter(owner=by.user) if by.user.is_active else found.none()
    unrevoked = Count("tokens", filter=Q(tokens__revoked_at=None))
    return found.select_related("owner").prefetch_related(_ROLES).annotate(token_count=unrevoked).order_by("username")


def account(uuid: UUID, by: Principal) -> User:
    """One service account; `NotFound` where there is none, or none that `by` may see."""
    found = accounts(by).filter(uuid=uuid).first()
    if found is None:
        raise NotFound("There is no such service account, or you may not see it.")
    return found


def tokens_of(user: User) -> QuerySet[ServiceToken]:
    """Every token the account ever had, newest first."""
    return (
        ServiceToken.objects.filter(user=user)
        .select_related("user", "created_by", "revoked_by")
        .order_by("-created_at")
    )


def token(prefix: str, by: Principal) -> ServiceToken:
    """One token by its public prefix; `NotFound` where there is none, or none that `by` may see."""
    found = (
        ServiceToken.objects.filter(prefix=prefix, user__in=accounts(by).values("pk")).select_related("user").first()
    )
    if found is None:
        raise NotFound("There is no such token, or you may not see it.")
    return found


@dataclass(frozen=True)
class Deed:
    """One line of the ledger about what somebody did."""

    at: datetime
    action: str
    obj_kind: str
    outcome: str


def deeds_of(user: User, *, limit: int) -> list[Deed]:
    """The newest entries that name the user as actor, newest first; the ledger's last second may still be missing."""
    rows = IndexRow.objects.filter(actor_id=str(user.uuid)).order_by("-seq")[:limit]
    return [Deed(datetime.fromtimestamp(row.t / 1e6, UTC), row.action, row.obj_kind, row.outcome) for row in rows]
