"""Approvals that rest on more than two signatures, made through the actions: for tests of what certificates say."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from access import actions as access_actions
from access.models import Role, User
from access.principal import Principal
from registry.models import ModelVersion, Stage
from reviews import break_glass
from reviews.actions import give_delegation
from reviews.actions.exceptions import grant_exception
from reviews.evaluation import current_subject
from reviews.models import BreakGlass, Delegation, GateException, PolicyVersion, Review
from tests.conftest import as_
from tests.reviews.conftest import proof_of
from tests.reviews.publishing import make_author, make_signer, publish

OPERATOR = Principal.system("operator")


def amend_policy(name: str = "production-tier-1", **changes: Any) -> PolicyVersion:
    """The published policy, replaced by one with `changes`, which two people put in force who review nothing."""
    author = make_author(_person("pia", "Pia Sørensen"))
    signer = make_signer(_person("olga", "Olga Marin"))
    access_actions.assign_role(Role.objects.get(name="Risk officer"), to=signer, by=OPERATOR)
    old = PolicyVersion.objects.get(policy__name=name, status=PolicyVersion.Status.PUBLISHED)
    return publish(name, old.content | changes, author=author, signer=signer)


def _person(username: str, display_name: str) -> User:
    return access_actions.create_person(
        username, display_name=display_name, email=f"{username}@example.org", password="correct horse", by=OPERATOR
    )


def allow_conditions() -> PolicyVersion:
    """A policy in which an approval may carry conditions."""
    return amend_policy(conditions={"allowed": True, "at_most_days": 30})


def allow_exceptions(gate: str, *, slot: str) -> PolicyVersion:
    """A policy in which holders of `slot` may except `gate`."""
    published = PolicyVersion.objects.get(policy__name="production-tier-1", status=PolicyVersion.Status.PUBLISHED)
    gates = [one | {"excepted_by": slot} if one["key"] == gate else one for one in published.content["gates"]]
    return amend_policy(gates=gates)


def except_gate(review: Review, gate: str, person: User, *, days: float = 60) -> GateException:
    """An exception of a gate that fails, signed by `person`."""
    round_ = review.current_round
    return grant_exception(
        round_,
        gate,
        reason="The sample of that year is small.",
        compensating_control="Every refusal is read by a person.",
        ends_at=timezone.now() + timedelta(days=days),
        reauthentication=proof_of(person),
        expected_subject=current_subject(round_).digest,
        by=as_(person),
    )


def stand_in(delegator: User, group: str, name: str = "frank") -> tuple[User, Delegation]:
    """Somebody who may sign for `delegator` in `group`."""
    person = _person(name, "Frank Weiss")
    access_actions.assign_role(Role.objects.get(name="Reviewer"), to=person, by=OPERATOR)
    now = timezone.now()
    given = give_delegation(
        person, group=group, starts_at=now, ends_at=now + timedelta(days=7), reason="I am away.", by=as_(delegator)
    )
    return person, given


def break_the_glass(version: ModelVersion, stage: Stage, asker: User, second: User) -> BreakGlass:
    """`version` live ahead of its review."""
    case = break_glass.ask(
        version,
        stage,
        reason="outage",
        text="The live version answers every request with an error since nine.",
        hours=6,
        reauthentication=proof_of(asker),
        by=as_(asker),
    )
    return break_glass.second(case, reauthentication=proof_of(second), by=as_(second))
