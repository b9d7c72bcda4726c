"""Questions about a moment: answered from the ledger alone, the same bytes whenever they are asked, and honest about what is missing."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from rest_framework.test import APIClient

from access import actions as access_actions
from access.models import Role, User
from access.permissions import Permission, grant
from access.tokens import issue_token, revoke_token
from audit import actions as ledger_actions
from audit import keys
from audit.entries import Entry
from audit.erasure import erase_subject, find_subject
from audit.models import Pending
from audit.queries import Filter, entries
from audit.receipts import forget_tiles
from audit.sequencer import Sequencer
from countersign.proof.canonical import canonical, sha256_hex
from countersign.proof.receipts import verify_receipt
from foundation.refusals import Conflict, Forbidden, Unavailable
from registry.models import RegisteredModel, Stage
from reports import pdf
from reports.as_of import Access, Line, cited
from reports.as_of_answer import ask, encode
from reports.as_of_ledger import settled
from reports.pdf import pdf_of
from reviews.models import Review
from reviews.promotion import promote
from reviews.revocation import revoke
from serving.pulls import Pull
from tests.audit.conftest import happen, ledger_of_its_own, sequencer
from tests.conftest import as_
from tests.reviews.conftest import proof_of

__all__ = ["ledger_of_its_own", "sequencer"]

MINUTE = timedelta(minutes=1)


class Clock:
    """The time of the ledger's entries: an hour ago, and a second later at each look."""

    def __init__(self) -> None:
        self._now = time.time_ns() - 3_600_000_000_000
        self._steps = itertools.count()

    def time_ns(self) -> int:
        self._now += 1_000_000_000
        return self._now

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def pass_(self, by: timedelta) -> None:
        self._now += int(by.total_seconds() * 1e9)

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self._now / 1e9, UTC).replace(microsecond=0) + timedelta(seconds=1)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(ledger_actions, "time", clock)
    return clock


@pytest.fixture(autouse=True)
def no_tiles_of_another_test() -> Iterator[None]:
    forget_tiles()
    yield
    forget_tiles()


@pytest.fixture
def from_the_beginning(clock: Clock, sequencer: Sequencer) -> Sequencer:
    """Ask for this before people and models, so that the ledger has them."""
    return sequencer


def settle(clock: Clock, sequencer: Sequencer) -> datetime:
    """The present moment, after which another two minutes pass until something else happens."""
    at = clock.now
    clock.pass_(2 * MINUTE)
    happen()
    sequencer.tick()
    return at


@pytest.fixture
def asked(
    from_the_beginning: Sequencer, clock: Clock, approved: Review, production: Stage, rita: User, scorer: User
) -> datetime:
    """A moment at which the approved version is live, and was pulled."""
    promote(approved.version, production, by=as_(rita))
    Pull(approved.version, "model.onnx", as_(scorer), "scoring").record("completed", 12)
    return settle(clock, from_the_beginning)


def question(model: RegisteredModel, stage: Stage, at: datetime, dave: User) -> dict[str, Any]:
    return ask(model, stage, at, by=as_(dave))


def test_it_says_what_was_live_who_signed_who_promoted_and_who_pulled(
    asked: datetime,
    approved: Review,
    model: RegisteredModel,
    production: Stage,
    alice: User,
    bob: User,
    carol: User,
    rita: User,
    scorer: User,
    dave: User,
) -> None:
    found = question(model, production, asked, dave)

    assert found["live"]["version"] == approved.version.number
    authority = found["authority"]
    assert authority["decided"]["by"] == f"person:{rita.uuid}"
    assert authority["basis"] == "review"
    assert [(one["slot"], one["by"]) for one in authority["signatures"]] == [
        ("validator", f"person:{bob.uuid}"),
        ("risk", f"person:{carol.uuid}"),
    ]
    assert authority["requested"]["by"] == f"person:{alice.uuid}"
    assert [(one["name"], one["number"], one["published"]) for one in authority["policies"]] == [
        ("production-tier-1", 1, None)
    ]
    assert [(one["by"], one["step"], one["purpose"]) for one in found["pulls"]["listed"]] == [
        (f"service:{scorer.uuid}", "completed", "scoring")
    ]


def test_every_entry_that_it_names_has_a_receipt_that_holds(
    asked: datetime, model: RegisteredModel, production: Stage, dave: User
) -> None:
    found = question(model, production, asked, dave)

    proven = {
        one["entry"]: verify_receipt(one["receipt"].encode(), keys.trusted_verifiers()) for one in found["receipts"]
    }
    named = cited({key: value for key, value in found.items() if key != "receipts"})
    assert len(named) > 5
    assert set(proven) == named
    assert {one.head.size for one in proven.values()} == {found["read"]["checkpoint_size"]}


def test_the_same_question_has_the_same_bytes_whatever_happened_since(
    asked: datetime,
    clock: Clock,
    from_the_beginning: Sequencer,
    approved: Review,
    model: RegisteredModel,
    production: Stage,
    alice: User,
    bob: User,
    carol: User,
    rita: User,
    erin: User,
    dave: User,
) -> None:
    first = encode(question(model, production, asked, dave))

    Pull(approved.version, "", as_(rita)).record("completed", 1)
    revoke(approved.version, reason="Wrong data.", reauthentication=proof_of(bob), by=as_(bob))
    access_actions.assign_role(Role.objects.get(name="Viewer"), to=alice, by=as_(erin))
    bob.username, bob.display_name = "robert", "Robert"
    bob.save()
    RegisteredModel.objects.filter(pk=model.pk).update(archived_at=datetime.now(UTC))
    settle(clock, from_the_beginning)
    assert erase_subject(find_subject(str(carol.uuid)), by=as_(erin)).openings
    settle(clock, from_the_beginning)

    assert encode(question(model, production, asked, dave)) == first
    later = question(model, production, settle(clock, from_the_beginning), dave)
    assert later["live"] is None
    assert later["history"][0]["until"] is not None


def test_who_could_pull_is_told_as_it_stood_then(
    from_the_beginning: Sequencer,
    clock: Clock,
    model: RegisteredModel,
    production: Stage,
    bob: User,
    scorer: User,
    scorer_token: str,
    erin: User,
    dave: User,
) -> None:
    group = Group.objects.get(name="Model validation")
    grant(model, Permission.PULL_VERSION, to=group, by=as_(erin))
    before = settle(clock, from_the_beginning)
    access_actions.remove_from_group(group, bob, by=as_(erin))
    revoke_token(scorer.tokens.get(), by=as_(erin))
    after = settle(clock, from_the_beginning)

    then, now = question(model, production, before, dave), question(model, production, after, dave)

    assert [one["account"] for one in then["could_pull"]] == [f"person:{bob.uuid}", f"service:{scorer.uuid}"]
    person, service = then["could_pull"]
    assert (person["through"][0]["grant"], person["through"][0]["group"]) == ("pull_version", "Model validation")
    assert len(person["through"][0]["entries"]) == 2
    assert service["through"][0]["role"] == "Service: pull"
    assert service["tokens"][0]["token"] == scorer.tokens.get().prefix
    assert now["could_pull"] == []


def test_an_account_that_is_deactivated_or_reached_by_no_token_could_not_pull(
    from_the_beginning: Sequencer,
    clock: Clock,
    model: RegisteredModel,
    production: Stage,
    bob: User,
    scorer: User,
    erin: User,
    dave: User,
) -> None:
    grant(model, Permission.PULL_VERSION, to=bob, by=as_(erin))
    issue_token(scorer, name="other", scopes=[Permission.PULL_VERSION], models=["other"], days=1, by=as_(erin))
    issue_token(scorer, name="narrow", scopes=[Permission.SEE_MODEL], models=[], days=1, by=as_(erin))
    access_actions.deactivate(bob, by=as_(erin))
    at = settle(clock, from_the_beginning)

    assert question(model, production, at, dave)["could_pull"] == []


def test_what_the_owner_and_the_makers_may_download_is_told_apart(
    from_the_beginning: Sequencer, clock: Clock, model: RegisteredModel, production: Stage, alice: User, dave: User
) -> None:
    found = question(model, production, settle(clock, from_the_beginning), dave)

    assert found["could_pull"] == []
    (maker,) = found["could_download_any_version"]
    assert maker["account"] == f"person:{alice.uuid}"
    assert [way for way in maker["through"] if "owner" in way] == [maker["through"][-1]]


def old_role_entry() -> Line:
    payload = {
        "v": 1,
        "t": 1_000,
        "w": "w",
        "n": 1,
        "p": 0,
        "outcome": "ok",
        "why": "",
        "req": "",
        "sd": [],
        "action": "role.assign",
        "actor": {"kind": "person", "id": "e1", "via": "session"},
        "obj": {"kind": "role", "id": "9", "name": "Service: pull", "version": ""},
        "d": {"after": {"holder": "service:s1"}},
    }
    return Line(4, Entry.parse(canonical(payload)))


def test_a_role_whose_entry_does_not_say_what_it_permits_is_told_as_unknown() -> None:
    line = old_role_entry()

    held = Access.after([line])

    assert held.accounts([Permission.PULL_VERSION], "credit", line.entry.t) == []
    assert held.unknown() == [
        "The role Service: pull was given to service:s1 by entry 4, which does not say what the role let its holders do; "
        "whoever could pull by that role is not listed."
    ]


def test_a_ledger_that_began_after_the_model_says_so(
    clock: Clock, model: RegisteredModel, production: Stage, dave: User, sequencer: Sequencer
) -> None:
    Pending.objects.all().delete()
    at = settle(clock, sequencer)

    found = question(model, production, at, dave)

    assert found["live"] is None
    assert any("no entry from before this moment that the model was created" in one for one in found["unknown"])


def test_an_entry_that_was_logged_late_does_not_count(
    asked: datetime,
    clock: Clock,
    from_the_beginning: Sequencer,
    approved: Review,
    model: RegisteredModel,
    production: Stage,
    scorer: User,
    dave: User,
) -> None:
    first = encode(question(model, production, asked, dave))
    clock.pass_(asked - clock.now - MINUTE)

    Pull(approved.version, "late", as_(scorer)).record("completed", 1)
    from_the_beginning.tick()

    assert encode(question(model, production, asked, dave)) == first


def test_the_boundary_is_the_first_entry_that_is_dated_a_minute_later(
    from_the_beginning: Sequencer, clock: Clock
) -> None:
    happen(3)
    at = clock.now
    clock.pass_(2 * MINUTE)
    happen(2)
    from_the_beginning.tick()

    found = settled(at)

    assert found is not None
    assert found.size == 3
    assert found.covers == 5
    assert settled(clock.now) is None


def test_entries_after_the_moment_and_before_the_boundary_do_not_count(
    from_the_beginning: Sequencer,
    clock: Clock,
    model: RegisteredModel,
    production: Stage,
    bob: User,
    erin: User,
    dave: User,
) -> None:
    at = clock.now
    grant(model, Permission.PULL_VERSION, to=bob, by=as_(erin))
    clock.pass_(2 * MINUTE)
    settle(clock, from_the_beginning)

    assert question(model, production, at, dave)["could_pull"] == []


def test_a_moment_that_is_not_a_minute_past_is_refused(
    sequencer: Sequencer, model: RegisteredModel, production: Stage, dave: User
) -> None:
    with pytest.raises(Conflict, match="settles a moment one minute after it"):
        ask(model, production, datetime.now(UTC), by=as_(dave))


def test_while_nothing_is_signed_there_is_no_answer(model: RegisteredModel, production: Stage, dave: User) -> None:
    with pytest.raises(Unavailable, match="whether the sequencer runs"):
        ask(model, production, datetime.now(UTC) - 2 * MINUTE, by=as_(dave))


def test_only_auditors_ask_and_every_question_is_on_record(
    asked: datetime, model: RegisteredModel, production: Stage, alice: User, dave: User
) -> None:
    question(model, production, asked, dave)
    with pytest.raises(Forbidden):
        ask(model, production, asked, by=as_(alice))

    recorded = entries(Filter(action="as_of.ask"))
    assert [(one.entry.outcome, one.entry.actor_id) for one in recorded] == [
        ("denied", str(alice.uuid)),
        ("ok", str(dave.uuid)),
    ]
    assert recorded[1].entry.after == {"stage": "production", "at": asked.isoformat()}


def test_a_question_reads_no_more_when_the_ledger_holds_more_of_other_things(
    asked: datetime,
    clock: Clock,
    from_the_beginning: Sequencer,
    model: RegisteredModel,
    production: Stage,
    dave: User,
    django_assert_max_num_queries: Any,
) -> None:
    happen(2_000)
    from_the_beginning.tick()
    at = settle(clock, from_the_beginning)

    with django_assert_max_num_queries(160):
        question(model, production, at, dave)


def test_the_page_tells_the_answer_in_words_and_links_to_its_entries(
    asked: datetime, approved: Review, model: RegisteredModel, dave: User, client_for: Callable[[User], Client]
) -> None:
    page = client_for(dave).get(
        "/reports/as-of/", {"model": model.name, "stage": "production", "at": f"{asked:%Y-%m-%dT%H:%M:%S}"}
    )

    text = page.content.decode()
    assert f"Version {approved.version.number} was live, since" in text
    assert "Bob Lindqvist" in text
    assert "Rita Fernandes" in text
    assert f'href="/audit/{page.context["found"]["authority"]["moved"]["entry"]}/"' in text
    assert "/api/v1/as-of?model=credit&amp;stage=production&amp;at=" in text
    assert client_for(dave).get(page.context["paper"])["Content-Type"] == "application/pdf"


def test_the_api_answers_in_the_same_bytes_for_the_same_moment_in_another_zone(
    asked: datetime, model: RegisteredModel, dave: User, api_for: Callable[[User], APIClient]
) -> None:
    client = api_for(dave)
    paris = asked.astimezone(timezone(timedelta(hours=1)))

    one = client.get("/api/v1/as-of", {"model": model.name, "at": asked.isoformat()})
    other = client.get("/api/v1/as-of", {"model": model.name, "at": paris.isoformat()})

    assert one.status_code == 200
    assert one.content == other.content
    assert canonical(one.json()) == one.content


def test_the_api_wants_a_zone_and_an_auditor(
    asked: datetime, model: RegisteredModel, alice: User, dave: User, api_for: Callable[[User], APIClient]
) -> None:
    naive = api_for(dave).get("/api/v1/as-of", {"model": model.name, "at": "2026-01-01T00:00:00"})
    outsider = api_for(alice).get("/api/v1/as-of", {"model": model.name, "at": asked.isoformat()})

    assert (naive.status_code, outsider.status_code) == (400, 403)
    assert "with its zone" in naive.json()["detail"]


PAPER = "/reports/as-of/answer.pdf"


def paper(client: Client, model: RegisteredModel, at: datetime) -> bytes:
    response = client.get(PAPER, {"model": model.name, "stage": "production", "at": f"{at:%Y-%m-%dT%H:%M:%S}"})
    assert response["Content-Type"] == "application/pdf"
    return response.content


def test_the_answer_on_paper_has_the_same_bytes_whoever_is_called_what_and_names_its_json(
    asked: datetime,
    clock: Clock,
    from_the_beginning: Sequencer,
    model: RegisteredModel,
    production: Stage,
    rita: User,
    dave: User,
    client_for: Callable[[User], Client],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    printed: list[str] = []

    def keep(html: str) -> bytes:
        printed.append(html)
        return pdf_of(html)

    monkeypatch.setattr(pdf, "pdf_of", keep)
    first = paper(client_for(dave), model, asked)
    User.objects.filter(pk=rita.pk).update(first_name="Someone", last_name="Else")
    settle(clock, from_the_beginning)
    second = paper(client_for(dave), model, asked)

    assert first == second
    found = question(model, production, asked, dave)
    assert sha256_hex(encode(found)) in printed[0]
    assert f"person:{rita.uuid}" in printed[0]
    assert "Fernandes" not in printed[0]
    assert all(one["leaf"] in printed[0] for one in found["receipts"])


def test_the_paper_is_for_auditors_and_every_one_is_one_question_on_record(
    asked: datetime, model: RegisteredModel, alice: User, dave: User, client_for: Callable[[User], Client]
) -> None:
    before = len(entries(Filter(actors=frozenset({str(dave.uuid)}))))

    paper(client_for(dave), model, asked)
    refused = client_for(alice).get(PAPER, {"model": model.name, "stage": "production", "at": "2026-01-01T00:00:00"})
    unclear = client_for(dave).get(PAPER, {"model": model.name, "stage": "production", "at": "soon"})

    assert (refused.status_code, unclear.status_code) == (403, 400)
    taken = entries(Filter(actors=frozenset({str(dave.uuid)})))
    assert (len(taken), taken[0].entry.action) == (before + 1, "as_of.ask")
