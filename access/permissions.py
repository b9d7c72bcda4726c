"""Decides who may do what, with the reason; every call to guardian's tables is in this module.

A permission comes from a role (held by the user or by one of their groups, over every object), from a grant on one
registered model, or from owning that model. Nothing else counts: neither `is_superuser` nor `is_staff` is read here, an inactive user
has none, and a token can only narrow what its account may do. Whether something is possible *now* is for gates and lifecycles.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from django.contrib.auth.models import Group
from django.contrib.auth.models import Permission as StoredPermission
from django.db.models import Model, Q, QuerySet, Value
from guardian.models import BaseGenericObjectPermission
from guardian.utils import get_group_obj_perms_model, get_user_obj_perms_model

from access.catalogue import GRANTED_BY_ADMINISTRATORS, OWNER_MAY, PEOPLE_ONLY, SYSTEM, Permission
from access.models import Role, User
from audit.actions import append
from audit.events import Action
from audit.governed import governed
from foundation.refusals import Conflict, Forbidden, Unauthenticated

if TYPE_CHECKING:
    from access.principal import Principal

__all__ = [
    "PEOPLE_ONLY",
    "Grant",
    "Held",
    "Permission",
    "Verdict",
    "grant",
    "grants_of_token",
    "grants_on",
    "people_with",
    "permissions_of",
    "permit",
    "snapshot",
    "somebody_administers",
    "verdict",
    "visible_to",
    "withdraw",
]

_M = TypeVar("_M", bound=Model)


@dataclass(frozen=True)
class Verdict:
    """Whether it is allowed, and why or why not in a sentence."""

    allowed: bool
    reason: str


def verdict(by: Principal, permission: Permission, obj: Model | None = None) -> Verdict:
    """Whether `by` may use `permission` on `obj`: a registered model, or None for everything.

    Reads the tables anew at every call, unless `by` is a `snapshot`, which is for drawing pages.
    """
    if permission.on_models and obj is not None:
        _grant_tables(type(obj))  # refuses objects that cannot carry grants, before anything else is decided
    if by.user is None:
        return _verdict_without_user(by, permission)
    narrowed = _narrowed(by, permission, obj)
    if narrowed:
        return Verdict(False, narrowed)
    held = by.held or _held(by.user)
    if not held.active:
        return Verdict(False, f"{by.name} is deactivated.")
    if not held.person and permission in PEOPLE_ONLY:
        return Verdict(False, f"{by.name} is a service account, and only people may {permission.label}.")
    if permission in held.permissions:
        return Verdict(True, f"The role {held.permissions[permission]} allows it.")
    return _verdict_on_object(by.user, held, permission, obj)


def snapshot(by: Principal) -> Principal:
    """`by` with what they hold read once, for drawing one page that asks many times. `permit`, and so every action, reads anew."""
    return by if by.user is None or by.held is not None else replace(by, held=_held(by.user))


def _verdict_without_user(by: Principal, permission: Permission) -> Verdict:
    if by.is_anonymous:
        return Verdict(False, "Nobody is signed in.")
    if permission not in SYSTEM.get(by.part, ()):
        return Verdict(False, f"The {by.part} process may not {permission.label}.")
    if by.part == "setup" and somebody_administers():
        return Verdict(False, "This installation is set up: people and tokens are managed by its administrators.")
    return Verdict(True, f"The {by.part} process may {permission.label}.")


def _narrowed(by: Principal, permission: Permission, obj: Model | None) -> str:
    """Why the credential does not reach this far, or nothing."""
    if by.scopes is not None and permission not in by.scopes:
        return f"This token does not carry the scope {permission.value}."
    if by.models is None or not (permission.on_models or permission is Permission.CREATE_MODEL):
        return ""
    if obj is None:
        return "This token is for certain models only."
    return "" if str(getattr(obj, "name", "")) in by.models else "This token is for other models."


def _verdict_on_object(user: User, held: Held, permission: Permission, obj: Model | None) -> Verdict:
    if obj is None or not permission.on_models:
        return Verdict(False, f"{user} holds no role that allows it.")
    if permission in OWNER_MAY and getattr(obj, "owner_id", None) == user.pk:
        return Verdict(True, f"{user} owns {obj}.")
    granted = held.grants_on(user, obj)
    if (permission.value, "user") in granted:
        return Verdict(True, f"{user} was granted it on {obj}.")
    if (permission.value, "group") in granted:
        return Verdict(True, f"A group of {user} was granted it on {obj}.")
    return Verdict(False, f"{user} holds no role and no grant on {obj} that allows it.")


def permit(by: Principal, permission: Permission, obj: Model | None = None) -> None:
    """Return when `verdict` allows it; else raise `Forbidden` (or `Unauthenticated`) saying what it takes and who gives it."""
    answer = verdict(replace(by, held=None), permission, obj)
    if answer.allowed:
        return
    if by.is_anonymous:
        raise Unauthenticated("Sign in first, or send a token in the Authorization header.")
    raise Forbidden(f"{answer.reason} {_remedy(by, permission)}", extra={"permission": permission.value})


def _remedy(by: Principal, permission: Permission) -> str:
    """What it takes and who gives it, as a sentence or two."""
    roles = " or ".join(role.name for role in Role.objects.order_by("name") if permission in role.permissions)
    takes = f"To {permission.label} takes the permission {permission.value}"
    takes += f", which comes with the role {roles}." if roles else "."
    if by.scopes is not None and permission not in by.scopes:
        return f"{takes} Ask for a token that carries it."
    administrators = [str(person) for person in people_with(Permission.MANAGE_PEOPLE)[:3]]
    names = f" ({', '.join(administrators)})" if administrators else ""
    return f"{takes} An administrator{names} can give it."


def visible_to(queryset: QuerySet[_M], by: Principal, permission: Permission, *, through: str = "") -> QuerySet[_M]:
    """The rows of `queryset` that `by` may use `permission` on; in one statement, and in agreement with `verdict`.

    `through` is the path from a row to its registered model (`"model"`, `"version__model"`); empty when the rows are models.
    For a permission over everything: all rows or none.
    """
    if not permission.on_models:
        return queryset if verdict(by, permission).allowed else queryset.none()
    if by.user is None or (by.scopes is not None and permission not in by.scopes):
        return queryset.none()
    held = by.held or _held(by.user)
    if not held.active or (not held.person and permission in PEOPLE_ONLY):
        return queryset.none()
    step = f"{through}__" if through else ""
    if by.models is not None:
        queryset = queryset.filter(**{f"{step}name__in": by.models})
    if permission in held.permissions:
        return queryset
    return queryset.filter(_granted(by.user, permission, _model_at(queryset.model, through), step))


def _granted(user: User, permission: Permission, model: type[Model], step: str) -> Q:
    """The condition on rows whose registered model carries a grant for the user or a group of theirs, or is theirs."""
    users, groups = _grant_tables(model)
    mine = _grants(users, permission).filter(user=user).values("content_object")
    ours = _grants(groups, permission).filter(group__user=user).values("content_object")
    condition = Q(**{f"{step}pk__in": mine}) | Q(**{f"{step}pk__in": ours})
    return condition | Q(**{f"{step}owner": user}) if permission in OWNER_MAY else condition


def _model_at(model: type[Model], path: str) -> type[Model]:
    """The model class that a `__` path of relations leads to."""
    for step in filter(None, path.split("__")):
        related = model._meta.get_field(step).related_model
        if not isinstance(related, type):
            raise TypeError(f"{model.__name__}.{step} leads to no model.")
        model = related
    return model


@governed(Action.ACCESS_GRANT)
def grant(model: Model, permission: Permission, *, to: User | Group, by: Principal) -> None:
    """Let one user or group use `permission` on one registered model. Granting twice is granting once."""
    _permit_granting(model, permission, to, by)
    table, holder = _table_for(model, to)
    _, created = table._default_manager.get_or_create(
        permission=_stored(model, permission), content_object=model, **holder
    )
    if created:
        append(
            Action.ACCESS_GRANT, by=by, obj=_ref(model), after={"permission": permission.value, "holder": _holder(to)}
        )


@governed(Action.ACCESS_WITHDRAW)
def withdraw(model: Model, permission: Permission, *, to: User | Group, by: Principal) -> None:
    """Take back what `grant` gave; the next call of `verdict` knows. A grant that is not there is a `Conflict`."""
    _permit_managing(model, permission, by)
    table, holder = _table_for(model, to)
    deleted, _ = table._default_manager.filter(
        permission=_stored(model, permission), content_object=model, **holder
    ).delete()
    if not deleted:
        raise Conflict(
            f"{to} was not granted {permission.value} on {model}; there is nothing to withdraw.", code="no-such-grant"
        )
    append(
        Action.ACCESS_WITHDRAW, by=by, obj=_ref(model), before={"permission": permission.value, "holder": _holder(to)}
    )


def _permit_granting(model: Model, permission: Permission, to: User | Group, by: Principal) -> None:
    _permit_managing(model, permission, by)
    if by.user is not None and _includes(to, by.user):
        raise Conflict(
            f"Nobody grants a permission to themselves or to a group they are in. Ask somebody else who manages {model}.",
            code="own-access",
        )
    if isinstance(to, User):
        to = User.objects.locked(to.pk)
        if not to.is_active:
            raise Conflict(f"{to} is deactivated; reactivate the account first.", code="inactive")
        if not to.is_person and permission in PEOPLE_ONLY:
            raise Conflict(f"{to} is a service account, and only people may {permission.label}.", code="people-only")


def _permit_managing(model: Model, permission: Permission, by: Principal) -> None:
    if not permission.on_models:
        raise Conflict(
            f"{permission.value} is not a permission on a model; it comes with a role.", code="not-on-models"
        )
    _grant_tables(type(model))
    if verdict(by, Permission.MANAGE_PEOPLE).allowed:
        return
    if permission in GRANTED_BY_ADMINISTRATORS:
        permit(by, Permission.MANAGE_PEOPLE)
    permit(by, Permission.MANAGE_ACCESS, model)


def _includes(holder: User | Group, user: User) -> bool:
    if isinstance(holder, User):
        return user.pk in {holder.pk, holder.owner_id}
    return holder.user_set.filter(pk=user.pk).exists()


def people_with(permission: Permission, obj: Model | None = None) -> QuerySet[User]:
    """Active people who may use `permission` on `obj` (or on everything), through a role, a grant or ownership; by username."""
    roles = [role.pk for role in Role.objects.all() if permission in role.permissions]
    holds = Q(role_assignments__role__in=roles) | Q(groups__role_assignments__role__in=roles)
    if obj is not None and permission.on_models:
        users, groups = _grant_tables(type(obj))
        holds |= Q(pk__in=_grants(users, permission).filter(content_object=obj).values("user"))
        holds |= Q(groups__in=_grants(groups, permission).filter(content_object=obj).values("group"))
        if permission in OWNER_MAY:
            holds |= Q(pk=getattr(obj, "owner_id", None))
    return User.objects.people().active().filter(holds).distinct().order_by("username")


def somebody_administers() -> bool:
    """Whether any active person may manage people; until then, setup may."""
    return people_with(Permission.MANAGE_PEOPLE).exists()


@dataclass(frozen=True)
class Grant:
    """One permission on one registered model, as it stands in the tables."""

    permission: Permission
    holder: User | Group


def grants_on(model: Model) -> list[Grant]:
    """Every grant on one registered model, users first; a fixed number of statements."""
    users, groups = _grant_tables(type(model))
    rows = users._default_manager.filter(content_object=model).select_related("user", "permission")
    group_rows = groups._default_manager.filter(content_object=model).select_related("group", "permission")
    return [Grant(Permission(row.permission.codename), row.user) for row in rows] + [
        Grant(Permission(row.permission.codename), row.group) for row in group_rows
    ]


def grants_of_token(model: type[Model], prefix: str) -> tuple[QuerySet[Any, Any], QuerySet[Any, Any]]:
    """Every grant on models of this class that a token's account holds, by itself and by its groups: to see whether any changed."""
    users, groups = _grant_tables(model)
    shown = ("permission", "content_object")
    own = users._default_manager.filter(user__tokens__prefix=prefix)
    ours = groups._default_manager.filter(group__user__tokens__prefix=prefix)
    return own.order_by("pk").values_list(*shown), ours.order_by("pk").values_list(*shown)


@dataclass(frozen=True)
class Held:
    """What a user's roles give: each permission with the name of one role that gives it; and the grants on objects asked about."""

    active: bool
    person: bool
    permissions: dict[Permission, str]
    _grants: dict[tuple[type[Model], Any], frozenset[tuple[str, str]]] = field(default_factory=dict, compare=False)

    def grants_on(self, user: User, obj: Model) -> frozenset[tuple[str, str]]:
        """What `user` was granted on `obj`: pairs of a permission's value and `user` or `group`; one statement an object."""
        key = (type(obj), obj.pk)
        if key not in self._grants:
            users, groups = _grant_tables(type(obj))
            own = users._default_manager.filter(user=user, content_object=obj).values_list(
                "permission__codename", Value("user")
            )
            ours = groups._default_manager.filter(group__user=user, content_object=obj).values_list(
                "permission__codename", Value("group")
            )
            self._grants[key] = frozenset(own.union(ours))
        return self._grants[key]


def permissions_of(user: User) -> dict[Permission, str]:
    """What the user may do over everything, with the role that gives it; empty when deactivated."""
    held = _held(user)
    if not held.active:
        return {}
    return {one: role for one, role in held.permissions.items() if held.person or one not in PEOPLE_ONLY}


def _held(user: User) -> Held:
    """Read anew from the tables, since `user` may have been loaded before something was withdrawn; one statement."""
    rows = list(
        User.objects.filter(pk=user.pk).values_list(
            "is_active",
            "kind",
            "role_assignments__role__name",
            "role_assignments__role__permissions",
            "groups__role_assignments__role__name",
            "groups__role_assignments__role__permissions",
        )
    )
    if not rows:
        return Held(active=False, person=False, permissions={})
    active, kind, *_ = rows[0]
    return Held(active, kind == User.Kind.PERSON, dict(_role_permissions(rows)))


def _role_permissions(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Permission, str]]:
    known = set(Permission)
    for _, _, own, own_values, of_group, group_values in rows:
        for name, values in ((own, own_values), (of_group, group_values)):
            # A value that this release does not know (a role written by a newer one) gives nothing.
            yield from ((Permission(value), name) for value in values or () if value in known)


def _grant_tables(model: type[Model]) -> tuple[type[Any], type[Any]]:
    """The tables of user and group grants of a model class; they have a direct foreign key, or `TypeError` is raised.

    Generic rows would survive the object, and a new object with its key would inherit them.
    """
    # guardian accepts a class as well as an object; its annotation names the object only.
    users: type[Model] = get_user_obj_perms_model(model)  # type: ignore[arg-type]
    groups: type[Model] = get_group_obj_perms_model(model)  # type: ignore[arg-type]
    if issubclass(users, BaseGenericObjectPermission) or issubclass(groups, BaseGenericObjectPermission):
        raise TypeError(f"{model.__name__} carries no grants: ask about the registered model that it belongs to.")
    return users, groups


def _grants(table: type[Any], permission: Permission) -> QuerySet[Any]:
    rows: QuerySet[Any] = table._default_manager.filter(permission__codename=permission.value)
    return rows


def _table_for(model: Model, to: User | Group) -> tuple[type[Any], dict[str, Any]]:
    users, groups = _grant_tables(type(model))
    return (users, {"user": to}) if isinstance(to, User) else (groups, {"group": to})


def _stored(model: Model, permission: Permission) -> StoredPermission:
    return StoredPermission.objects.get(
        content_type__app_label=model._meta.app_label,
        content_type__model=model._meta.model_name,
        codename=permission.value,
    )


def _holder(holder: User | Group) -> str:
    return f"{holder.kind}:{holder.uuid}" if isinstance(holder, User) else f"group:{holder.name}"


def _ref(model: Any) -> Any:
    return model.ledger_ref()
