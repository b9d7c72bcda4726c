"""What was decided in a period, as of its end, and the same as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from access.models import User
from registry.models import ModelVersion, RegisteredModel
from reports.forms import Period
from reports.queries import decisions, state_at
from reviews.models import Approval
from reviews.revocation import revoke
from tests.conftest import as_
from tests.reviews.conftest import proof_of

ClientFor = Callable[[User], Client]


def test_lists_approvals_releases_and_revocations(released: ModelVersion, carol: User, dave: User) -> None:
    revoke(released, reason="Data breach.", reauthentication=proof_of(carol), by=as_(carol))

    found = decisions(Period(), as_(dave))

    assert [line.state for line in found.approvals] == ["revoked"]
    assert [one.version for one in found.promotions] == [released]
    assert [one.reason for one in found.revocations] == ["Data breach."]


def test_states_are_told_as_of_the_date(released: ModelVersion, carol: User) -> None:
    before = timezone.now()
    revoke(released, reason="Data breach.", reauthentication=proof_of(carol), by=as_(carol))
    approval = Approval.objects.select_related("promotion", "revocation").get()

    assert state_at(approval, before) == "released"
    assert state_at(approval, timezone.now()) == "revoked"
    assert state_at(approval, approval.approved_at) == "approved"


def test_an_expired_approval_is_told_as_expired(released: ModelVersion) -> None:
    approval = Approval.objects.select_related("promotion", "revocation").get()

    assert state_at(approval, approval.valid_until + timedelta(days=1)) == "expired"


@pytest.mark.parametrize(
    ("period", "n"),
    [
        (Period(model="cred"), 1),
        (Period(model="other"), 0),
        (Period(tier=1), 1),
        (Period(tier=3), 0),
        (Period(until=timezone.now().date() - timedelta(days=1)), 0),
        (Period(since=timezone.now().date() - timedelta(days=1)), 1),
    ],
)
def test_the_period_narrows(period: Period, n: int, released: ModelVersion, dave: User) -> None:
    assert len(decisions(period, as_(dave)).approvals) == n


def test_nothing_is_listed_of_models_that_one_may_not_see(released: ModelVersion, root: User) -> None:
    found = decisions(Period(), as_(root))

    assert not found.approvals
    assert not found.promotions


def test_the_page_takes_a_fixed_number_of_statements(
    released: ModelVersion, client_for: ClientFor, dave: User, django_assert_max_num_queries
) -> None:
    client = client_for(dave)

    with django_assert_max_num_queries(20):
        page = client.get("/reports/")

    assert "credit v1" in page.content.decode()


def test_the_page_says_what_is_empty(client_for: ClientFor, dave: User) -> None:
    assert "No approval in this period" in client_for(dave).get("/reports/?tier=9&since=x").content.decode()


def test_the_export_cannot_act_as_a_formula(
    released: ModelVersion, model: RegisteredModel, client_for: ClientFor, carol: User
) -> None:
    revoke(released, reason='=HYPERLINK("http://x")', reauthentication=proof_of(carol), by=as_(carol))

    answer = client_for(carol).get("/reports/revocations.csv")

    (line,) = csv.DictReader(io.StringIO(answer.content.decode()))
    assert line["reason"].startswith("'=HYPERLINK")


@pytest.mark.parametrize("what", ["approvals", "promotions"])
def test_every_list_can_be_exported(what: str, released: ModelVersion, client_for: ClientFor, dave: User) -> None:
    (line,) = csv.DictReader(io.StringIO(client_for(dave).get(f"/reports/{what}.csv").content.decode()))

    assert (line["model"], line["version"]) == ("credit", "1")


@pytest.mark.django_db
def test_reports_are_for_those_who_may_see_models(client_for: ClientFor, root: User) -> None:
    assert client_for(root).get("/reports/").status_code == 403
    assert Client().get("/reports/").status_code in {302, 401}
