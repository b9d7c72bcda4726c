"""Decides which duties one person should not hold together, and says who does: submitting and signing, managing access and signing.

Whether somebody may sign one version is decided in its review, where nobody signs what they built. Here it is about what people *could*
do: it is shown on the pages of people and roles, and refused where `settings.ACCESS_FORBIDDEN_DUTIES` names it.
Which groups sign is said by policies, which are a floor above: `reviews` registers the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from django.conf import settings
from django.contrib.auth.models import Group
from django.db.models import Model, Q

from access.catalogue import Permission
from access.models import Role, RoleAssignment, User
from access.permissions import grants_held_by, people_with
from foundation.refusals import Conflict

SUBMITTING: Final = frozenset({Permission.REGISTER_VERSION, Permission.REQUEST_REVIEW})
MANAGING: Final = frozenset({Permission.MANAGE_PEOPLE, Permission.MANAGE_ACCESS})
MOST: Final = 20
"""Grants of one holder that are named."""

Signing = Callable[[], frozenset[str]]
_PROVIDERS: Final[list[Signing]] = []


class Clash(StrEnum):
    """Two duties that belong to two people."""

    SUBMIT_AND_SIGN = "submit-and-sign"
    MANAGE_AND_SIGN = "manage-and-sign"

    @property
    def sentence(self) -> str:
        """What it is, to be read after a name."""
        return {
            Clash.SUBMIT_AND_SIGN: "can submit versions, and is in a group that signs them",
            Clash.MANAGE_AND_SIGN: "can say who may do what, and is in a group that signs",
        }[self]


_SIDES: Final = {Clash.SUBMIT_AND_SIGN: SUBMITTING, Clash.MANAGE_AND_SIGN: MANAGING}
"""What of each clash is not signing."""


@dataclass(frozen=True)
class Held:
    """One clash of one person, with what each side of it comes from."""

    person: User
    clash: Clash
    through: tuple[str, ...]
    groups: tuple[str, ...]


def signing_groups_from(provider: Signing) -> Signing:
    """Register who knows the names of groups whose members sign."""
    _PROVIDERS.append(provider)
    return provider


def signing_groups() -> frozenset[str]:
    """The names of groups that policies ask to sign, to decide or to be told."""
    return frozenset[str]().union(*(provider() for provider in _PROVIDERS))


def clashes_of(person: User) -> list[Held]:
    """The duties that this person holds and should not hold together, anywhere."""
    signing = signing_groups()
    groups = tuple(name for name in person.groups.order_by("name").values_list("name", flat=True) if name in signing)
    if not groups or not person.is_active:
        return []
    sources = list(_sources(person))
    found = []
    for clash, permissions in _SIDES.items():
        through = tuple(dict.fromkeys(name for name, given in sources if given & permissions))
        if clash is Clash.SUBMIT_AND_SIGN:
            through += tuple(f"owner of {name}" for name in _owned(person))
        if through:
            found.append(Held(person, clash, through, groups))
    return found


def clashes_on(model: Model) -> list[Held]:
    """Who can submit or manage access on this model and is in a group that signs; by name. A fixed number of statements a person."""
    signers = User.objects.people().active().filter(groups__name__in=signing_groups())
    near = set[User]()
    for permission in sorted(SUBMITTING | MANAGING):
        near.update(people_with(permission, model).filter(pk__in=signers.values("pk")))
    return [held for person in sorted(near, key=str) for held in clashes_of(person)]


def clashes_of_role(role: Role) -> list[Held]:
    """The holders of a role for whom it is one side of a clash."""
    permissions = set(role.permissions)
    wanted = {clash for clash, needed in _SIDES.items() if needed & permissions}
    if not wanted:
        return []
    signing = signing_groups()
    people = (
        User.objects.people()
        .active()
        .filter(pk__in=[one.pk for one in holders_of(role)], groups__name__in=signing)
        .distinct()
        .order_by("username")
    )
    return [held for person in people for held in clashes_of(person) if held.clash in wanted]


def holders_of(role: Role) -> list[User]:
    """Everybody who holds a role, by themselves or through a group."""
    own = User.objects.filter(role_assignments__role=role)
    ours = User.objects.filter(groups__role_assignments__role=role)
    return list((own | ours).distinct().order_by("username"))


@contextmanager
def keeping_duties_apart(affected: Iterable[User]) -> Iterator[None]:
    """Run the change inside, then refuse it where it gave one of these people a clash that this installation forbids."""
    forbidden = frozenset(Clash(name) for name in settings.ACCESS_FORBIDDEN_DUTIES)
    people = [person for person in affected if person.is_person] if forbidden else []
    before = {person.pk: {held.clash for held in clashes_of(person)} for person in people}
    yield
    for person in people:
        for held in clashes_of(person):
            if held.clash in forbidden - before[person.pk]:
                raise Conflict(
                    f"{person} would hold two duties that are kept apart here: {person} {held.clash.sentence} "
                    f"({', '.join(held.through)}; {', '.join(held.groups)}). Take one away first.",
                    code="duties-apart",
                )


def members_of(to: User | Group) -> list[User]:
    """Who gets what is given to a user or to a group."""
    return [to] if isinstance(to, User) else list(to.user_set.order_by("pk"))


def _sources(person: User) -> Iterator[tuple[str, set[str]]]:
    """What gives this person one side of a clash, with what it gives: roles as far as they reach, and grants on models."""
    mine = Q(user=person) | Q(group__user=person)
    for assignment in RoleAssignment.objects.filter(mine).distinct().select_related("role", "team").order_by("pk"):
        where = f" on the models of {assignment.team.name}" if assignment.team else ""
        given = {value for value in assignment.role.permissions if assignment.team is None or "." not in value}
        yield f"the role {assignment.role.name}{where}", given
    sides = [one.value for one in SUBMITTING | MANAGING]
    holders: list[User | Group] = [person, *person.groups.order_by("name")]
    for holder in holders:
        for row in grants_held_by(holder).filter(permission__codename__in=sides)[:MOST]:
            yield f"a grant on {row.content_object}", {row.permission.codename}


def _owned(person: User) -> list[str]:
    return list(person.owned_models.order_by("name").values_list("name", flat=True)[:3])
