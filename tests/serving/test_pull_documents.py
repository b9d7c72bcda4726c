"""What a pull says: enough to check later, with nobody asked, who signed it and that the ledger has the promotion."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone
from rest_framework.test import APIClient

from access.models import ServiceToken, User
from audit import keys
from audit.models import Checkpoint
from audit.queries import Filter, entries
from audit.sequencer import Sequencer
from countersign.proof.attestation import verify
from countersign.proof.dsse import envelope_digest
from countersign.proof.receipts import verify_receipt
from foundation.keys import registry_signer
from registry.models import ModelVersion
from tests.audit.conftest import happen, ledger_of_its_own, sequencer
from tests.reviews.conftest import MakeCandidate
from tests.serving.conftest import release, withdraw_approval

__all__ = ["ledger_of_its_own", "sequencer"]

pytestmark = pytest.mark.django_db

CHAMPION = "/api/v1/models/credit/aliases/champion"
FIRST = "/api/v1/models/credit/versions/1"


@pytest.fixture
def scorer_api(api_for: Callable[[User | str], APIClient], scorer_token: str) -> APIClient:
    return api_for(scorer_token)


def promotion_proven_by(document: dict[str, Any]) -> dict[str, Any]:
    """What the entry says that the document's own receipt proves under its own checkpoint, by the key that we know."""
    said = document["ledger"]["promotion"]
    proven = verify_receipt(said["receipt"].encode(), keys.trusted_verifiers())
    assert proven.payload == base64.b64decode(said["payload"])
    assert said["receipt"].endswith(document["ledger"]["checkpoint"])
    entry: dict[str, Any] = json.loads(proven.payload)
    return entry


def test_a_document_proves_the_release_and_its_promotion(
    sequencer: Sequencer, scorer_api: APIClient, released: ModelVersion
) -> None:
    sequencer.tick()

    document = scorer_api.get(CHAMPION).json()

    assert (document["type"], document["alias"]) == ("https://countersign.dev/pull/v1", "champion")
    verified = verify(document["attestation"], registry_signer().public, at=timezone.now(), model="credit")
    assert (verified.version, verified.digest) == (1, document["digest"])
    moved = promotion_proven_by(document)
    assert (moved["action"], moved["obj"]["name"]) == ("alias.set", "credit")
    assert moved["d"]["after"]["release"] == envelope_digest(document["attestation"]["release"])
    assert moved["d"]["after"]["version"] == 1
    assert document["ledger"]["log_key"] == str(keys.trusted_verifiers()[-1])
    assert document["ledger"]["pending"] is False


def test_each_promotion_has_the_proof_of_its_own_entry(
    sequencer: Sequencer,
    scorer_api: APIClient,
    released: ModelVersion,
    make_candidate: MakeCandidate,
    alice: User,
    bob: User,
    carol: User,
    rita: User,
) -> None:
    release(make_candidate(), by=alice, validator=bob, risk=carol, promoter=rita)
    sequencer.tick()

    document = scorer_api.get(CHAMPION).json()

    assert document["version"] == 2
    assert promotion_proven_by(document)["d"]["after"]["version"] == 2


def test_a_proof_follows_the_ledger_as_it_grows(
    sequencer: Sequencer, scorer_api: APIClient, released: ModelVersion
) -> None:
    sequencer.tick()
    before = scorer_api.get(CHAMPION).json()["ledger"]["checkpoint"]
    happen(300)
    sequencer.tick()

    document = scorer_api.get(CHAMPION).json()

    assert document["ledger"]["checkpoint"] == Checkpoint.objects.latest("size").note != before
    assert promotion_proven_by(document)["d"]["after"]["version"] == 1


def test_until_the_promotion_is_signed_in_the_ledger_its_proof_is_pending(
    sequencer: Sequencer, scorer_api: APIClient, released: ModelVersion
) -> None:
    first = scorer_api.get(CHAMPION)
    assert (first.json()["ledger"]["promotion"], first.json()["ledger"]["pending"]) == (None, True)

    sequencer.tick()

    again = scorer_api.get(CHAMPION, headers={"If-None-Match": first["ETag"]})
    assert again.status_code == 200
    assert again.json()["ledger"]["pending"] is False


def test_the_name_of_a_stage_is_answered_as_its_alias(scorer_api: APIClient, released: ModelVersion) -> None:
    by_alias, by_stage = scorer_api.get(CHAMPION), scorer_api.get(CHAMPION.replace("champion", "production"))
    empty = scorer_api.get(CHAMPION.replace("champion", "staging"))

    assert (by_stage.json()["alias"], by_stage["ETag"]) == ("champion", by_alias["ETag"])
    assert (empty.status_code, "“challenger” points at nothing yet" in empty.json()["detail"]) == (404, True)


def test_a_version_by_its_number_says_the_same_but_for_the_alias(scorer_api: APIClient, released: ModelVersion) -> None:
    by_alias, by_number = scorer_api.get(CHAMPION), scorer_api.get(f"{FIRST}?stage=production")

    assert by_alias["ETag"] == by_number["ETag"]
    assert by_number.json() == by_alias.json() | {"alias": None}
    assert scorer_api.get(f"{FIRST}?stage=staging").status_code == 409


def test_what_a_client_holds_is_confirmed_until_something_was_revoked_or_time_passed(
    scorer_api: APIClient,
    released: ModelVersion,
    make_candidate: MakeCandidate,
    alice: User,
    bob: User,
    carol: User,
    rita: User,
) -> None:
    def asked(etag: str) -> Any:
        return scorer_api.get(FIRST, headers={"If-None-Match": etag})

    etag = scorer_api.get(FIRST)["ETag"]
    assert asked(etag).status_code == asked(f'W/"x", {etag}').status_code == 304
    assert asked(etag)["ETag"] == etag

    second = release(make_candidate(), by=alice, validator=bob, risk=carol, promoter=rita)
    assert asked(etag).status_code == 304
    withdraw_approval(second, carol)
    after = asked(etag)
    assert after.status_code == 200
    assert after["ETag"] != etag

    with time_machine.travel(timezone.now() + timedelta(minutes=11)):
        assert asked(after["ETag"]).status_code == 200


def test_a_held_document_is_not_confirmed_after_its_revocation(
    scorer_api: APIClient, released: ModelVersion, carol: User
) -> None:
    etag = scorer_api.get(FIRST)["ETag"]

    withdraw_approval(released, carol)

    assert scorer_api.get(FIRST, headers={"If-None-Match": etag}).status_code == 409


def test_a_revoked_token_is_refused_on_the_next_request(
    scorer_api: APIClient, released: ModelVersion, scorer: User
) -> None:
    assert scorer_api.get(CHAMPION).status_code == 200

    ServiceToken.objects.filter(user=scorer).update(revoked_at=timezone.now())

    assert scorer_api.get(CHAMPION).status_code == 401


def test_every_answer_is_on_record_once(scorer_api: APIClient, released: ModelVersion, candidate: ModelVersion) -> None:
    def recorded() -> list[tuple[str, str, Any, Any]]:
        return [
            (one.entry.action, one.entry.outcome, one.entry.after.get("alias"), one.entry.after.get("held"))
            for one in entries(Filter(action="version."))[:n]
        ][::-1]

    answer = scorer_api.get(CHAMPION)
    scorer_api.get(CHAMPION, headers={"If-None-Match": answer["ETag"]})
    scorer_api.get(FIRST)
    scorer_api.get(f"{FIRST}?stage=staging")

    n = 4
    assert recorded() == [
        ("version.attest", "ok", "champion", None),
        ("version.attest", "ok", "champion", True),
        ("version.attest", "ok", None, None),
        ("version.pull", "denied", None, None),
    ]
    last = entries(Filter(action="version.attest"))
    assert answer["Countersign-Ledger-Entry"] in [f"{one.entry.writer}/{one.entry.n}" for one in last]
