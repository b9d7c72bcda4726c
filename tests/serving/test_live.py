"""What the gateway keeps never outlives a change that it could not see happen."""

from __future__ import annotations

import threading

import pytest
from django.db import connection

from access.models import User
from serving.live import Snapshot

on_both = pytest.mark.postgres if connection.vendor == "postgresql" else pytest.mark.timeout(120)
pytestmark = [pytest.mark.django_db(transaction=True), on_both]


def test_what_was_committed_while_the_connection_was_lost_is_noticed(scorer: User) -> None:
    snapshot = Snapshot()
    connection.close()
    snapshot.look()
    assert not snapshot.look()

    def deactivate() -> None:
        User.objects.filter(pk=scorer.pk).update(is_active=False)
        connection.close()

    elsewhere = threading.Thread(target=deactivate)
    elsewhere.start()
    elsewhere.join()
    connection.close()

    assert snapshot.look()
