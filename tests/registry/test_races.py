"""Several at once, on PostgreSQL: numbers are given once, a stage moves once, a retry makes one version."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import close_old_connections, connection, connections  # noqa: F401 - the mark reads `connection`

from foundation.refusals import Refusal
from registry.actions import register_version, set_alias
from registry.lifecycle import move
from registry.models import Alias, ModelVersion, Promotion
from registry.releases import place_stage_alias
from tests.conftest import as_
from tests.factories import stored_tiny_model
from tests.registry.test_releases import release_of

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite lets one writer in at a time"),
]


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """The results of the calls, each in a thread and a connection of its own; a refusal is a result."""

    def run(call: Callable[[], Any]) -> Any:
        close_old_connections()
        try:
            return call()
        except Refusal as refusal:
            return refusal
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def test_versions_registered_at_once_get_numbers_of_their_own(model, alice):
    files = stored_tiny_model()

    made = at_once(*[lambda: register_version(model, files, by=as_(alice), admit=False)] * 8)

    assert sorted(version.number for version in made) == list(range(1, 9))


def test_a_job_performed_twice_at_once_makes_one_version(model, alice):
    files, job = stored_tiny_model(), uuid.uuid4()

    made = at_once(*[lambda: register_version(model, files, by=as_(alice), job_uuid=job, admit=False)] * 6)

    assert len({version.pk for version in made}) == 1
    assert ModelVersion.objects.count() == 1


def test_a_retried_request_that_overlaps_the_first_makes_one_version(model, alice):
    files = stored_tiny_model()

    made = at_once(*[lambda: register_version(model, files, by=as_(alice), run_id="abc", admit=False)] * 6)

    assert len({version.pk for version in made}) == 1


def test_two_promotions_decided_on_the_same_champion_give_one(model, make_version, alice, rita, production):
    from django.db import transaction

    versions = [make_version(model), make_version(model)]
    for version in versions:
        with transaction.atomic():
            move(version, "request_review", by=as_(alice))
            move(version, "approve", by=as_(alice), decision="a" * 64)

    def place(version: ModelVersion) -> Callable[[], Promotion]:
        return lambda: place_stage_alias(model, production, version, release=release_of(version), by=as_(rita))

    results = at_once(*[place(version) for version in versions])

    refusals = [result for result in results if isinstance(result, Refusal)]
    assert [refusal.code for refusal in refusals] == ["stage-moved"]
    assert Promotion.objects.count() == 1
    assert Alias.objects.get().version == Promotion.objects.get().version


def test_an_alias_moved_at_once_leaks_no_database_text(model, make_version, alice):
    versions = [make_version(model) for _ in range(3)]

    results = at_once(
        *[lambda version=version: set_alias(model, "shadow", version, by=as_(alice)) for version in versions]
    )

    assert all(isinstance(result, Alias) for result in results)
    assert Alias.objects.count() == 1
