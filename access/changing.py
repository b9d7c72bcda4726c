"""What the pages of people, service accounts and groups do alike: give a role or take it back, let somebody join a group or leave it."""

from __future__ import annotations

from typing import NamedTuple

from django.contrib import messages
from django.contrib.auth.models import Group
from django.http import HttpRequest

from access import actions
from access.forms import RoleChange
from access.holders import Holder
from access.models import Role, User
from access.principal import Principal
from foundation.refusals import Invalid


class RoleChanged(NamedTuple):
    """A role that was given, or else taken back: over everything, or on the models of a team."""

    role: Role
    team: Group | None
    assigned: bool


def change_role_of(request: HttpRequest, holder: Holder, by: Principal) -> RoleChanged:
    """Do what `RoleChange` asks for, for an account or a group; raises `Invalid` where it names no role."""
    form = RoleChange(request.POST)
    if not form.is_valid():
        raise Invalid("Choose a role from the list.")
    role, team = form.cleaned_data["role"], form.cleaned_data["team"]
    assigned = form.cleaned_data["change"] == "assign"
    change = actions.assign_role if assigned else actions.withdraw_role
    change(role, to=holder, team=team, by=by)
    return RoleChanged(role, team, assigned)


def change_membership(request: HttpRequest, group: Group, person: User, change: str, by: Principal) -> None:
    """Let `person` join the group (`add`) or leave it, and say so."""
    if change == "add":
        actions.add_to_group(group, person, by=by)
        messages.success(request, f"{person} is now in {group.name}.")
    else:
        actions.remove_from_group(group, person, by=by)
        messages.success(request, f"{person} is no longer in {group.name}.")
