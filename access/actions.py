"""Everything that changes who may do what: people, groups, roles and service accounts. Tokens and step-up are beside it.

Nobody raises their own powers, and the installation never loses its last administrator. Names and addresses of people enter the
ledger as erasable disclosures only.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import Group
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.utils import timezone

from access.administrators import keeping_an_administrator
from access.duties import keeping_duties_apart, members_of
from access.groups import group_ref
from access.holders import holder_fields, holder_ref
from access.models import Role, RoleAssignment, ServiceToken, User
from access.permissions import PEOPLE_ONLY, Permission, grants_held_by, may_give, permit, permit_giving
from access.principal import Principal
from access.stepup import consume, reauthenticate
from access.tokens import MAX_TOKEN_DAYS, IssuedToken, issue_token, revoke_token
from audit.actions import append
from audit.events import Action, Obj
from audit.governed import governed
from audit.payload import Json
from foundation.refusals import Conflict, Forbidden, Invalid

__all__ = [
    "MAX_TOKEN_DAYS",
    "IssuedToken",
    "add_to_group",
    "assign_role",
    "consume",
    "create_person",
    "create_service_account",
    "deactivate",
    "issue_token",
    "reactivate",
    "reauthenticate",
    "remove_from_group",
    "revoke_token",
    "set_single_keys",
    "withdraw_role",
]


@dataclass(frozen=True)
class _Newcomer:
    """An account that does not exist yet, as the ledger may know it: without its name."""

    user: User

    def ledger_ref(self) -> Obj:
        return Obj(kind=self.user.kind, id="")


def create_person(username: str, *, display_name: str, email: str, password: str, by: Principal) -> User:
    """A new person, who holds no role and is in no group yet. `Invalid` names each field that has to be corrected."""
    person = User(username=username.strip(), display_name=display_name.strip(), email=email.strip())
    return _create_person(_Newcomer(person), password=password, by=by)


@governed(Action.PERSON_CREATE)
def _create_person(newcomer: _Newcomer, *, password: str, by: Principal) -> User:
    permit(by, Permission.MANAGE_PEOPLE)
    person = newcomer.user
    _check_account(person, password=password)
    person.set_password(password)
    person.save()
    append(
        Action.PERSON_CREATE,
        by=by,
        obj=person.ledger_ref(),
        after={"active": True},
        private={"username": person.username},
    )
    return person


@governed(Action.PERSON_SET_KEYS)
def set_single_keys(person: User, on: bool, *, by: Principal) -> User:
    """Say whether single keys do something on one's pages; nobody says it for somebody else. Saying it again changes nothing."""
    person = User.objects.locked(person.pk)
    if by.user is None or by.user.pk != person.pk:
        raise Forbidden("Everybody chooses their own shortcuts.", code="not-yours")
    if person.single_keys != on:
        person.single_keys = on
        person.save(update_fields=["single_keys"])
        append(
            Action.PERSON_SET_KEYS,
            by=by,
            obj=person.ledger_ref(),
            before={"single_keys": not on},
            after={"single_keys": on},
        )
    return person


def create_service_account(name: str, *, owner: User, description: str, by: Principal) -> User:
    """A new service account without any role. `owner` is the active person who answers for what it does."""
    account = User(
        username=name.strip(),
        display_name=name.strip(),
        kind=User.Kind.SERVICE,
        owner=owner,
        description=description.strip(),
    )
    return _create_service_account(_Newcomer(account), by=by)


@governed(Action.SERVICE_CREATE)
def _create_service_account(newcomer: _Newcomer, *, by: Principal) -> User:
    permit(by, Permission.MANAGE_TOKENS)
    account = newcomer.user
    owner = User.objects.locked(account.owner_id or 0)
    if not (owner.is_person and owner.is_active):
        raise Conflict(
            f"{owner} cannot own a service account: its owner is an active person who answers for it.",
            code="owner-not-a-person",
        )
    account.set_unusable_password()
    _check_account(account)
    account.save()
    append(
        Action.SERVICE_CREATE,
        by=by,
        obj=account.ledger_ref(),
        after={"name": account.username, "owner": str(owner.uuid)},
    )
    return account


def _check_account(user: User, *, password: str | None = None) -> None:
    errors: dict[str, str] = {}
    try:
        user.full_clean(exclude=["password"], validate_constraints=False)
    except ValidationError as error:
        errors = {field: " ".join(sentences) for field, sentences in error.message_dict.items()}
    if User.objects.filter(username__iexact=user.username).exists():
        errors["username"] = f"The name {user.username} is taken (capital letters do not make it another one)."
    if password is not None:
        try:
            validate_password(password, user)
        except ValidationError as error:
            errors["password"] = " ".join(error.messages)
    if errors:
        raise Invalid(" ".join(f"{field}: {sentence}" for field, sentence in errors.items()), errors=errors)


@governed(Action.PERSON_DEACTIVATE)
def deactivate(user: User, *, by: Principal) -> User:
    """Shut an account at once: its sessions, its tokens and, for a person, the tokens of the service accounts they own.

    Nothing is deleted: what the account did stays on record under its name.
    """
    with keeping_an_administrator():
        return _deactivate(user, by)


def _deactivate(user: User, by: Principal) -> User:
    user = User.objects.locked(user.pk)
    permit(by, Permission.MANAGE_PEOPLE if user.is_person else Permission.MANAGE_TOKENS)
    if not user.is_active:
        raise Conflict(f"{user} is already deactivated.", code="inactive")
    if by.user is not None and by.user.pk == user.pk:
        raise Conflict("Nobody deactivates themselves; ask another administrator.", code="own-account")
    user.is_active = False
    user.session_generation += 1
    user.save(update_fields=["is_active", "session_generation"])
    revoked = _revoke_tokens_of(user, by)
    append(
        Action.PERSON_DEACTIVATE,
        by=by,
        obj=user.ledger_ref(),
        before={"active": True},
        after={"active": False, "revoked_tokens": [*revoked]},
    )
    return user


def _revoke_tokens_of(user: User, by: Principal) -> list[str]:
    """Revoke every living token of the account and of the accounts it owns; returns their prefixes."""
    living = ServiceToken.objects.filter(revoked_at=None)
    tokens = living.filter(user=user) | living.filter(user__owner=user)
    prefixes = sorted(tokens.values_list("prefix", flat=True))
    ServiceToken.objects.filter(prefix__in=prefixes).update(revoked_at=timezone.now(), revoked_by=by.user)
    return prefixes


@governed(Action.PERSON_REACTIVATE)
def reactivate(user: User, *, by: Principal) -> User:
    """Open a deactivated account again, with the roles and groups it had; revoked tokens stay revoked."""
    user = User.objects.locked(user.pk)
    permit(by, Permission.MANAGE_PEOPLE if user.is_person else Permission.MANAGE_TOKENS)
    if user.is_active:
        raise Conflict(f"{user} is already active.", code="active")
    if user.owner is not None and not user.owner.is_active:
        raise Conflict(
            f"{user.owner}, who answers for {user}, is deactivated; reactivate the owner first.", code="owner-inactive"
        )
    user.is_active = True
    user.save(update_fields=["is_active"])
    append(Action.PERSON_REACTIVATE, by=by, obj=user.ledger_ref(), before={"active": False}, after={"active": True})
    return user


@governed(Action.ROLE_ASSIGN)
def assign_role(role: Role, *, to: User | Group, team: Group | None = None, by: Principal) -> RoleAssignment:
    """Give a role to one user or group, over everything or on the models of one team (then only what it permits on models).

    Nobody gives one to themselves, to a group they are in or to an account they own alone.
    """
    role = Role.objects.select_for_update().get(pk=role.pk)
    permit(by, Permission.MANAGE_PEOPLE)
    _refuse_raising_oneself(to, by, f"the role {role.name}")
    if isinstance(to, User):
        _refuse_people_only(role, User.objects.locked(to.pk))
    if team is not None:
        _refuse_giving_nothing(role, team)
    if RoleAssignment.objects.filter(role=role, team=team, **holder_fields(to)).exists():
        raise Conflict(f"{to} already holds the role {role.name}{_on(team)}.", code="role-held")
    permit_giving(by, _given_by(role, team), team)
    with keeping_duties_apart(members_of(to)):
        assignment = RoleAssignment.objects.create(role=role, team=team, created_by=by.user, **holder_fields(to))
    append(
        Action.ROLE_ASSIGN,
        by=by,
        obj=role.ledger_ref(),
        after={"holder": holder_ref(to), "permissions": sorted(role.permissions), **_team_ref(team)},
    )
    return assignment


def permit_joining(by: Principal, group: Group) -> None:
    """Return when `by` may give everything that membership in the group gives; else raise `Forbidden` naming what is not theirs to give."""
    for assignment in group.role_assignments.select_related("role", "team"):
        permit_giving(by, _given_by(assignment.role, assignment.team), assignment.team)
    for codename in grants_held_by(group).order_by().values_list("permission__codename", flat=True).distinct():
        if not may_give(by, Permission(codename)):
            for row in grants_held_by(group).filter(permission__codename=codename):
                permit_giving(by, [Permission(codename)], row.content_object)


def _given_by(role: Role, team: Group | None) -> list[Permission]:
    """What the role lets its holders do, and give, as far as it reaches: what this release does not know gives nothing."""
    values = {*role.permissions, *role.gives}
    return [one for one in Permission if one in values and (team is None or one.on_models)]


def _refuse_giving_nothing(role: Role, team: Group) -> None:
    if not any(Permission(value).on_models for value in role.permissions if value in set(Permission)):
        raise Conflict(
            f"The role {role.name} permits nothing on models, so on the models of {team.name} it would give nothing. "
            "Give it over everything, or choose another role.",
            code="not-on-models",
        )


def _on(team: Group | None) -> str:
    return f" on the models of {team.name}" if team else ""


def _team_ref(team: Group | None) -> dict[str, Json]:
    return {"team": team.name} if team else {}


def _refuse_people_only(role: Role, to: User) -> None:
    if not to.is_active:
        raise Conflict(f"{to} is deactivated; reactivate the account first.", code="inactive")
    reserved = sorted(PEOPLE_ONLY & set(role.permissions))
    if not to.is_person and reserved:
        raise Conflict(
            f"The role {role.name} lets its holder {Permission(reserved[0]).label}, which only people may; {to} is a service account.",
            code="people-only",
        )


@governed(Action.ROLE_WITHDRAW)
def withdraw_role(role: Role, *, to: User | Group, team: Group | None = None, by: Principal) -> None:
    """Take back from one user or group what `assign_role` gave with the same `team`; it ends with this call."""
    with keeping_an_administrator() as roles:
        role = roles.get(role.pk, role)
        permit(by, Permission.MANAGE_PEOPLE)
        deleted, _ = RoleAssignment.objects.filter(role=role, team=team, **holder_fields(to)).delete()
        if not deleted:
            raise Conflict(
                f"{to} does not hold the role {role.name}{_on(team)} directly; a group may give it.",
                code="role-not-held",
            )
    append(Action.ROLE_WITHDRAW, by=by, obj=role.ledger_ref(), before={"holder": holder_ref(to), **_team_ref(team)})


@governed(Action.GROUP_ADD)
def add_to_group(group: Group, user: User, *, by: Principal) -> None:
    """Make somebody a member of a group. Only people sign, so a service account cannot join; nobody adds themselves."""
    group = Group.objects.select_for_update().get(pk=group.pk)
    user = User.objects.locked(user.pk)
    permit(by, Permission.MANAGE_PEOPLE)
    if not (user.is_person and user.is_active):
        raise Conflict(f"{user} cannot join {group.name}: members of groups are active people.", code="not-a-person")
    _refuse_raising_oneself(user, by, f"membership in {group.name}")
    if user.groups.filter(pk=group.pk).exists():
        raise Conflict(f"{user} is already in {group.name}.", code="member")
    permit_joining(by, group)
    with keeping_duties_apart([user]):
        user.groups.add(group)
    append(Action.GROUP_ADD, by=by, obj=group_ref(group), after={"member": str(user.uuid)})


@governed(Action.GROUP_REMOVE)
def remove_from_group(group: Group, user: User, *, by: Principal) -> None:
    """End somebody's membership in a group, with everything that it gave."""
    with keeping_an_administrator():
        group = Group.objects.select_for_update().get(pk=group.pk)
        permit(by, Permission.MANAGE_PEOPLE)
        if not user.groups.filter(pk=group.pk).exists():
            raise Conflict(f"{user} is not in {group.name}.", code="not-member")
        user.groups.remove(group)
    append(Action.GROUP_REMOVE, by=by, obj=group_ref(group), before={"member": str(user.uuid)})


def _refuse_raising_oneself(to: User | Group, by: Principal, what: str) -> None:
    if by.user is None:
        return
    itself = to.pk == by.user.pk if isinstance(to, User) else by.user.groups.filter(pk=to.pk).exists()
    if itself:
        raise Conflict(
            f"Nobody gives {what} to themselves, and {by.name} would. Ask another administrator to do it.",
            code="own-powers",
        )
