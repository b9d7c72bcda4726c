"""Roles of one's own: what a named list of permissions lets its holders do, and what they may give to others.

The built-in ones stay as they are: a copy under another name is the way to change one. Nobody puts into a role what they may not
give, nor adds to a role that they hold.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import IntegrityError, transaction

from access.administrators import keeping_an_administrator
from access.models import Role
from access.permissions import Permission, permit, permit_giving
from access.principal import Principal
from audit.actions import append
from audit.events import Action, Obj
from audit.governed import governed
from audit.payload import Json
from foundation.refusals import Conflict, Invalid

MAX_NAME = 80


@dataclass(frozen=True)
class _NewRole:
    """A role that does not exist yet, as the ledger may know it."""

    name: str

    def ledger_ref(self) -> Obj:
        return Obj(kind="role", id="", name=self.name)


def create_role(
    name: str,
    *,
    description: str,
    permissions: Iterable[Permission],
    gives: Iterable[Permission] = (),
    by: Principal,
) -> Role:
    """A new role that nobody holds yet. `gives`: what its holders may give to others without having it."""
    return _create_role(_NewRole(name.strip()[:MAX_NAME]), name.strip(), description, permissions, gives, by=by)


@governed(Action.ROLE_CREATE)
def _create_role(
    newcomer: _NewRole,
    name: str,
    description: str,
    permissions: Iterable[Permission],
    gives: Iterable[Permission],
    *,
    by: Principal,
) -> Role:
    permit(by, Permission.MANAGE_PEOPLE)
    held, given = _in_order(permissions), _in_order(gives)
    _check(name, held, given)
    permit_giving(by, [*held, *given])
    try:
        with transaction.atomic():
            role = Role.objects.create(
                name=name, description=description.strip(), permissions=_values(held), gives=_values(given)
            )
    except IntegrityError as error:
        raise _taken(name) from error
    append(Action.ROLE_CREATE, by=by, obj=role.ledger_ref(), after=_facts(role))
    return role


@governed(Action.ROLE_UPDATE)
def update_role(
    role: Role,
    *,
    description: str | None = None,
    permissions: Iterable[Permission] | None = None,
    gives: Iterable[Permission] | None = None,
    by: Principal,
) -> Role:
    """Change what a role lets its holders do; it counts with this call, for everybody who holds it. What is None stays."""
    with keeping_an_administrator() as roles:
        role = _own(roles, role)
        permit(by, Permission.MANAGE_PEOPLE)
        before = _facts(role)
        held = _in_order(role.permissions if permissions is None else permissions)
        given = _in_order(role.gives if gives is None else gives)
        _check(role.name, held, given)
        added = [one for one in held if one not in role.permissions] + [one for one in given if one not in role.gives]
        if added:
            _refuse_raising_oneself(role, by)
            permit_giving(by, added)
        role.description = role.description if description is None else description.strip()
        role.permissions, role.gives = _values(held), _values(given)
        if _facts(role) == before:
            return role
        role.save(update_fields=["description", "permissions", "gives"])
    append(Action.ROLE_UPDATE, by=by, obj=role.ledger_ref(), before=before, after=_facts(role))
    return role


@governed(Action.ROLE_DELETE)
def delete_role(role: Role, *, by: Principal) -> None:
    """Remove a role that nobody holds any more."""
    with keeping_an_administrator() as roles:
        role = _own(roles, role)
        permit(by, Permission.MANAGE_PEOPLE)
        holders = role.assignments.count()
        if holders:
            raise Conflict(
                f"The role {role.name} is held {holders} times. Withdraw it from everybody first.", code="role-in-use"
            )
        ref, before = role.ledger_ref(), _facts(role)
        role.delete()
    append(Action.ROLE_DELETE, by=by, obj=ref, before=before)


def _own(roles: dict[int, Role], role: Role) -> Role:
    locked = roles.get(role.pk)
    if locked is None:
        raise Conflict(f"The role {role.name} has been deleted meanwhile.", code="role-gone")
    if locked.built_in:
        raise Conflict(
            f"The role {role.name} comes with the product and stays as it is. Create one of your own in its place.",
            code="built-in",
        )
    return locked


def _refuse_raising_oneself(role: Role, by: Principal) -> None:
    user = by.user
    if user is None:
        return
    if (
        role.assignments.filter(user=user).exists()
        or role.assignments.filter(group__user=user).exists()
        or role.assignments.filter(user__owner=user).exists()
    ):
        raise Conflict(
            f"{by.name} holds the role {role.name}, and nobody adds to what they hold. Ask another administrator to do it.",
            code="own-powers",
        )


def _in_order(values: Iterable[str]) -> list[Permission]:
    """In the order of their declaration, each once; what a newer release wrote is left out, since it gives nothing here."""
    chosen = set(values)
    return [one for one in Permission if one in chosen]


def _values(permissions: Iterable[Permission]) -> list[str]:
    return [one.value for one in permissions]


def _check(name: str, permissions: list[Permission], gives: list[Permission]) -> None:
    errors = {}
    if not 0 < len(name) <= MAX_NAME or not name.isprintable():
        errors["name"] = f"Name the role in 1 to {MAX_NAME} characters, after what its holders do."
    if not permissions:
        errors["permissions"] = "Choose at least one permission: a role without any would say nothing."
    if gives and Permission.MANAGE_PEOPLE not in permissions and Permission.MANAGE_ACCESS not in permissions:
        errors["gives"] = (
            f"Only who may {Permission.MANAGE_PEOPLE.label} or {Permission.MANAGE_ACCESS.label} gives anything: "
            "add one of these permissions, or let the role give nothing."
        )
    if errors:
        raise Invalid(" ".join(errors.values()), errors=errors)


def _taken(name: str) -> Invalid:
    sentence = f"There is a role {name} already."
    return Invalid(sentence, errors={"name": sentence})


def _facts(role: Role) -> dict[str, Json]:
    return {
        "description": role.description,
        "permissions": sorted(role.permissions),
        "gives": sorted(role.gives),
    }
