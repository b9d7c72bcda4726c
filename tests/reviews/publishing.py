"""Putting a policy in force, for tests: drafted and proposed by one person, signed by others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import Group

from access import actions as access_actions
from access.models import Role, User
from access.principal import Principal
from reviews.actions import draft_policy, propose_policy, sign_policy
from reviews.models import PolicySignature, PolicyVersion
from tests.conftest import as_
from tests.reviews.conftest import proof_of


def publish(name: str, content: Mapping[str, Any], *, author: User, signer: User) -> PolicyVersion:
    """The version that is in force afterwards."""
    version = propose(name, content, author=author)
    sign(version, signer)
    version.refresh_from_db()
    return version


def propose(name: str, content: Mapping[str, Any], *, author: User) -> PolicyVersion:
    """A version that waits for its signatures."""
    return propose_policy(draft_policy(name, content, by=as_(author)), by=as_(author))


def sign(version: PolicyVersion, signer: User, decision: str = "approve", **more: Any) -> PolicySignature:
    """One person's signature, as the page gives it."""
    return sign_policy(
        version,
        decision=decision,
        reason="I read the difference and the rehearsal.",
        reauthentication=proof_of(signer),
        by=as_(signer),
        **more,
    )


def make_author(user: User) -> User:
    """Somebody who may write policies."""
    _assign("Policy author", user)
    return user


def make_signer(user: User, group: str = "Risk officers") -> User:
    """Somebody who may sign policies: a member of the group that they ask for, who may publish."""
    operator = Principal.system("operator")
    if not user.groups.filter(name=group).exists():
        access_actions.add_to_group(Group.objects.get(name=group), user, by=operator)
    if group != "Risk officers":
        _assign("Risk officer", user)
    return user


def _assign(role: str, user: User) -> None:
    if not user.role_assignments.filter(role__name=role).exists():
        access_actions.assign_role(Role.objects.get(name=role), to=user, by=Principal.system("operator"))
