"""The review pack: everything that a committee reads, the same for every reader, and nothing from anywhere else."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone

from access.models import User
from audit.entries import Entry
from audit.models import Pending
from registry import actions as registry_actions
from registry.models import ModelVersion
from reports.pdf import pdf_of, printed_pack
from reports.review_pack import ReviewPack, Signed, pack_of
from reports.signed import line_of
from reviews.actions import open_thread, raise_finding, reply, withdraw_sign_off
from reviews.models import Review
from tests.conftest import as_
from tests.reports.test_pdf import inflated
from tests.reviews.conftest import MakeCandidate, sign

ClientFor = Callable[[User], Client]
ADDRESS = "/models/credit/v/1/review-pack.pdf"
HOSTILE = "<script>alert(1)</script> ![x](https://evil.example/x.png) <img src=https://evil.example/y.png>"


def html_of(version: ModelVersion, **asked: str) -> str:
    return printed_pack(pack_of(version, at=timezone.now(), **asked))


def test_a_pack_says_what_the_page_says(review: Review, alice: User, bob: User, carol: User) -> None:
    thread = open_thread(review, "Why is the *cut-off* there?", section="performance", must_resolve=True, by=as_(bob))
    reply(thread, "Because of the appetite.", by=as_(alice))
    finding = raise_finding(
        review.version,
        title="Calibration of the young",
        detail="Look again.",
        severity="minor",
        owner=alice,
        due_at=timezone.now() + timedelta(days=9),
        verifying_group=Group.objects.get(name="Model validation"),
        by=as_(bob),
    )
    signed = sign(review, "validator", bob, reason="I read it all, and twice.")

    html = html_of(review.version)

    for said in (
        f"sha256:{review.version.digest}",
        "Better on young people.",  # why
        "Cannot go to production yet",
        "resolve",  # what blocks
        "production-tier-1",
        "Bob Lindqvist",
        "“I read it all, and twice.”",
        f"sha256:{signed.statement_digest}",
        finding.title,
        "Why is the <em>cut-off</em> there?",
        "Because of the appetite.",
        "Who signs",  # the policy's text
        "True-positive rate by group",
        "Feature importance",
    ):
        assert said in html, said
    assert html.count("<svg") == 5


def test_a_signature_that_does_not_count_is_printed_as_such(review: Review, bob: User) -> None:
    signed = sign(review, "validator", bob)
    withdraw_sign_off(signed, reason="I had not seen the data.", by=as_(bob))

    assert "Does not count: withdrawn" in html_of(review.version)


def test_a_row_that_the_registry_did_not_sign_is_not_printed_as_somebody_s_word(review: Review, bob: User) -> None:
    signed = sign(review, "validator", bob, reason="I read it all, and twice.")
    pack = pack_of(review.version, at=timezone.now())
    signed.statement["signatures"][0]["sig"] = "AAAA"

    forged = printed_pack(pack_of_with(pack, signed.statement))

    assert "I read it all, and twice." not in forged
    assert "A row without a valid statement" in forged


def pack_of_with(pack: ReviewPack, statement: dict[str, Any]) -> ReviewPack:
    """The pack with this statement in its one signature: the database itself would not let anyone change it."""
    one = pack.signed[0]
    return replace(pack, signed=[Signed(one.signature, line_of(statement, obj=one.signature.sign_off.ledger_ref()))])


def test_a_version_without_a_review_has_a_pack_too(candidate: ModelVersion) -> None:
    html = html_of(candidate)

    assert "No review for production was requested yet" in html
    assert "Nobody has signed yet." in html


def test_the_pack_is_of_the_stage_and_beside_the_version_asked_for(make_candidate: MakeCandidate) -> None:
    make_candidate()
    second = make_candidate(auc=0.79)

    beside, alone = html_of(second, base="1"), html_of(second, base="none")

    assert "Changes since v1" in beside
    assert "Compared with v1" in beside
    assert "Compared with nothing" in alone
    assert "review for staging was requested yet" in html_of(second, stage="staging")


def test_the_same_state_at_the_same_moment_is_the_same_file(review: Review, bob: User) -> None:
    open_thread(review, "Why?", by=as_(bob))
    sign(review, "validator", bob)
    at = timezone.now()

    first = pdf_of(printed_pack(pack_of(_again(review.version), at=at)))
    time.sleep(1.1)  # fonts carry a time in seconds
    second = pdf_of(printed_pack(pack_of(_again(review.version), at=at)))

    assert first == second
    assert first != pdf_of(printed_pack(pack_of(_again(review.version), at=at + timedelta(days=1))))


def test_no_clock_is_asked_but_the_one_that_is_given(review: Review, bob: User, carol: User) -> None:
    sign(review, "validator", bob)
    sign(review, "risk", carol)
    today = timezone.now()

    then = printed_pack(pack_of(_again(review.version), at=today + timedelta(days=4_000)))

    assert "Approved until" in printed_pack(pack_of(_again(review.version), at=today))
    assert "Expired" in then
    assert f"As of {(today + timedelta(days=4_000)).day} " in then


def _again(version: ModelVersion) -> ModelVersion:
    return ModelVersion.objects.select_related("model__owner").get(pk=version.pk)


def test_what_people_wrote_neither_runs_nor_loads(review: Review, alice: User, bob: User) -> None:
    open_thread(review, HOSTILE, by=as_(bob))
    registry_actions.revise_card(review.version, {"intended_use": HOSTILE}, by=as_(alice))
    sign(review, "validator", bob, reason=HOSTILE)

    html = html_of(review.version)

    assert "<script" not in html
    assert "<img" not in html
    assert pdf_of(html).startswith(b"%PDF-")


def test_the_pdf_is_tagged_served_and_on_record_with_its_digest(
    review: Review, dave: User, client_for: ClientFor
) -> None:
    answer = client_for(dave).get(ADDRESS)

    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/pdf"
    assert answer["Content-Disposition"] == 'inline; filename="review-pack-credit-v1.pdf"'
    text = inflated(answer.content)
    assert b"pdfuaid" in text
    assert b"/StructTreeRoot" in text
    entry = json.loads(bytes(Pending.objects.order_by("-pk")[0].payload))
    assert entry["action"] == "review_pack.issue"
    assert hashlib.sha256(answer.content).hexdigest() in json.dumps(entry)


def test_every_reader_gets_the_same_pack(review: Review, bob: User, dave: User, client_for: ClientFor) -> None:
    page = client_for(bob).get("/models/credit/v/1/").content.decode()

    assert "Waiting for you" in page
    assert "Waiting for others" in html_of(review.version)


@pytest.mark.parametrize("stage", ["", "?stage=staging", "?stage=nonsense", "?base=77"])
def test_a_hidden_version_s_pack_and_an_absent_one_s_are_answered_the_same(
    stage: str, review: Review, root: User, client_for: ClientFor
) -> None:
    client = client_for(root)
    last = Pending.objects.latest("id").pk

    hidden = client.get(ADDRESS + stage)
    absent = client.get(ADDRESS.replace("credit", "unheard") + stage)

    assert hidden.status_code == absent.status_code == 404
    assert b"credit v1" not in hidden.content
    written = [Entry.parse(bytes(row.payload)) for row in Pending.objects.filter(pk__gt=last)]
    assert [(one.outcome, one.actor_id) for one in written] == [("denied", str(root.uuid))] * 2


def test_the_review_page_offers_its_pack(review: Review, dave: User, client_for: ClientFor) -> None:
    page = client_for(dave).get("/models/credit/v/1/").content.decode()

    assert f'href="{ADDRESS}?stage=production&amp;base=none"' in page
