"""Entries leave in four forms, each with ids that stay the same and without personal data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast

import pytest
from django.urls import reverse

from access.models import User
from audit import formats, queries
from audit.actions import append_alone
from audit.events import Action, Actor, Obj, Outcome
from audit.formats import ocsf
from audit.queries import Filter, LoggedEntry, entries
from audit.sequencer import Sequencer
from audit.store import read_entry
from countersign.proof.merkle import leaf_hash
from tests.audit.conftest import ALICE, CREDIT, happen
from tests.audit.test_views import ClientFor

CLASSES = {
    "session.start": (3002, 1),
    "session.end": (3002, 2),
    "token.use": (3002, 1),
    "person.create": (3001, 1),
    "person.deactivate": (3001, 5),
    "role.assign": (3001, 7),
    "role.withdraw": (3001, 8),
    "authenticator.add": (3001, 10),
    "model.create": (3004, 1),
    "model.update": (3004, 3),
    "alias.delete": (3004, 4),
    "version.promote": (3004, 3),
    "sign_off.give": (3004, 1),
    "sign_off.withdraw": (3004, 4),
    "version.pull": (6003, 2),
    "model.view": (6003, 2),
    "model.score": (6003, 99),
    "nothing.such": (0, 99),
}


@pytest.fixture
def logged(sequencer: Sequencer) -> list[LoggedEntry]:
    """One entry of each kind of class."""
    for action in (Action.SESSION_START, Action.ROLE_ASSIGN, Action.MODEL_UPDATE, Action.VERSION_PULL):
        append_alone(
            action, by=ALICE, obj=Obj("person", "p1") if action in ocsf.ACCOUNT_CHANGES else CREDIT, after={"x": 1}
        )
    append_alone(Action.VERSION_PROMOTE, by=ALICE, obj=CREDIT, outcome=Outcome.DENIED, why="unmet")
    sequencer.tick()
    return list(entries(pending=False))


@pytest.mark.parametrize(("action", "expected"), CLASSES.items())
def test_an_action_has_its_class_in_ocsf(action: str, expected: tuple[int, int]) -> None:
    found, activity = ocsf.classify(action)

    assert (found.uid, activity) == expected


def test_the_tables_of_ocsf_name_actions_and_nouns_that_there_are() -> None:
    actions, nouns = {one.value for one in Action}, {one.noun for one in Action}

    named = {*ocsf.AUTHENTICATIONS, *ocsf.ACCOUNT_CHANGES, *ocsf.API_ACTIVITIES}
    assert named - actions == set()
    assert ocsf.ENTITIES - nouns <= {"approval", "subject"}
    assert len(named) == len(ocsf.AUTHENTICATIONS) + len(ocsf.ACCOUNT_CHANGES) + len(ocsf.API_ACTIVITIES)


def test_an_ocsf_event_has_what_its_class_requires(logged: list[LoggedEntry]) -> None:
    events = [json.loads(formats.ocsf_event(one)) for one in logged]

    for event in events:
        base = {"activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid"}
        assert base <= event.keys()
        assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]
        assert event["category_uid"] == event["class_uid"] // 1000
        assert event["metadata"]["version"] == "1.1.0"
        assert event["metadata"]["product"]["vendor_name"]
    by_class: dict[int, dict[str, Any]] = {event["class_uid"]: event for event in events}
    assert {"user", "service"} <= by_class[3002].keys()
    assert by_class[3001]["user"]["uid"] == "p1"
    assert by_class[3004]["entity"]["uid"] == "7"
    assert {"actor", "api", "src_endpoint"} <= by_class[6003].keys()
    refused = events[0]
    assert (refused["status_id"], refused["status_detail"], refused["severity_id"]) == (2, "unmet", 2)


def test_a_cloud_event_has_its_attributes_and_the_exact_bytes(logged: list[LoggedEntry]) -> None:
    one = logged[0]

    event = json.loads(formats.cloud_event(one))

    assert event["specversion"] == "1.0"
    assert event["id"] == f"countersign.test/ledger/{one.seq}"
    assert event["source"] == "//countersign.test/ledger"
    assert event["type"] == "org.countersign.ledger.version.promote"
    assert event["subject"] == "model/7"
    assert event["time"].endswith("Z")
    assert formats.cloud_event(one).endswith(b',"data":' + one.payload + b"}")


def test_a_json_line_hashes_to_the_leaf(logged: list[LoggedEntry]) -> None:
    one = logged[2]
    assert one.seq is not None

    line = formats.json_line(one)

    payload = line.partition(b'"entry":')[2][:-1]
    assert json.loads(line)["seq"] == one.seq
    assert leaf_hash(payload) == leaf_hash(read_entry(one.seq) or b"")


@pytest.mark.parametrize("name", ["csv", "jsonl", "cloudevents", "ocsf"])
def test_no_form_carries_personal_data_or_two_lines_for_an_entry(sequencer: Sequencer, name: str) -> None:
    append_alone(
        Action.MODEL_CREATE,
        by=Actor("person", "a1", "s", private={"name": "alice", "ip": "192.0.2.7"}),
        obj=Obj("model", "1", "x\r\ny"),
    )
    sequencer.tick()
    found = formats.by_name(name)
    assert found is not None

    text = b"".join(
        line if isinstance(line, bytes) else line.encode()
        for line in found.lines(entries(Filter(action="model.create")))
    )

    assert b"192.0.2.7" not in text
    assert b"alice" not in text
    if name != "csv":
        assert text.count(b"\n") == 1
        assert b"\r" not in text


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "cloudevents.jsonl", "ocsf.jsonl"])
def test_a_download_is_filtered_recorded_and_read_in_pieces(
    ledger: Sequencer, dave: User, client_for: ClientFor, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "_CHUNK", 100)
    read: list[int] = []
    original = queries._read

    def counted(seqs: Any) -> Any:
        read.append(len(seqs))
        return original(seqs)

    monkeypatch.setattr(queries, "_read", counted)
    answer = client_for(dave).get(reverse("audit:export", args=[suffix]), {"action": "model.update"})
    content = iter(cast("Iterator[bytes]", cast("Any", answer).streaming_content))
    first = next(content)
    while len(read) < 1:
        next(content)
    so_far = sum(read)
    rest = [first, *content]

    assert so_far <= 100
    assert sum(read) == 600
    assert len(rest) >= 600
    assert answer["Content-Disposition"] == f'attachment; filename="ledger.{suffix}"'
    (export,) = entries(Filter(action="ledger.export"))
    assert export.entry.after["format"] == suffix.partition(".")[0]
    assert export.entry.after["entries"] == 600


def test_an_unknown_form_is_said(ledger: Sequencer, dave: User, client_for: ClientFor) -> None:
    assert client_for(dave).get(reverse("audit:export", args=["xlsx"])).status_code == 404


def test_happenings_are_counted_in_the_forms(ledger: Sequencer) -> None:
    happen(2)

    assert len(list(formats.JSON_LINES.lines(entries()))) == 600
    assert len(list(formats.CSV.lines(entries()))) == 603
