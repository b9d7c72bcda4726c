"""Moves a model to another team, whose roles then count on it.

It takes both sides: who manages access to the model, and somebody of the team that it comes to (or who manages people).
"""

from __future__ import annotations

from django.contrib.auth.models import Group
from django.utils import timezone

from access.catalogue import GRANTED_BY_ADMINISTRATORS
from access.models import RoleAssignment
from access.permissions import Permission, permit, permit_giving, snapshot, verdict
from access.principal import Principal
from audit.actions import append
from audit.events import Action
from audit.governed import governed
from foundation.refusals import Conflict, Forbidden
from registry.models import RegisteredModel


@governed(Action.MODEL_CHANGE_TEAM)
def change_team(model: RegisteredModel, team: Group | None, *, by: Principal) -> RegisteredModel:
    """Let a model belong to a team, or to none. The roles on the old team's models end here at once, the new team's begin.

    Nobody gains by it themselves, nor gives through it what they may not give on the model.
    """
    model = RegisteredModel.objects.locked(model.pk)
    manages_people = verdict(by, Permission.MANAGE_PEOPLE).allowed
    if not manages_people:
        permit(by, Permission.MANAGE_ACCESS, model)
    if (team.pk if team else None) == model.team_id:
        return model
    if team is not None:
        team = Group.objects.select_for_update().get(pk=team.pk)
        if not manages_people:
            _permit_receiving(team, by)
        _permit_what_it_gives(model, team, by)
    before, model.team = model.team, team
    model.updated_at = timezone.now()
    model.save(update_fields=["team", "updated_at"])
    append(
        Action.MODEL_CHANGE_TEAM,
        by=by,
        obj=model.ledger_ref(),
        before={"team": before.name if before else ""},
        after={"team": team.name if team else ""},
    )
    return model


def _permit_receiving(team: Group, by: Principal) -> None:
    if by.user is None or not by.user.groups.filter(pk=team.pk).exists():
        raise Forbidden(
            f"{by.name} is not in {team.name}: somebody of the team that a model comes to moves it there, or who manages people.",
            code="not-of-the-team",
        )


def _permit_what_it_gives(model: RegisteredModel, team: Group, by: Principal) -> None:
    """Everybody with a role on the team's models gets what it permits on this one: `by` has to be allowed to give that."""
    for assignment in RoleAssignment.objects.filter(team=team).select_related("role"):
        given = [one for one in Permission if one.on_models and one.value in assignment.role.permissions]
        if GRANTED_BY_ADMINISTRATORS.intersection(given):
            permit(by, Permission.MANAGE_PEOPLE)  # else an owner could choose who releases the owner's work
        permit_giving(by, given, model)
        if by.user is not None and _holds(assignment, by):
            _refuse_gaining(model, given, by)


def _holds(assignment: RoleAssignment, by: Principal) -> bool:
    if assignment.user_id is not None:
        return by.user is not None and assignment.user_id == by.user.pk
    return by.user is not None and by.user.groups.filter(pk=assignment.group_id).exists()


def _refuse_gaining(model: RegisteredModel, given: list[Permission], by: Principal) -> None:
    reader = snapshot(by)
    if any(not verdict(reader, permission, model).allowed for permission in given):
        raise Conflict(
            f"{by.name} holds a role on the models of that team and would gain by it. Ask somebody else to move {model}.",
            code="own-access",
        )
