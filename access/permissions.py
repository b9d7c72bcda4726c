"""Decides who may do what, with the reason; every call to guardian's tables is in this module.

A permission comes from a role (held by the user or by one of their groups, over everything or on the models of one team), from a
grant on one registered model, or from owning that model. Nothing else counts: neither `is_superuser` nor `is_staff` is read here, an
inactive user has none, and a token can only narrow what its account may do. Access policies (`access.entry`) narrow seeing, pulling and
scoring for whoever holds the permission. Whether something is possible *now* is for gates and lifecycles.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from django.apps import apps
from django.contrib.auth.models import Group
from django.contrib.auth.models import Permission as StoredPermission
from django.db.models import Model, Q, QuerySet, Value
from guardian.models import BaseGenericObjectPermission, GroupObjectPermissionBase, UserObjectPermissionBase
from guardian.utils import get_group_obj_perms_model, get_user_obj_perms_model

from access.catalogue import GRANTED_BY_ADMINISTRATORS, OWNER_GIVES, OWNER_MAY, PEOPLE_ONLY, SYSTEM, Permission
from access.entry import asking
from access.entry.asking import GOVERNED
from access.entry.deciding import Decision
from access.holders import holder_fields, holder_ref, is_part_of
from access.models import Role, RoleAssignment, User
from audit.actions import append
from audit.events import Action
from audit.governed import governed
from foundation.refusals import Conflict, Forbidden, NotFound, Refusal, Unauthenticated

if TYPE_CHECKING:
    from access.principal import Principal

__all__ = [
    "PEOPLE_ONLY",
    "Grant",
    "Held",
    "Permission",
    "Verdict",
    "absent_or_kept_out",
    "grant",
    "grants_held_by",
    "grants_of_token",
    "grants_on",
    "holding",
    "may_give",
    "people_with",
    "permissions_of",
    "permit",
    "permit_at",
    "permit_giving",
    "snapshot",
    "somebody_administers",
    "verdict",
    "visible_to",
    "withdraw",
]

_M = TypeVar("_M", bound=Model)
_KNOWN: Final = frozenset(one.value for one in Permission)
_OF_ASSIGNMENT: Final = ("role__name", "role__permissions", "role__gives", "team")


@dataclass(frozen=True)
class Verdict:
    """Whether it is allowed, and why or why not in a sentence."""

    allowed: bool
    reason: str
    policies: Decision | None = None
    """What the access policies decided, where they refuse somebody who holds the permission."""


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
        answer = Verdict(True, f"The role {held.permissions[permission]} allows it.")
    else:
        answer = _verdict_on_object(by.user, held, permission, obj)
    return _on_terms(answer, by, held, permission, obj) if answer.allowed and permission in GOVERNED else answer


def _on_terms(answer: Verdict, by: Principal, held: Held, permission: Permission, obj: Model | None) -> Verdict:
    """`answer`, unless the access policies in force keep `by` out; over everything, unless they keep `by` from any model."""
    if obj is None:
        some = "An access policy keeps some models from you, and this is about all of them."
        return answer if asking.everywhere(by, held, permission) else Verdict(False, some)
    decision = asking.decide(by, held, permission, obj)
    return answer if decision.allowed else Verdict(False, decision.sentence, decision)


def permit_at(by: Principal, permission: Permission, obj: Model, stage: str) -> None:
    """Return when the access policies let `by`, who holds the permission, use it at this stage; else raise the refusal."""
    if by.user is None:
        return
    decision = asking.decide(by, by.held or _held(by.user), permission, obj, stage=stage)
    if not decision.allowed:
        raise _kept_out(decision, permission)


def absent_or_kept_out(found: Model | None, by: Principal, permission: Permission, absent: NotFound) -> Refusal:
    """What to raise where `visible_to` left out `found`, a registered model that there is (None: there is none).

    Whoever is kept out by an access policy, and may know, is told the rule: who holds the permission and could come again under other
    circumstances, or may see the model anyway. For others it is as if it were absent, and only the record has the rule.
    """
    decision = verdict(replace(by, held=None), permission, found).policies if found is not None else None
    if found is None or decision is None or by.user is None:
        return absent
    held = _held(by.user)
    may_know = asking.decide_on_other_terms(by, held, permission, found).allowed or (
        permission is not Permission.SEE_MODEL and verdict(by, Permission.SEE_MODEL, found).allowed
    )
    if may_know:
        return _kept_out(decision, permission)
    absent.rule = decision.rule
    return absent


def _kept_out(decision: Decision, permission: Permission) -> Forbidden:
    return Forbidden(
        f"An access policy keeps you from this: {decision.sentence}",
        code="access-policy",
        title="Not on these terms",
        rule=decision.rule,
        extra={"permission": permission.value, "rule": decision.rule, "satisfy": decision.satisfy},
    )


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
    role = held.on_team(getattr(obj, "team_id", None), permission)
    if role:
        return Verdict(True, f"The role {role} allows it on the models of the team that {obj} belongs to.")
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
    if answer.policies is not None:
        raise _kept_out(answer.policies, permission)
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
    held = by.held or (_held(by.user) if by.user is not None else None)
    if held is None:
        return queryset.none()
    queryset = holding(queryset, replace(by, held=held), permission, through=through)
    terms = (
        asking.condition(by, held, permission, f"{through}__" if through else "") if permission in GOVERNED else None
    )
    return queryset if terms is None else queryset.filter(terms)


def holding(queryset: QuerySet[_M], by: Principal, permission: Permission, *, through: str = "") -> QuerySet[_M]:
    """The rows on whose registered model `by` holds `permission`, whatever the access policies say of it; see `visible_to`."""
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
    return queryset.filter(_granted(by.user, held, permission, _model_at(queryset.model, through), step))


def _granted(user: User, held: Held, permission: Permission, model: type[Model], step: str) -> Q:
    """The condition on rows whose registered model carries a grant for the user or a group of theirs, is theirs, or a team's of theirs."""
    users, groups = _grant_tables(model)
    mine = _grants(users, permission).filter(user=user).values("content_object")
    ours = _grants(groups, permission).filter(group__user=user).values("content_object")
    condition = Q(**{f"{step}pk__in": mine}) | Q(**{f"{step}pk__in": ours})
    teams = held.teams_with(permission)
    if teams:
        condition |= Q(**{f"{step}team__in": teams})
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
    from access.duties import keeping_duties_apart, members_of  # which asks this module who holds what

    _permit_granting(model, permission, to, by)
    table, holder = _table_for(model, to)
    with keeping_duties_apart(members_of(to)):
        _, created = table._default_manager.get_or_create(
            permission=_stored(model, permission), content_object=model, **holder
        )
    if created:
        append(
            Action.ACCESS_GRANT,
            by=by,
            obj=_ref(model),
            after={"permission": permission.value, "holder": holder_ref(to)},
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
        Action.ACCESS_WITHDRAW,
        by=by,
        obj=_ref(model),
        before={"permission": permission.value, "holder": holder_ref(to)},
    )


def may_give(by: Principal, permission: Permission, on: Model | Group | None = None) -> bool:
    """Whether `by` may give `permission` to others: over everything (None), on the models of a team (a group) or on one model.

    Nobody gives what they neither hold as far as that nor were trusted to give: by a role that says so (`Role.gives`), or by owning
    the model (`OWNER_GIVES`). Being trusted to give something is no right to use it. Whether they manage access at all is asked apart.
    """
    if by.user is None:
        return True  # a part of the installation: `permit` has asked whether it manages people
    held = by.held or _held(by.user)
    if not held.active:
        return False
    if permission in held.permissions or permission in held.gives:
        return True
    if on is None or not permission.on_models:
        return False
    team = on.pk if isinstance(on, Group) else getattr(on, "team_id", None)
    if held.on_team(team, permission) or permission in held.gives_on_team.get(team, ()):
        return True
    if isinstance(on, Group):
        return False
    if getattr(on, "owner_id", None) == by.user.pk and permission in OWNER_GIVES:
        return True
    return any(value == permission.value for value, _ in held.grants_on(by.user, on))


def permit_giving(by: Principal, permissions: Iterable[Permission], on: Model | Group | None = None) -> None:
    """Return when `may_give` says yes to each of them; else raise `Forbidden` naming the first that is not theirs to give."""
    giver = snapshot(replace(by, held=None))
    for permission in permissions:
        if not may_give(giver, permission, on):
            where = (
                f" on the models of {on.name}" if isinstance(on, Group) else f" on {on}" if on else " over everything"
            )
            raise Forbidden(
                f"{by.name} may not give {permission.value}{where}: nobody gives what they neither hold nor are trusted to give. "
                f"{_who_gives(permission)}",
                code="not-yours-to-give",
                extra={"permission": permission.value},
            )


def _who_gives(permission: Permission) -> str:
    roles = [role.name for role in Role.objects.order_by("name") if permission in (*role.permissions, *role.gives)]
    return f"Who manages people and holds the role {' or '.join(roles)} can." if roles else "No role gives it yet."


def _permit_granting(model: Model, permission: Permission, to: User | Group, by: Principal) -> None:
    _permit_managing(model, permission, by)
    permit_giving(by, [permission], model)
    if by.user is not None and is_part_of(by.user, to):
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


def people_with(permission: Permission, obj: Model | None = None) -> QuerySet[User]:
    """Active people who may use `permission` on `obj` (or on everything), through a role, a grant or ownership; by username."""
    roles = [role.pk for role in Role.objects.all() if permission in role.permissions]
    team = getattr(obj, "team_id", None) if permission.on_models else None
    reach = Q(team=None) | Q(team=team) if team is not None else Q(team=None)
    assignments = RoleAssignment.objects.filter(reach, role__in=roles).values("pk")
    holds = Q(role_assignments__in=assignments) | Q(groups__role_assignments__in=assignments)
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


def grants_held_by(holder: User | Group) -> QuerySet[Any]:
    """The grants of one user (without those of their groups) or of one group: rows with `permission` and `content_object`."""
    of, field_name = (
        (UserObjectPermissionBase, "user") if isinstance(holder, User) else (GroupObjectPermissionBase, "group")
    )
    table = next(
        one for one in apps.get_models() if issubclass(one, of) and not issubclass(one, BaseGenericObjectPermission)
    )
    rows: QuerySet[Any] = table._default_manager.filter(**{field_name: holder})
    return rows.select_related("permission", "content_object").order_by("content_object__name", "permission__codename")


def grants_of_token(model: type[Model], prefix: str) -> tuple[QuerySet[Any, Any], QuerySet[Any, Any]]:
    """Every grant on models of this class that a token's account holds, by itself and by its groups: to see whether any changed."""
    users, groups = _grant_tables(model)
    shown = ("permission", "content_object")
    own = users._default_manager.filter(user__tokens__prefix=prefix)
    ours = groups._default_manager.filter(group__user__tokens__prefix=prefix)
    return own.order_by("pk").values_list(*shown), ours.order_by("pk").values_list(*shown)


@dataclass(frozen=True)
class Held:
    """What a user's roles give: each permission with the name of one role that gives it; and the grants on objects asked about.

    `permissions` are over everything; `teams` has, by the key of a team, those on that team's models only. `gives` and `gives_on_team`
    are what they are trusted to give to others, which is no right to use it. `policies` is the digest of the access policies that were in
    force when this was read, and `kept` what they asked of the user since.
    """

    active: bool
    person: bool
    permissions: dict[Permission, str]
    teams: dict[int, dict[Permission, str]] = field(default_factory=dict)
    gives: set[Permission] = field(default_factory=set)
    gives_on_team: dict[int | None, set[Permission]] = field(default_factory=dict)
    policies: str = ""
    kept: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    _grants: dict[tuple[type[Model], Any], frozenset[tuple[str, str]]] = field(default_factory=dict, compare=False)

    def on_team(self, team: int | None, permission: Permission) -> str:
        """The role that gives `permission` on the models of this team, or nothing."""
        return self.teams.get(team, {}).get(permission, "") if team is not None else ""

    def teams_with(self, permission: Permission) -> list[int]:
        """The teams on whose models a role gives `permission`."""
        return [team for team, given in self.teams.items() if permission in given]

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
    account = User.objects.filter(pk=user.pk).annotate(policies=asking.newest_set())
    own, ours = (
        account.values_list("is_active", "kind", "policies", *(f"{path}__{one}" for one in _OF_ASSIGNMENT))
        for path in ("role_assignments", "groups__role_assignments")
    )
    rows = list(own.union(ours, all=True))
    if not rows:
        return Held(active=False, person=False, permissions={})
    active, kind, policies, *_ = rows[0]
    held = Held(active, kind == User.Kind.PERSON, permissions={}, policies=policies or "")
    for *_, name, values, gives, team in rows:
        _add_role(held, name, _known(values), team)
        _add_gives(held, _known(gives), team)
    return held


def _known(values: Iterable[str] | None) -> list[Permission]:
    """Without what a newer release wrote: that gives nothing here."""
    return [Permission(value) for value in values or () if value in _KNOWN]


def _add_role(held: Held, name: str, permissions: Iterable[Permission], team: int | None) -> None:
    """Add what one assignment gives; the first role by which somebody holds a permission is the one that is named."""
    for permission in permissions:
        if team is None:
            held.permissions.setdefault(permission, name)
        elif permission.on_models:
            held.teams.setdefault(team, {}).setdefault(permission, name)


def _add_gives(held: Held, permissions: Iterable[Permission], team: int | None) -> None:
    if team is None:
        held.gives.update(permissions)
    else:
        held.gives_on_team.setdefault(team, set()).update(one for one in permissions if one.on_models)


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
    return users if isinstance(to, User) else groups, holder_fields(to)


def _stored(model: Model, permission: Permission) -> StoredPermission:
    return StoredPermission.objects.get(
        content_type__app_label=model._meta.app_label,
        content_type__model=model._meta.model_name,
        codename=permission.value,
    )


def _ref(model: Any) -> Any:
    return model.ledger_ref()
