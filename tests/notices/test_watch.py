"""Those who may read the ledger are told what it reports about itself, each once, and nobody else is."""

from __future__ import annotations

import pytest
from pytest_django.fixtures import Settings

from access.models import User
from audit.alerts import AT_MOST
from audit.models import Quarantined, SinkState
from notices.models import Notification
from notices.tasks import watch_ledger
from notices.watch import tell_of_the_ledger


def refuse(count: int = 1) -> None:
    Quarantined.objects.bulk_create(
        Quarantined(
            t=1, why="forged: its authentication code is not the app's", pending_id=n, mac="", payload=b"", private=b""
        )
        for n in range(count)
    )


def told(person: User) -> list[str]:
    return list(Notification.objects.of(person).order_by("pk").values_list("title", flat=True))


def test_an_auditor_is_told_of_a_refused_row_once_and_others_are_not(dave: User, alice: User) -> None:
    refuse()

    counts = [watch_ledger(), watch_ledger()]

    assert counts == [1, 0]
    assert told(dave) == ["The ledger refused an entry"]
    assert told(alice) == []
    notification = Notification.objects.of(dave).get()
    assert notification.link == "/audit/"
    assert "authentication code is not the app's" in notification.body


def test_each_row_is_told_of(dave: User) -> None:
    refuse(2)
    tell_of_the_ledger()
    refuse(1)

    assert tell_of_the_ledger() == 1
    assert len(told(dave)) == 3


def test_a_flood_of_rows_is_no_flood_of_notifications(dave: User) -> None:
    refuse(500)

    assert tell_of_the_ledger() == AT_MOST + 1
    assert told(dave)[-1] == "The ledger refused 480 more entries"
    assert tell_of_the_ledger() == 0


def test_where_nobody_may_know_the_alert_waits_for_somebody(alice: User, request: pytest.FixtureRequest) -> None:
    refuse()
    first = tell_of_the_ledger()
    dave: User = request.getfixturevalue("dave")

    assert first == 0
    assert tell_of_the_ledger() == 1
    assert len(told(dave)) == 1


def test_a_sink_that_fails_is_told_of_once_for_each_time_that_it_fails(dave: User, settings: Settings) -> None:
    state = SinkState.objects.create(name="git", failing_since=1, attempts=3, error="git push: no route")
    tell_of_the_ledger()
    tell_of_the_ledger()
    state.failing_since = 2
    state.save()

    tell_of_the_ledger()

    assert told(dave) == ["The ledger's checkpoints no longer reach git"] * 2
