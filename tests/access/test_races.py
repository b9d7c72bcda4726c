"""Two at once, on a database that lets them: the last administrator, one proof for one signature, and counted attempts."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connection, transaction
from django.utils import timezone

from access import actions, groups, roles
from access.models import Reauthentication, Role, User
from access.permissions import Permission, people_with
from access.principal import Principal
from audit.events import Action
from foundation.refusals import Refusal
from tests.access.ledger import outcomes
from tests.conftest import as_

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


def at_once(*attempts: Callable[[], object]) -> list[object]:
    """What each attempt returned or was refused with, all of them started together."""
    together = Barrier(len(attempts))

    def run(attempt: Callable[[], object]) -> object:
        together.wait(timeout=10)
        try:
            return attempt()
        except Refusal as refusal:
            return refusal
        finally:
            connection.close()

    with ThreadPoolExecutor(len(attempts)) as pool:
        return list(pool.map(run, attempts))


def test_two_administrators_cannot_remove_each_other(erin: User, dave: User) -> None:
    actions.assign_role(Role.objects.get(name="Administrator"), to=dave, by=as_(erin))

    ended = at_once(
        lambda: actions.deactivate(dave, by=as_(erin)),
        lambda: actions.withdraw_role(Role.objects.get(name="Administrator"), to=erin, by=as_(dave)),
    )

    assert sum(isinstance(one, Refusal) for one in ended) == 1
    assert people_with(Permission.MANAGE_PEOPLE).count() == 1


def test_no_two_ways_at_once_take_the_last_administrators_away(erin: User, dave: User, bob: User) -> None:
    """One loses a role, one a group that gives it, one the role's own permission: somebody is left, whoever comes last."""
    mine = roles.create_role("Mine", description="", permissions=[Permission.MANAGE_PEOPLE], by=as_(erin))
    circle = groups.create_group("Circle", by=as_(erin))
    actions.assign_role(mine, to=dave, by=as_(erin))
    actions.assign_role(Role.objects.get(name="Access administrator"), to=circle, by=as_(erin))
    actions.add_to_group(circle, bob, by=as_(erin))
    operator = Principal.system("operator")

    ended = at_once(
        lambda: actions.withdraw_role(Role.objects.get(name="Administrator"), to=erin, by=operator),
        lambda: actions.remove_from_group(circle, bob, by=operator),
        lambda: roles.update_role(mine, permissions=[Permission.SEE_PEOPLE], by=operator),
    )

    assert sum(isinstance(one, Refusal) for one in ended) == 1
    assert people_with(Permission.MANAGE_PEOPLE).count() == 1


def test_one_proof_serves_one_signature(bob: User) -> None:
    proof = actions.reauthenticate(bob, method="password", secret="correct horse battery", by=as_(bob))

    def consume() -> Reauthentication:
        with transaction.atomic():
            return actions.consume(proof, user=bob, now=timezone.now())

    ended = at_once(*[consume] * 4)

    assert sum(isinstance(one, Reauthentication) for one in ended) == 1


def test_attempts_at_once_are_all_counted(bob: User) -> None:
    def attempt() -> object:
        return actions.reauthenticate(bob, method="password", secret="wrong", by=as_(bob))

    at_once(*[attempt] * 12)

    tried = [why for _, why in outcomes(Action.SESSION_REAUTHENTICATE)]
    assert tried.count("not-you") == 5
    assert tried.count("locked-out") == 7
