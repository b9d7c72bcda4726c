"""Policies of other rules than those that ship, put in force for a test by two people who take no other part in it."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group

from access import actions as access_actions
from access.models import User
from access.principal import Principal
from reviews.models import PolicyVersion
from tests.reviews.publishing import make_author, make_signer, publish

OPERATOR = Principal.system("operator")


def in_force(name: str = "production-tier-1", **changes: Any) -> PolicyVersion:
    """The policy with top-level `changes`, in force in its place; `gates` maps a gate's key to what is different of it."""
    old = PolicyVersion.objects.get(policy__name=name, status="published")
    gates = changes.pop("gates", {})
    content = {**old.content, **changes}
    content["gates"] = [{**gate, **gates.get(gate["key"], {})} for gate in content["gates"]]
    signer = make_signer(_person("paul"))
    version = publish(name, content, author=make_author(_person("pam")), signer=signer)
    signer.groups.remove(Group.objects.get(name="Risk officers"))  # who signed the policy reviews nothing here
    return version


def _person(name: str) -> User:
    return User.objects.filter(username=name).first() or access_actions.create_person(
        name, display_name=name.title(), email=f"{name}@example.org", password="correct horse", by=OPERATOR
    )
