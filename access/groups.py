"""Groups: creating them, giving them another name, deleting those that nothing hangs on. Who is in one is for `actions`.

A group can be three things at once: a team that models belong to, a holder of roles and grants, and a slot's group, whose members sign.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import Group
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from access.duties import signing_groups
from access.permissions import Permission, grants_held_by, permit
from access.principal import Principal
from audit.actions import append
from audit.events import Action, Obj
from audit.governed import governed
from foundation.refusals import Conflict, Invalid

MAX_NAME = 80


@dataclass(frozen=True)
class _NewGroup:
    """A group that does not exist yet, as the ledger may know it."""

    name: str

    def ledger_ref(self) -> Obj:
        return Obj(kind="group", id="", name=self.name)


def create_group(name: str, *, by: Principal) -> Group:
    """A new group without members, roles or models."""
    return _create_group(_NewGroup(name.strip()[:MAX_NAME]), name.strip(), by=by)


@governed(Action.GROUP_CREATE)
def _create_group(newcomer: _NewGroup, name: str, *, by: Principal) -> Group:
    permit(by, Permission.MANAGE_PEOPLE)
    _check_name(name)
    try:
        with transaction.atomic():
            group = Group.objects.create(name=name)
    except IntegrityError as error:
        raise _taken(name) from error
    append(Action.GROUP_CREATE, by=by, obj=group_ref(group), after={"name": name})
    return group


@governed(Action.GROUP_RENAME)
def rename_group(group: Group, name: str, *, by: Principal) -> Group:
    """Give a group another name. One that a policy names keeps its own: the policy would look for members in vain."""
    group = _locked(group)
    permit(by, Permission.MANAGE_PEOPLE)
    name, before = name.strip(), group.name
    _check_name(name)
    _refuse_named_by_a_policy(group, "renamed")
    if name == before:
        return group
    group.name = name
    try:
        with transaction.atomic():
            group.save(update_fields=["name"])
    except IntegrityError as error:
        raise _taken(name) from error
    append(Action.GROUP_RENAME, by=by, obj=group_ref(group), before={"name": before}, after={"name": name})
    return group


@governed(Action.GROUP_DELETE)
def delete_group(group: Group, *, by: Principal) -> None:
    """Delete a group without members, roles, grants and models that no policy or review names."""
    group = _locked(group)
    permit(by, Permission.MANAGE_PEOPLE)
    _refuse_named_by_a_policy(group, "deleted")
    hangs = [what for what, there in _what_hangs_on(group).items() if there]
    if hangs:
        raise Conflict(f"{group.name} still has {', '.join(hangs)}. Take them away first.", code="group-in-use")
    ref = group_ref(group)
    try:
        with transaction.atomic():
            group.delete()
    except ProtectedError as error:
        raise Conflict(
            f"{group.name} stands in reviews that are on record, so it stays. It gives nobody anything while it is empty.",
            code="group-in-use",
        ) from error
    append(Action.GROUP_DELETE, by=by, obj=ref)


def group_ref(group: Group) -> Obj:
    """How the ledger names this group."""
    return Obj(kind="group", id=str(group.pk), name=group.name)


def _locked(group: Group) -> Group:
    found = Group.objects.select_for_update().filter(pk=group.pk).first()
    if found is None:
        raise Conflict(f"The group {group.name} has been deleted meanwhile.", code="group-gone")
    return found


def _what_hangs_on(group: Group) -> dict[str, bool]:
    return {
        "members": group.user_set.exists(),
        "roles": group.role_assignments.exists(),
        "roles on its models": group.team_role_assignments.exists(),
        "grants on models": grants_held_by(group).exists(),
        "models": group.registered_models.exists(),
    }


def _refuse_named_by_a_policy(group: Group, done: str) -> None:
    if group.name in signing_groups():
        raise Conflict(
            f"A policy asks members of {group.name} to sign, by this name, so it cannot be {done}. Publish a version of the policy "
            "that names another group first.",
            code="group-signs",
        )


def _check_name(name: str) -> None:
    if not 0 < len(name) <= MAX_NAME or not name.isprintable():
        sentence = f"Name the group in 1 to {MAX_NAME} characters."
        raise Invalid(sentence, errors={"name": sentence})


def _taken(name: str) -> Invalid:
    sentence = f"There is a group {name} already."
    return Invalid(sentence, errors={"name": sentence})
