"""Whoever decides is told where the ledger has it: by the page, by the API, and by an address that is good before the entry is signed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from rest_framework.test import APIClient

from access.models import User
from audit import keys
from audit.actions import append_alone
from audit.events import Action
from audit.handed import hand
from audit.receipts import forget_tiles
from audit.sequencer import Sequencer, initialise
from countersign.proof.receipts import verify_receipt
from registry.models import Stage
from reviews.models import Review
from reviews.views.receipts import receipt_note
from tests.audit.conftest import CREDIT, ledger_of_its_own, sequencer
from tests.conftest import PASSWORD, as_

__all__ = ["ledger_of_its_own", "sequencer"]

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_tiles_of_another_test() -> None:
    forget_tiles()


@pytest.mark.django_db(transaction=True)
def test_a_signed_receipt_tells_entry_checkpoint_and_root(dave: User) -> None:
    initialise()
    running = Sequencer(keys.load_log_key())
    running.start()
    receipt = append_alone(Action.MODEL_UPDATE, by=as_(dave), obj=CREDIT)
    running.tick()

    found = hand(receipt)
    note = receipt_note(receipt, as_(dave))

    assert found.head is not None
    assert found.head.size == 1 + (found.seq or 0)
    assert found.as_json()["checkpoint"] == found.checkpoint
    assert f'<a href="/audit/{found.seq}/">Ledger entry {found.seq}</a>' in note
    assert f"checkpoint {found.head.size}, root <code>{found.head.root.hex()[:8]}…</code>" in note
    assert f'href="/api/v1/receipts/{receipt.writer}/{receipt.n}.tlog-proof"' in note


def test_who_may_not_read_the_log_gets_the_receipt_without_a_link_to_it(alice: User) -> None:
    receipt = append_alone(Action.MODEL_UPDATE, by=as_(alice), obj=CREDIT)

    note = receipt_note(receipt, as_(alice))

    assert "Recorded, not yet signed" in note
    assert f'href="/api/v1/receipts/{receipt.writer}/{receipt.n}.tlog-proof"' in note
    assert "/audit/" not in note


def test_the_address_answers_once_the_entry_is_signed_and_to_whoever_did_it(
    sequencer: Sequencer, alice: User, dave: User, erin: User, api_for: Callable[[User], APIClient]
) -> None:
    receipt = append_alone(Action.MODEL_UPDATE, by=as_(alice), obj=CREDIT)
    address = hand(receipt).proof
    early = api_for(alice).get(address)
    sequencer.tick()

    own, auditor = api_for(alice).get(address), api_for(dave).get(address)

    assert early.status_code == 404
    assert "is signed within seconds" in early.json()["detail"]
    assert own.content == auditor.content
    assert str(alice.uuid).encode() in verify_receipt(own.content, keys.trusted_verifiers()).payload
    assert api_for(erin).get(address).status_code == 403


def test_the_receipt_keeps_its_bytes_when_the_ledger_grows(
    sequencer: Sequencer, alice: User, api_for: Callable[[User], APIClient]
) -> None:
    address = hand(append_alone(Action.MODEL_UPDATE, by=as_(alice), obj=CREDIT)).proof
    sequencer.tick()
    first = api_for(alice).get(address).content
    append_alone(Action.MODEL_UPDATE, by=as_(alice), obj=CREDIT)
    sequencer.tick()

    assert api_for(alice).get(address).content == first


def test_a_promotion_over_the_api_carries_its_receipt(
    approved: Review, production: Stage, rita: User, api_for: Callable[[User], APIClient]
) -> None:
    answer = api_for(rita).post(
        f"/api/v1/models/{approved.version.model.name}/promotions/",
        {"version": approved.version.number, "stage": production.name},
        format="json",
    )

    assert answer.status_code == 201
    receipt = answer.json()["receipt"]
    assert set(receipt) == {"writer", "n", "leaf", "seq", "checkpoint", "proof"}
    assert receipt["proof"] == f"/api/v1/receipts/{receipt['writer']}/{receipt['n']}.tlog-proof"


def test_the_page_shows_the_receipt_of_a_promotion_and_of_a_revocation(
    approved: Review, production: Stage, rita: User, client_for: Callable[[User], Client]
) -> None:
    version = approved.version
    client = client_for(rita)

    promoted = client.post(f"/models/{version.model.name}/v/{version.number}/promote/?stage=production", follow=True)
    revoked = client.post(
        f"/models/{version.model.name}/v/{version.number}/revoke/",
        {"reason": "Wrong data.", "method": "password", "secret": PASSWORD},
        follow=True,
    )

    for page in (promoted, revoked):
        assert page.status_code == 200
        assert "Recorded, not yet signed; <a href=" in page.content.decode()
