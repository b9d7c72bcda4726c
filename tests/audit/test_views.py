"""Auditors read, check and take away the ledger; everybody else is refused, and that is in the ledger."""

from __future__ import annotations

import csv
from collections.abc import Callable
from io import StringIO

import pytest
from django.test import Client
from django.urls import reverse

from access.models import User
from audit.actions import append_alone
from audit.events import Action, Actor, Obj
from audit.models import Pending
from audit.queries import Filter, entries
from audit.sequencer import Sequencer
from tests.audit.conftest import ALICE, CREDIT, happen
from tests.audit.test_attacks import edit_an_entry, store_garbage

ClientFor = Callable[[User], Client]
ROUTES = [
    ("get", "audit:log"),
    ("post", "audit:verify"),
    ("get", "audit:export"),
    ("get", "audit:checkpoint"),
    ("get", "audit:bundle"),
]


@pytest.fixture
def auditor(dave: User, client_for: ClientFor) -> Client:
    """Dave's browser."""
    return client_for(dave)


@pytest.mark.parametrize(("method", "route"), ROUTES)
def test_who_is_not_signed_in_is_sent_to_sign_in(ledger: Sequencer, client: Client, method: str, route: str) -> None:
    answer = getattr(client, method)(reverse(route))

    assert answer.status_code == 302
    assert reverse("account_login") in answer["Location"]


@pytest.mark.parametrize(("method", "route"), ROUTES)
@pytest.mark.parametrize("name", ["alice", "root"])
def test_who_is_no_auditor_is_refused_and_that_is_recorded(
    request: pytest.FixtureRequest, ledger: Sequencer, client_for: ClientFor, name: str, method: str, route: str
) -> None:
    user: User = request.getfixturevalue(name)

    answer = getattr(client_for(user), method)(reverse(route))

    assert answer.status_code == 403
    assert b"Auditor" in answer.content
    denied = entries(Filter(action="ledger.", outcome="denied"))
    assert [one.entry.actor_id for one in denied] == [str(user.uuid)]


def test_an_empty_log_says_what_will_stand_there(db: None, auditor: Client) -> None:
    Pending.objects.all().delete()

    page = auditor.get(reverse("audit:log")).content.decode()

    assert "Nothing has happened yet" in page
    assert "manage.py audit init" in page


def test_the_log_shows_the_newest_entries_and_the_checkpoint(ledger: Sequencer, auditor: Client) -> None:
    page = auditor.get(reverse("audit:log")).content.decode()

    assert "Newest checkpoint" in page
    assert ledger.head.root.hex() in page
    assert "600 entries" in page
    assert "<code>model.update</code>" in page
    assert "Pending" in page
    assert 'rel="next"' in page


@pytest.mark.parametrize(
    ("query", "shown", "hidden"),
    [
        ({"action": "version."}, "version.pull", "model.update"),
        ({"action": "version.pull", "outcome": "denied"}, "No entry matches", "model.update"),
        ({"actor": "s1"}, "version.pull", "model.update"),
        ({"obj": "fraud"}, "version.pull", "model.update"),
        ({"since": "2999-01-01"}, "No entry matches", "model.update"),
        ({"until": "2000-01-01"}, "No entry matches", "model.update"),
    ],
)
def test_filters_narrow(ledger: Sequencer, auditor: Client, query: dict[str, str], shown: str, hidden: str) -> None:
    append_alone(Action.VERSION_PULL, by=Actor("service", "s1", "token"), obj=Obj("version", "9", "fraud", "2"))

    page = auditor.get(reverse("audit:log"), query).content.decode()

    assert shown in page
    assert f"<code>{hidden}</code>" not in page


def test_a_person_is_found_by_user_name(sequencer: Sequencer, alice: User, auditor: Client) -> None:
    append_alone(Action.MODEL_VIEW, by=Actor("person", str(alice.uuid), "session"), obj=CREDIT)

    page = auditor.get(reverse("audit:log"), {"actor": "Alice"}).content.decode()

    assert "model.view" in page
    assert "<code>person.create</code>" not in page


def test_a_date_that_is_none_is_said_and_narrows_nothing(ledger: Sequencer, auditor: Client) -> None:
    page = auditor.get(reverse("audit:log"), {"since": "soon"}).content.decode()

    assert "Enter a valid date" in page
    assert "<code>model.update</code>" in page


def test_what_people_wrote_is_shown_and_not_run(sequencer: Sequencer, auditor: Client) -> None:
    append_alone(Action.MODEL_CREATE, by=ALICE, obj=Obj("model", "1", "<script>alert(1)</script>"), after={"x": "<b>"})

    page = auditor.get(reverse("audit:log")).content.decode()

    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert '<dd class="wrap-any"><b>' not in page


def test_verify_now_shows_the_result_and_records_it(ledger: Sequencer, auditor: Client) -> None:
    page = auditor.post(reverse("audit:verify")).content.decode()

    assert "Verified all 600 entries" in page
    assert [one.entry.after["size"] for one in entries(Filter(action="ledger.verify"))] == [600]


def test_verify_now_answers_htmx_with_the_result_alone(ledger: Sequencer, auditor: Client) -> None:
    page = auditor.post(reverse("audit:verify"), headers={"HX-Request": "true"}).content.decode()

    assert page.lstrip().startswith('<div id="verification"')
    assert "Verified all 600 entries" in page
    assert "<html" not in page


def test_verify_now_shows_every_problem(ledger: Sequencer, auditor: Client) -> None:
    edit_an_entry()

    page = auditor.post(reverse("audit:verify")).content.decode()

    assert "NOT as it was signed" in page
    assert "The first 100 entries are not the ones that were signed" in page


def test_a_large_ledger_is_verified_from_where_it_was_last(
    ledger: Sequencer, auditor: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audit.checks.READ_AGAIN_UP_TO", 100)
    auditor.post(reverse("audit:verify"))
    ledger.tick()
    size = ledger.head.size
    happen(5)
    ledger.tick()

    page = auditor.post(reverse("audit:verify")).content.decode()

    assert f"Verified {ledger.head.size - 600} entries after the first 600" in page
    assert size > 600


def test_verification_without_a_public_key_is_said(ledger: Sequencer, auditor: Client, settings: object) -> None:
    from audit import keys

    keys._public_file().unlink()

    answer = auditor.post(reverse("audit:verify"))

    assert answer.status_code == 503
    assert b"public key ledger-key.pub is missing" in answer.content


def test_entries_that_cannot_be_read_are_said(ledger: Sequencer, auditor: Client) -> None:
    Pending.objects.all().delete()
    store_garbage()

    page = auditor.get(reverse("audit:log")).content.decode()

    assert "50 of the entries of this page cannot be read" in page


def test_the_export_holds_what_the_filter_finds_and_is_recorded(ledger: Sequencer, auditor: Client) -> None:
    answer = auditor.get(reverse("audit:export"), {"action": "model.update"})

    rows = list(csv.reader(StringIO(answer.getvalue().decode())))
    assert answer["Content-Type"].startswith("text/csv")
    assert rows[0][:4] == ["number", "time", "action", "outcome"]
    assert len(rows) == 601
    assert "192.0.2.7" not in answer.getvalue().decode()
    (export,) = entries(Filter(action="ledger.export"))
    assert export.entry.after == {"entries": 600, "filter": {"action": "model.update"}}


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "＝1"])
def test_the_export_runs_no_formulas(sequencer: Sequencer, auditor: Client, name: str) -> None:
    append_alone(Action.MODEL_CREATE, by=ALICE, obj=Obj("model", "1", name))

    answer = auditor.get(reverse("audit:export"), {"action": "model.create"})

    rows = list(csv.reader(StringIO(answer.getvalue().decode(), newline="")))
    assert rows[1][rows[0].index("name")] == f"'{name}"


def test_the_checkpoint_is_downloaded_as_it_was_signed(ledger: Sequencer, auditor: Client) -> None:
    answer = auditor.get(reverse("audit:checkpoint"))

    assert answer["Content-Disposition"] == 'attachment; filename="checkpoint-600.txt"'
    assert answer.content.decode().startswith("countersign.test/ledger\n600\n")


def test_there_is_no_checkpoint_before_there_is_a_ledger(db: None, auditor: Client) -> None:
    assert auditor.get(reverse("audit:checkpoint")).status_code == 404


@pytest.mark.parametrize("route", ["audit:log", "audit:export", "audit:checkpoint"])
def test_reading_is_by_get_and_checking_by_post(ledger: Sequencer, auditor: Client, route: str) -> None:
    assert auditor.post(reverse(route)).status_code == 405
    assert auditor.get(reverse("audit:verify")).status_code == 405


def test_a_page_costs_a_bounded_number_of_queries(
    ledger: Sequencer, auditor: Client, django_assert_max_num_queries: Callable[[int], object]
) -> None:
    with django_assert_max_num_queries(25):  # type: ignore[attr-defined]  # a context manager, typed as a callable here
        auditor.get(reverse("audit:log"), {"page": "3"})
