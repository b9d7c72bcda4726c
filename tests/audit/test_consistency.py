"""Whoever saw a checkpoint can hold every later one to it, and learns nothing else."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable

import pytest
from rest_framework.test import APIClient

from access.models import User
from audit import keys
from audit.models import Checkpoint
from audit.sequencer import Sequencer
from countersign.proof.merkle import verify_consistency
from tests.audit.conftest import happen

pytestmark = pytest.mark.django_db
ADDRESS = "/api/v1/ledger/consistency"
Api = Callable[[User | str], APIClient]


def grow(sequencer: Sequencer, *counts: int) -> None:
    for count in counts:
        happen(count)
        sequencer.tick()


def test_each_checkpoint_leads_to_each_later_one(sequencer: Sequencer, api_for: Api, scorer_token: str) -> None:
    grow(sequencer, 1, 6, 300, 17)
    heads = [keys.open_ours(one.note) for one in Checkpoint.objects.order_by("size") if one.size]
    api = api_for(scorer_token)

    for number, old in enumerate(heads):
        for new in heads[number:]:
            answer = api.get(ADDRESS, {"old": old.size, "new": new.size})
            proof = [b64decode(one) for one in answer.json()["proof"]]
            assert verify_consistency(old.size, new.size, old.root, new.root, proof), (old.size, new.size)


@pytest.mark.parametrize(("old", "new"), [(1, 10_000), (3, 2)])
def test_sizes_that_nobody_signed_have_no_proof(
    sequencer: Sequencer, api_for: Api, scorer_token: str, old: int, new: int
) -> None:
    grow(sequencer, 5)

    assert api_for(scorer_token).get(ADDRESS, {"old": old, "new": new}).status_code == 404


@pytest.mark.parametrize("query", [{}, {"old": "x", "new": "2"}, {"old": "0", "new": "1"}, {"old": "-1", "new": "1"}])
def test_what_is_no_size_is_refused(
    sequencer: Sequencer, api_for: Api, scorer_token: str, query: dict[str, str]
) -> None:
    assert api_for(scorer_token).get(ADDRESS, query).status_code == 400


def test_strangers_get_nothing(db: None) -> None:
    assert APIClient().get(ADDRESS, {"old": 1, "new": 2}).status_code == 401
