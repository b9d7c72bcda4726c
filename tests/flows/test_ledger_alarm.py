"""A ledger that does not verify: every page says so to those who may know, nothing goes live, and somebody may answer for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.utils import timezone

from access.models import User
from audit import integrity
from audit.models import Integrity
from foundation.refusals import Conflict
from registry.models import Stage
from reviews.models import Review
from reviews.promotion import promote
from tests.conftest import as_
from tests.reviews.conftest import approved, candidate, make_candidate, review

__all__ = ["approved", "candidate", "make_candidate", "review"]

pytestmark = pytest.mark.django_db
Browser = Callable[[User], Client]
ALARM = "The audit log does not verify."


@pytest.fixture
def broken() -> None:
    sentence = "The first 7 entries are not the ones that were signed."
    Integrity.objects.create(pk=1, at=timezone.now(), problems=[["root", sentence]])
    integrity.forget()


def test_an_approved_version_is_not_promoted(broken: None, approved: Review, production: Stage, rita: User) -> None:
    with pytest.raises(Conflict, match="Nothing goes live now: the ledger does not verify") as refused:
        promote(approved.version, production, by=as_(rita))

    assert refused.value.link == "/audit/integrity/"


def test_every_page_says_so_to_those_who_may_read_the_log(
    broken: None, dave: User, root: User, client_for: Browser
) -> None:
    for path in ("/", "/models/", "/audit/", "/me/"):
        assert ALARM in client_for(dave).get(path).content.decode(), path
        assert ALARM not in client_for(root).get(path).content.decode(), path


def test_a_sound_ledger_is_not_talked_about(dave: User, client_for: Browser) -> None:
    assert ALARM not in client_for(dave).get("/").content.decode()
    assert "Not verified yet." in client_for(dave).get("/audit/integrity/").content.decode()


def test_a_risk_officer_answers_for_it_and_promotion_goes_on(
    broken: None, approved: Review, production: Stage, carol: User, rita: User, client_for: Browser
) -> None:
    officer = client_for(carol)
    page = officer.get("/audit/integrity/").content.decode()
    assert 'name="kind" value="root"' in page

    without_a_reason = officer.post("/audit/integrity/", {"kind": "root", "reason": " "})
    answered = officer.post("/audit/integrity/", {"kind": "root", "reason": "The disk was replaced."})

    assert without_a_reason.status_code == 400
    assert 'aria-invalid="true"' in without_a_reason.content.decode()
    assert answered.status_code == 302
    assert promote(approved.version, production, by=as_(rita)).version == approved.version
    assert "has acknowledged this; promotion goes on" in officer.get("/").content.decode()


def test_an_auditor_reads_it_but_cannot_answer_for_it(broken: None, dave: User, client_for: Browser) -> None:
    page = client_for(dave).get("/audit/integrity/").content.decode()

    assert "The first 7 entries are not the ones that were signed." in page
    assert "ledger.acknowledge" in page
    assert client_for(dave).post("/audit/integrity/", {"kind": "root", "reason": "Fine."}).status_code == 403


def test_problems_that_were_not_shown_are_not_answered_for(broken: None, carol: User, client_for: Browser) -> None:

    stale = client_for(carol).post("/audit/integrity/", {"kind": "tile", "reason": "The disk was replaced."})

    assert stale.status_code == 409
    assert "Other problems were found" in stale.content.decode()
