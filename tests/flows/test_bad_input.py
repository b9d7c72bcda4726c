"""Bad input and faults at the doors that people and programs use: a clear sentence, no crash, and nothing half-written.

Kept where the rule lives: wrong digest, oversized, truncated, `..` (tests/registry/test_api.py, test_store.py), recipes and columns
(tests/datasets), policies (tests/reviews), killed workers (test_killed_worker.py), races (tests/reviews/test_races.py, PostgreSQL).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from access.models import User
from foundation.refusals import Conflict, Invalid
from registry.actions import add_evidence
from registry.evidence import OWN_EVIDENCE
from registry.models import Evidence, ModelTag, ModelVersion, RegisteredModel, Stage
from reviews.promotion import promote
from tests.conftest import as_
from tests.reviews.conftest import candidate, make_candidate

__all__ = ["candidate", "make_candidate"]

JUNK: tuple[dict[str, Any], ...] = (
    {},
    dict.fromkeys(("metrics", "holdout", "attributes", "slices", "bins", "packages", "features", "worst", "roc"), 5),
    {key: [1] for key in ("metrics", "holdout", "attributes", "slices", "bins", "schema", "inputs", "score_histogram")},
    dict.fromkeys(("metrics", "attributes", "slices", "bins", "packages", "features", "decision_flips", "roc"), "x"),
    {
        "metrics": {"auc": [1, 2]},
        "attributes": {"sex": 5},
        "slices": [7],
        "bins": [None],
        "features": ["x"],
        "roc": [5],
    },
    {
        "metrics": {"auc": {"value": "high"}},
        "attributes": {"sex": {"groups": 3}},
        "slices": [{"auc": "x"}],
        "bins": [{}],
    },
    {"against": [], "auc_difference": "x", "decision_flips": {"rows": 0, "changed": "x"}, "features": [{"feature": 1}]},
    {"score_histogram": {"edges": "x", "counts": 5}, "roc": [["a", "b"]], "pr": 3, "schema": [5], "train_years": 5},
    {"confusion": {"tp": "x"}, "metrics": {"auc": {"value": 1e308, "low": -1e308, "high": 1e308}}, "cutoff": "half"},
)
"""Evidence that a client may send and that is of no shape: the content of evidence is whatever its producer wrote."""


@pytest.mark.django_db
@pytest.mark.parametrize("kind", sorted(set(Evidence.Kind.values) - OWN_EVIDENCE))
def test_evidence_of_no_shape_blocks_and_breaks_no_page(
    kind: str,
    candidate: ModelVersion,
    production: Stage,
    alice: User,
    rita: User,
    client_for: Callable[[User], Client],
) -> None:
    client = client_for(alice)
    page = reverse("reviews:version", args=[candidate.model.name, candidate.number])

    for content in JUNK:
        with suppress(Invalid):  # most of it is refused with the place of what is wrong
            add_evidence(candidate, kind, content, by=as_(alice))

        assert client.get(page).status_code == 200, content
        with pytest.raises(Conflict):
            promote(candidate, production, by=as_(rita))


@pytest.mark.django_db
class TestPulling:
    """What a service hears that asks for something that is not to be had."""

    def test_an_unknown_alias_is_answered_with_those_that_there_are(
        self, candidate: ModelVersion, scorer_token: str, api_for: Callable[[User | str], APIClient]
    ) -> None:
        problem = api_for(scorer_token).get("/api/v1/models/credit/aliases/no-such-alias")

        assert problem.status_code == 404
        assert "no alias “no-such-alias”. Its aliases: none yet" in problem.json()["detail"]

    def test_a_stage_without_a_version_says_how_one_gets_there(
        self, candidate: ModelVersion, scorer_token: str, api_for: Callable[[User | str], APIClient]
    ) -> None:
        problem = api_for(scorer_token).get("/api/v1/models/credit/aliases/champion")

        assert problem.status_code == 404
        assert "reviewed, signed and promoted" in problem.json()["detail"]

    @pytest.mark.parametrize("part", ["download", "attestation", "files/model.skops", "files/../../secrets/x"])
    def test_an_unapproved_version_is_answered_with_every_requirement_and_no_byte(
        self, part: str, candidate: ModelVersion, scorer_token: str, api_for: Callable[[User | str], APIClient]
    ) -> None:
        problem = api_for(scorer_token).get(f"/api/v1/models/credit/versions/1/{part}")

        assert problem.status_code == 409
        assert problem["Content-Type"] == "application/problem+json"
        waiting = {one["key"] for one in problem.json()["requirements"] if one["status"] == "waiting"}
        assert waiting == {"slot-validator", "slot-risk"}


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL locks rows, not the database")
class TestLockedDatabase:
    """Somebody else holds SQLite's write lock for longer than anyone waits."""

    @pytest.fixture(autouse=True)
    def _impatient(self) -> Iterator[None]:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout = 50")
        yield
        connection.close()

    @contextmanager
    def locked(self) -> Iterator[None]:
        other = sqlite3.connect(str(connection.settings_dict["NAME"]), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")
            other.close()

    def test_the_api_says_so_and_keeps_nothing(
        self, model: RegisteredModel, alice: User, api_for: Callable[[User | str], APIClient]
    ) -> None:
        client = api_for(alice)

        with self.locked():
            problem = client.put("/api/v1/models/credit/tags/team/", {"value": "risk"}, format="json")

        assert problem.status_code == 503
        assert "database is busy" in problem.json()["detail"].lower()
        assert not ModelTag.objects.exists()
        assert client.put("/api/v1/models/credit/tags/team/", {"value": "risk"}, format="json").status_code == 200

    def test_the_page_says_so_and_keeps_nothing(
        self, model: RegisteredModel, alice: User, client_for: Callable[[User], Client]
    ) -> None:
        client = client_for(alice)

        with self.locked():
            answer = client.post("/models/new/", {"name": "other", "tier": "1", "intended_use": "x"})

        assert answer.status_code == 503
        assert "busy" in answer.content.decode()
        assert RegisteredModel.objects.count() == 1
