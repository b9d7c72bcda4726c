"""The people of the demo: who they are, what they hold, and the password that they all have. Never part of a real installation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.contrib.auth.models import Group

from access import actions
from access.models import Role, User
from access.principal import Principal

PASSWORD: Final = "countersign-demo"  # noqa: S105 - printed on the terminal on purpose; demo people only


@dataclass(frozen=True)
class DemoPerson:
    """One person of the demo and why they are there."""

    username: str
    display_name: str
    purpose: str
    roles: tuple[str, ...]
    groups: tuple[str, ...] = ()


PEOPLE: Final = (
    DemoPerson(
        "erin",
        "Erin Osei",
        "administers people, tokens and deployments; can neither sign nor promote",
        ("Administrator",),
    ),
    DemoPerson(
        "alice",
        "Alice Moreau",
        "prepares data, trains and asks for reviews; a validator too, but never of what she built",
        ("Data scientist",),
        ("Model validation",),
    ),
    DemoPerson("bob", "Bob Lindqvist", "signs as model validator", ("Reviewer",), ("Model validation",)),
    DemoPerson("carol", "Carol Adeyemi", "signs as risk officer", ("Reviewer",), ("Risk officers",)),
    DemoPerson("rita", "Rita Fernandes", "promotes what has been signed", ("Release manager",)),
    DemoPerson("dave", "Dave Novak", "audits: reads everything, changes nothing", ("Auditor",)),
    DemoPerson(
        "nina",
        "Nina Haddad",
        "drafts policies, which Carol signs into force; stands in for business owners",
        ("Policy author",),
        ("Legal and compliance",),
    ),
)


def create_people() -> None:
    """Create whoever of the demo is missing, with roles and groups."""
    operator = Principal.system("operator")
    for person in PEOPLE:
        if User.objects.filter(username=person.username).exists():
            continue
        user = actions.create_person(
            person.username,
            display_name=person.display_name,
            email=f"{person.username}@demo.example",
            password=PASSWORD,
            by=operator,
        )
        for role in person.roles:
            actions.assign_role(Role.objects.get(name=role), to=user, by=operator)
        for group in person.groups:
            actions.add_to_group(Group.objects.get(name=group), user, by=operator)
