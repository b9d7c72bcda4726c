"""Forgetting a person: what they did under their name, and what names them, goes; the ledger verifies as before."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from uuid import uuid4

import orjson
import pytest
from django.core.management import CommandError
from django.db import connection
from django.test import Client
from django.urls import reverse

from access.models import User
from audit import erasure
from audit.actions import append_alone
from audit.entries import Entry
from audit.erasure import Found, NobodyKnown, Subject, erase_subject, find_subject, look
from audit.events import Action, Actor, Obj, Outcome
from audit.models import Pending, Private
from audit.payload import decode_disclosures
from audit.sequencer import Sequencer
from audit.verification import verify
from tests.audit.conftest import CREDIT, happen
from tests.audit.test_attacks import insert_pending
from tests.audit.test_command import audit

OPERATOR = Actor(kind="system", id="operator", via="command")
NOTE = "As Alice (see mail) asked."
NOBODY = Actor(kind="anonymous", id="", via="anonymous", private={"ip": "203.0.113.9"})


def acts_as(user: User) -> Actor:
    return Actor(kind="person", id=str(user.uuid), via="session", private={"name": user.username, "ip": "192.0.2.7"})


@pytest.fixture
def lives(sequencer: Sequencer, alice: User, bob: User) -> Sequencer:
    """After the accounts were made, five entries: two of alice's, one of bob's, one of bob's that mentions alice, and a failed
    sign-in under her name."""
    sequencer.tick()
    happen(2, by=acts_as(alice))
    happen(1, by=acts_as(bob))
    append_alone(Action.MODEL_UPDATE, by=acts_as(bob), obj=CREDIT, private={"note": NOTE})
    append_alone(
        Action.SESSION_START,
        by=NOBODY,
        obj=Obj(kind="person", id=""),
        outcome=Outcome.DENIED,
        private={"username": "ALICE"},
    )
    sequencer.tick()
    return sequencer


def opened() -> list[tuple[str, str]]:
    rows = Private.objects.order_by("seq").values_list("disclosures", flat=True)
    return [(one.name, one.value) for row in rows for one in decode_disclosures(bytes(row))]


def test_what_is_a_persons_and_what_names_them_goes_and_the_rest_stays(lives: Sequencer, alice: User) -> None:
    before = Counter(opened())

    found = erase_subject(find_subject("alice"), by=OPERATOR)

    assert (len(found.entries), found.own, found.naming) == (5, 4, 3)
    gone = [("name", "alice"), ("ip", "192.0.2.7")] * 2 + [("note", NOTE), ("username", "ALICE"), ("username", "alice")]
    assert before - Counter(opened()) == Counter(gone)


def test_the_ledger_verifies_deep_after_an_erasure(lives: Sequencer) -> None:
    erase_subject(find_subject("alice"), by=OPERATOR)
    lives.tick()

    assert verify(deep=True).problems == ()


def test_an_erasure_is_recorded_without_personal_data(lives: Sequencer, alice: User) -> None:
    erase_subject(find_subject("alice"), by=OPERATOR)

    row = Pending.objects.get()
    entry = Entry.parse(bytes(row.payload))
    assert (entry.action, entry.obj_id, entry.after) == (
        "subject.erase",
        str(alice.uuid),
        {"entries": 5, "openings": 7},
    )
    assert b"alice" not in bytes(row.payload) + bytes(row.private)


def test_a_second_erasure_finds_nothing_and_records_nothing(lives: Sequencer) -> None:
    erase_subject(find_subject("alice"), by=OPERATOR)

    again = erase_subject(find_subject("alice"), by=OPERATOR)

    assert again.openings == 0
    assert Pending.objects.count() == 1


def test_looking_changes_nothing(lives: Sequencer) -> None:
    before = opened()

    said = audit("erase-subject", "alice")

    assert (
        "To destroy, with --yes: 7 pieces of personal data beside 5 entries; 4 of the person's own actions, 3 of"
        in said
    )
    assert opened() == before
    assert Pending.objects.count() == 0


def test_an_operator_erases_by_user_name_or_by_identifier(lives: Sequencer, alice: User, bob: User) -> None:
    assert "Destroyed: 7 pieces" in audit("erase-subject", "alice", "--yes")
    assert "Nothing beside the ledger's entries" in audit("erase-subject", "alice", "--yes")
    assert "Destroyed: 5 pieces" in audit("erase-subject", str(bob.uuid), "--yes")
    with pytest.raises(CommandError, match="No account is called nobody"):
        audit("erase-subject", "nobody")


def test_a_deleted_account_is_found_by_its_identifier_and_named_by_its_own_openings(sequencer: Sequencer) -> None:
    gone = str(uuid4())
    happen(1, by=Actor(kind="person", id=gone, via="session", private={"name": "zoe"}))
    append_alone(Action.MODEL_UPDATE, by=NOBODY, obj=CREDIT, private={"note": "zoe left"})
    sequencer.tick()

    found = erase_subject(find_subject(gone), by=OPERATOR)

    assert (found.own, found.naming) == (1, 1)
    with pytest.raises(NobodyKnown):
        find_subject(str(uuid4()))


@pytest.mark.parametrize(
    ("text", "named"),
    [("alice", True), ("Ask Alice.", True), ("malice", False), ("alice2", False), ("ÄLICE", False), ("", False)],
)
def test_names_are_whole_words_in_any_case(text: str, named: bool) -> None:
    assert Subject("x", frozenset({"alice"})).is_named_in(text) is named


def test_what_waits_or_was_refused_is_counted_and_said(lives: Sequencer, alice: User) -> None:
    row = orjson.dumps([["salt", "name", "alice"]])
    insert_pending("1:forged", b"{}", row)
    lives.tick()
    happen(1, by=acts_as(alice))

    found = look(find_subject("alice"))
    said = audit("erase-subject", "alice")

    assert (found.waiting, found.refused) == (1, 1)
    assert "1 entries wait to be logged" in said
    assert "1 refused rows in quarantine" in said


def test_a_row_that_cannot_be_read_stops_nothing(lives: Sequencer) -> None:
    Private.objects.filter(seq=0).delete()
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO audit_private (seq, disclosures) VALUES (0, %s)", [b"not json"])

    assert erase_subject(find_subject("alice"), by=OPERATOR).openings > 0


def test_what_another_erasure_destroyed_meanwhile_does_not_come_back(
    lives: Sequencer, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bob's note names alice: one row with openings of both. His erasure ends between hers looking and her erasing."""
    hers, his = find_subject("alice"), find_subject("bob")

    def look_and_be_overtaken(subject: Subject) -> Found:
        monkeypatch.setattr(erasure, "look", look)
        found = look(subject)
        erase_subject(his, by=OPERATOR)
        return found

    monkeypatch.setattr(erasure, "look", look_and_be_overtaken)

    erase_subject(hers, by=OPERATOR)

    assert [value for _, value in opened() if value in ("alice", "bob", NOTE)] == []


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_two_erasures_of_one_row_wait_for_each_other(lives: Sequencer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alice's has read bob's row and is held there; bob's may not read it before hers has committed."""
    subjects = [find_subject("alice"), find_subject("bob")]
    read, go_on = threading.Event(), threading.Event()
    erase_from = erasure._erase_from

    def slowly(row: Private, subject: Subject, *, own: bool) -> None:
        if subject is subjects[0] and not read.is_set():
            read.set()
            go_on.wait(10)
        erase_from(row, subject, own=own)

    def erase(subject: Subject) -> None:
        try:
            erase_subject(subject, by=OPERATOR)
        finally:
            connection.close()

    monkeypatch.setattr(erasure, "_erase_from", slowly)
    hers, his = (threading.Thread(target=erase, args=[subject]) for subject in subjects)
    hers.start()
    assert read.wait(10)
    his.start()
    his.join(1)
    waited = his.is_alive()
    go_on.set()
    hers.join(10)
    his.join(10)

    assert waited
    assert [value for _, value in opened() if value in ("alice", "bob", NOTE)] == []


def test_the_page_says_that_what_was_there_is_erased(
    lives: Sequencer, alice: User, bob: User, dave: User, client_for: Callable[[User], Client]
) -> None:
    address = reverse("audit:log") + f"?actor={alice.uuid}"
    before = client_for(dave).get(address).content.decode()

    erase_subject(find_subject("alice"), by=OPERATOR)

    after = client_for(dave).get(address).content.decode()
    assert ("erased" in before, "erased" in after) == (False, True)
    assert str(alice.uuid) in after
