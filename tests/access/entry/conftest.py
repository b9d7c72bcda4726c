"""Access policies put in force as people would: erin writes, carol looks at who would lose access and publishes."""

from __future__ import annotations

from typing import Any, Protocol

import pytest

from access.entry.actions import draft_access_policy, draft_retirement, publish_access_policy, set_with
from access.entry.models import AccessPolicy, AccessPolicyVersion
from access.entry.rehearsal import rehearse
from access.models import User
from tests.conftest import as_

BUILT_IN = "everybody-with-the-permission"


def rule(key: str, effect: str = "allow", when: str = "true") -> dict[str, str]:
    """A rule that says its key."""
    return {"key": key, "effect": effect, "when": when, "because": f"{key} because.", "satisfy": f"{key} satisfy."}


def published(draft: AccessPolicyVersion, by: User) -> AccessPolicyVersion:
    """The draft in force, after `by` saw its rehearsal."""
    seen = rehearse(draft, set_with(draft))
    return publish_access_policy(draft, expected_rehearsal=seen.digest, by=as_(by))


class Enforce(Protocol):
    """What the fixture `enforce` gives."""

    def __call__(self, name: str, *rules: dict[str, str], **target: Any) -> AccessPolicyVersion:
        """Put a policy of this name with these rules in force."""


@pytest.fixture
def enforce(erin: User, carol: User) -> Enforce:
    """Puts a policy in force; erin is its author."""

    def put(name: str, *rules: dict[str, str], **target: Any) -> AccessPolicyVersion:
        draft = draft_access_policy(name, {"title": name, "rules": list(rules), "target": target}, by=as_(erin))
        return published(draft, carol)

    return put


@pytest.fixture
def retire(erin: User, carol: User) -> Any:
    """Ends a policy."""

    def end(name: str) -> AccessPolicyVersion:
        return published(draft_retirement(AccessPolicy.objects.get(name=name), note="over", by=as_(erin)), carol)

    return end
