"""What the gateway keeps never outlives a change that it could not see happen."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.db import connection

from access.models import User
from access.principal import Principal
from foundation.refusals import Refusal
from registry.models import ModelVersion
from serving.live import SOUND_SECONDS, Snapshot, Wanted

on_both = pytest.mark.postgres if connection.vendor == "postgresql" else pytest.mark.timeout(120)
pytestmark = [pytest.mark.django_db(transaction=True), on_both]


def elsewhere(work: Callable[[], object]) -> None:
    """Do it in a thread with a connection of its own."""

    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


def test_what_was_committed_while_the_connection_was_lost_is_noticed(scorer: User) -> None:
    snapshot = Snapshot()
    connection.close()
    snapshot.look()
    assert not snapshot.look()

    elsewhere(lambda: User.objects.filter(pk=scorer.pk).update(is_active=False))
    connection.close()

    assert snapshot.look()


def test_what_ends_by_its_date_is_verified_anew_though_nothing_was_committed(
    scorer_token: str, released: ModelVersion
) -> None:
    now = [1_000.0]
    snapshot, header, wanted = Snapshot(lambda: now[0]), f"Bearer {scorer_token}", Wanted("credit", "champion")

    def told(by: Principal, refusal: Refusal) -> None:
        raise AssertionError(refusal)

    def learn() -> None:
        snapshot.learn(header, {"REMOTE_ADDR": "192.0.2.9"}, wanted, told)

    snapshot.look()
    elsewhere(learn)
    snapshot.look()
    assert snapshot.verdict(header, wanted)
    assert not snapshot.look()

    now[0] += SOUND_SECONDS
    assert snapshot.verdict(header, wanted)
    now[0] += 0.01
    assert snapshot.verdict(header, wanted) is None

    elsewhere(learn)
    snapshot.look()
    assert snapshot.verdict(header, wanted)
