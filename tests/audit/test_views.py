"""Auditors read, check and take away the ledger; everybody else is refused, and that is in the ledger."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse, reverse_lazy

from access.models import User
from audit.actions import append_alone
from audit.entries import Entry
from audit.events import Action, Actor, Obj
from audit.models import Pending
from audit.queries import Filter, entries
from audit.sequencer import Sequencer
from tests.audit.conftest import ALICE, CREDIT, happen
from tests.audit.test_attacks import edit_an_entry, store_garbage

ClientFor = Callable[[User], Client]
Route = tuple[Any, ...]
ROUTES: list[Route] = [
    ("get", "audit:log"),
    ("post", "audit:verify"),
    ("get", "audit:export", "csv"),
    ("get", "audit:export", "jsonl"),
    ("get", "audit:export", "cloudevents.jsonl"),
    ("get", "audit:export", "ocsf.jsonl"),
    ("get", "audit:checkpoint"),
    ("get", "audit:bundle"),
    ("get", "audit:entry", 17),
    ("get", "audit:receipt", 17),
    ("get", "audit:activity", "a1"),
]
CSV = reverse_lazy("audit:export", args=["csv"])


@pytest.fixture
def auditor(dave: User, client_for: ClientFor) -> Client:
    """Dave's browser."""
    return client_for(dave)


def waiting_for(action: str) -> list[Entry]:
    """The entries of an action that no sequencer has logged yet."""
    waiting = [Entry.parse(bytes(row.payload)) for row in Pending.objects.order_by("id")]
    return [entry for entry in waiting if entry.action == action]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: "-".join(map(str, route[1:])))
def test_who_is_not_signed_in_is_sent_to_sign_in(ledger: Sequencer, client: Client, route: Route) -> None:
    method, name, *arguments = route

    answer = getattr(client, method)(reverse(name, args=arguments))

    assert answer.status_code == 302
    assert reverse("account_login") in answer["Location"]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: "-".join(map(str, route[1:])))
@pytest.mark.parametrize("name", ["alice", "root"])
def test_who_is_no_auditor_is_refused_and_that_is_recorded(
    request: pytest.FixtureRequest, ledger: Sequencer, client_for: ClientFor, name: str, route: Route
) -> None:
    user: User = request.getfixturevalue(name)
    method, page, *arguments = route

    answer = getattr(client_for(user), method)(reverse(page, args=arguments))

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


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"since": "soon"}, "Enter a day or a minute in UTC"),
        ({"since": "2026-11-23", "until": "2026-11-22T10:00"}, "This is before the beginning of the range"),
        ({"action": "model.invent"}, "Select a valid choice"),
        ({"outcome": "perhaps"}, "Select a valid choice"),
        ({"kind": "model"}, "Give a name or an id too"),
    ],
)
def test_a_filter_that_cannot_be_read_is_said_beside_the_field_and_lists_nothing(
    ledger: Sequencer, auditor: Client, query: dict[str, str], said: str
) -> None:
    page = auditor.get(reverse("audit:log"), query).content.decode()

    assert said in page
    assert "The filter cannot be read" in page
    assert "<code>model.update</code>" not in page
    assert auditor.get(CSV, query).status_code == 400


def test_a_day_is_read_from_its_first_to_its_last_minute(sequencer: Sequencer, auditor: Client) -> None:
    happen(3)
    today = datetime.now(UTC).date().isoformat()

    page = auditor.get(
        reverse("audit:log"), {"since": today, "until": today, "action": "model.update"}
    ).content.decode()

    assert page.count("<code>model.update</code>") == 3
    assert f'value="{today}T23:59"' in page
    assert f"{today} 00:00 UTC" in page


def test_a_moment_that_cannot_be_read_is_shown_as_it_was_written(ledger: Sequencer, auditor: Client) -> None:
    page = auditor.get(reverse("audit:log"), {"since": "soon"}).content.decode()

    assert re.search(r'<input type="text" name="since" value="soon"', page)
    assert re.search(r'<input type="datetime-local" name="until"', page)


def test_each_filter_that_is_on_can_be_left_out(ledger: Sequencer, auditor: Client) -> None:
    page = auditor.get(reverse("audit:log"), {"action": "model.", "outcome": "ok", "request": "r-1"}).content.decode()

    for chip in ("?action=model.&amp;outcome=ok", "?action=model.&amp;request=r-1", "?outcome=ok&amp;request=r-1"):
        assert f'href="{chip}"' in page


def test_pages_go_on_from_a_position_in_both_directions(ledger: Sequencer, auditor: Client) -> None:
    Pending.objects.all().delete()
    address = reverse("audit:log")

    seen, query = [], ""
    for _ in range(12):
        page = auditor.get(f"{address}?{query}").content.decode()
        seen.append([int(seq) for seq in re.findall(r'<tr data-seq="(\d+)"', page)])
        query = (re.findall(r'rel="next" href="\?([^"]+)"', page) or [""])[0]
    back = auditor.get(address, {"after": seen[5][0]}).content.decode()

    assert [seq for rows in seen for seq in rows] == list(range(599, -1, -1))
    assert query == ""
    assert [int(seq) for seq in re.findall(r'<tr data-seq="(\d+)"', back)] == seen[4]
    assert 'rel="prev"' not in auditor.get(address, {"after": seen[0][0]}).content.decode()


def test_the_tail_answers_with_what_came_since_and_with_nothing_where_nothing_came(
    ledger: Sequencer, auditor: Client
) -> None:
    address = reverse("audit:log")
    ledger.tick()
    size = ledger.head.size
    quiet = auditor.get(address, {"part": "live", "seen": str(size - 1), "action": "model.update"})
    happen(2)
    ledger.tick()

    answer = auditor.get(address, {"part": "live", "seen": str(size - 1), "action": "model.update"})

    assert quiet.status_code == 204
    assert answer.content.decode().count("<tr data-seq=") == 2
    assert b"<html" not in answer.content
    assert auditor.get(address, {"part": "live", "seen": "x"}).status_code == 400
    assert auditor.get(address, {"part": "live", "seen": "1", "outcome": "perhaps"}).status_code == 400


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
    (waiting,) = waiting_for("ledger.verify")
    assert (waiting.outcome, waiting.actor.via) == ("error", "session")
    assert waiting.after["size"] == 600
    assert any("The first 100 entries are not the ones that were signed" in one for one in waiting.after["problems"])


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
    (waiting,) = waiting_for("ledger.verify")
    assert (waiting.outcome, waiting.why) == ("error", "ledger-cannot-be-verified")
    assert "public key ledger-key.pub is missing" in waiting.after["problems"][0]


def test_entries_that_cannot_be_read_are_said(ledger: Sequencer, auditor: Client) -> None:
    Pending.objects.all().delete()
    store_garbage()

    page = auditor.get(reverse("audit:log")).content.decode()

    assert "50 of the entries of this page cannot be read" in page


def test_the_export_holds_what_the_filter_finds_and_is_recorded(ledger: Sequencer, auditor: Client) -> None:
    answer = auditor.get(CSV, {"action": "model.update"})

    rows = list(csv.reader(StringIO(answer.getvalue().decode())))
    assert answer["Content-Type"].startswith("text/csv")
    assert rows[0][:4] == ["number", "time", "action", "outcome"]
    assert len(rows) == 601
    assert "192.0.2.7" not in answer.getvalue().decode()
    (export,) = entries(Filter(action="ledger.export"))
    assert export.entry.after == {"entries": 600, "filter": {"action": "model.update"}, "format": "csv"}


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "＝1"])
def test_the_export_runs_no_formulas(sequencer: Sequencer, auditor: Client, name: str) -> None:
    append_alone(Action.MODEL_CREATE, by=ALICE, obj=Obj("model", "1", name))

    answer = auditor.get(CSV, {"action": "model.create"})

    rows = list(csv.reader(StringIO(answer.getvalue().decode(), newline="")))
    assert rows[1][rows[0].index("name")] == f"'{name}"


def test_the_checkpoint_is_downloaded_as_it_was_signed(ledger: Sequencer, auditor: Client) -> None:
    answer = auditor.get(reverse("audit:checkpoint"))

    assert answer["Content-Disposition"] == 'attachment; filename="checkpoint-600.txt"'
    assert answer.content.decode().startswith("countersign.test/ledger\n600\n")


def test_there_is_no_checkpoint_before_there_is_a_ledger(db: None, auditor: Client) -> None:
    assert auditor.get(reverse("audit:checkpoint")).status_code == 404


@pytest.mark.parametrize(
    "route", [one for one in ROUTES if one[0] == "get"], ids=lambda route: "-".join(map(str, route[1:]))
)
def test_reading_is_by_get_and_checking_by_post(ledger: Sequencer, auditor: Client, route: Route) -> None:
    assert auditor.post(reverse(route[1], args=route[2:])).status_code == 405
    assert auditor.get(reverse("audit:verify")).status_code == 405


def test_a_page_costs_a_bounded_number_of_queries(
    ledger: Sequencer, auditor: Client, django_assert_max_num_queries: Callable[[int], object]
) -> None:
    with django_assert_max_num_queries(25):  # type: ignore[attr-defined]  # a context manager, typed as a callable here
        auditor.get(reverse("audit:log"), {"before": "300", "obj": "credit", "since": "2026-01-01"})


def test_open_tails_do_not_feed_each_other_with_the_readings_of_the_log(ledger: Sequencer, auditor: Client) -> None:
    address = reverse("audit:log")
    ledger.tick()
    seen = ledger.head.size - 1
    auditor.get(address)
    ledger.tick()

    assert auditor.get(address, {"part": "live", "seen": str(seen)}).status_code == 204

    happen(1)
    ledger.tick()
    assert b"ledger.view" in auditor.get(address, {"part": "live", "seen": str(seen)}).content
