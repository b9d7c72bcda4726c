"""Programs read the ledger: by filter, by position, one entry with a proof that others can check."""

from __future__ import annotations

import io
import tarfile

import pytest
from rest_framework.test import APIClient

from access.models import User
from audit import keys
from audit.queries import Filter, entries
from audit.sequencer import Sequencer
from audit.standalone.verify import check_bundle, parse_key
from audit.store import read_entry
from countersign.proof.merkle import leaf_hash, verify_inclusion
from tests.audit.conftest import happen

ENTRIES = "/api/v1/audit/entries/"
BUNDLE = "/api/v1/audit/bundle.tar"


@pytest.fixture
def auditor(dave: User) -> APIClient:
    """Dave's program."""
    client = APIClient()
    client.force_login(dave)
    return client


@pytest.mark.parametrize("path", [ENTRIES, f"{ENTRIES}17/", "/api/v1/audit/checkpoint/", BUNDLE])
def test_it_is_for_auditors_and_other_attempts_are_recorded(ledger: Sequencer, alice: User, path: str) -> None:
    client = APIClient()
    nobody = client.get(path)
    client.force_login(alice)

    refused = client.get(path)

    assert nobody.status_code in {401, 403}
    assert refused.status_code == 403
    assert refused.json()["type"] == "urn:countersign:refusal:forbidden"
    assert [one.entry.actor_id for one in entries(Filter(action="ledger.", outcome="denied"))] == [str(alice.uuid)]


def test_pages_go_on_until_the_first_entry(ledger: Sequencer, auditor: APIClient) -> None:
    seen, query = [], {"limit": "250", "action": "model.update"}
    while True:
        page = auditor.get(ENTRIES, query).json()
        seen += [one["seq"] for one in page["entries"]]
        if page["older"] is None:
            break
        query["before"] = page["older"]

    assert seen == list(range(599, -1, -1))


def test_who_follows_misses_nothing(ledger: Sequencer, auditor: APIClient) -> None:
    seen, after = [], 0
    for _ in range(3):
        page = auditor.get(ENTRIES, {"after": str(after), "limit": "300", "action": "model.update"}).json()
        seen += sorted(one["seq"] for one in page["entries"])
        after = page["newer"]

    assert seen == list(range(1, 600))
    happen(1)
    ledger.tick()
    (new,) = auditor.get(ENTRIES, {"after": str(after), "action": "model.update"}).json()["entries"]
    assert new["seq"] > 599


def test_an_entry_can_be_proven_from_the_answer_alone(ledger: Sequencer, auditor: APIClient) -> None:
    answer = auditor.get(f"{ENTRIES}300/")

    found = answer.json()
    payload = answer.content.partition(b'"entry":')[2][:-1]
    head = keys.open_ours(found["checkpoint"])
    assert payload == read_entry(300)
    assert (head.size, head.root.hex()) == (found["size"], found["root"])
    proof = [bytes.fromhex(one) for one in found["proof"]]
    assert verify_inclusion(leaf_hash(payload), 300, head.size, proof, head.root)


@pytest.mark.parametrize(
    ("name", "accept", "begins"),
    [
        ("jsonl", "application/x-ndjson", b'{"seq":599,"entry":{'),
        ("cloudevents", "application/cloudevents+json", b'{"specversion":"1.0","id":"countersign.test/ledger/599"'),
        ("ocsf", "application/vnd.ocsf+json", b'{"metadata":'),
        ("csv", "text/csv", b"number,time,action"),
    ],
)
def test_every_form_is_answered_by_name_and_by_accept(
    ledger: Sequencer, auditor: APIClient, name: str, accept: str, begins: bytes
) -> None:
    query = {"action": "model.update", "limit": "2"}

    by_name = auditor.get(ENTRIES, {**query, "format": name})
    by_accept = auditor.get(ENTRIES, query, headers={"Accept": accept})

    assert by_name.content == by_accept.content
    assert by_name.content.startswith(begins)
    assert 'rel="next"' in by_name["Link"]
    assert "before=598" in by_name["Link"]
    assert [one.entry.after for one in entries(Filter(action="ledger.export"))] == [
        {"entries": 2, "filter": {"action": "model.update"}, "format": name}
    ] * 2


@pytest.mark.parametrize(
    "query", [{"since": "soon"}, {"outcome": "perhaps"}, {"limit": "0"}, {"limit": "1001"}, {"before": "x"}]
)
def test_a_question_that_cannot_be_read_is_refused(
    ledger: Sequencer, auditor: APIClient, query: dict[str, str]
) -> None:
    answer = auditor.get(ENTRIES, query)

    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == list(query)


def test_the_newest_checkpoint_is_told(ledger: Sequencer, auditor: APIClient) -> None:
    found = auditor.get("/api/v1/audit/checkpoint/").json()

    assert (found["size"], found["root"]) == (600, ledger.head.root.hex())
    assert found["note"].startswith("countersign.test/ledger\n600\n")


def test_an_entry_that_there_is_not_is_said(ledger: Sequencer, auditor: APIClient) -> None:
    assert auditor.get(f"{ENTRIES}4711/").status_code == 404


def test_the_offline_bundle_is_the_pages_and_one_entry(ledger: Sequencer, auditor: APIClient) -> None:
    before = len(entries(Filter(action="ledger.")))

    answer = auditor.get(BUNDLE, HTTP_ACCEPT="application/x-tar")

    tar = b"".join(answer.streaming_content)  # type: ignore[attr-defined]  # a streaming response of the test client
    report, head = check_bundle(io.BytesIO(tar), [parse_key(str(keys.trusted_verifiers()[0]))], [])
    assert (report.problems, head and head.size) == ([], 600)
    assert answer["Content-Type"] == "application/x-tar"
    assert answer["Content-Disposition"] == 'attachment; filename="ledger-600.tar"'
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        assert "disclosures.jsonl" not in archive.getnames()
    (recorded, *_) = found = entries(Filter(action="ledger."))
    assert (recorded.entry.action, len(found)) == ("ledger.export", before + 1)
    assert recorded.entry.after["since"] == 0


def test_the_offline_bundle_begins_where_it_is_asked_to(ledger: Sequencer, auditor: APIClient) -> None:
    new = auditor.get(BUNDLE, {"since": "400"})
    unsigned, unread = auditor.get(BUNDLE, {"since": "401"}), auditor.get(BUNDLE, {"since": "-1"})

    tar = b"".join(new.streaming_content)  # type: ignore[attr-defined]  # a streaming response of the test client
    report, _ = check_bundle(io.BytesIO(tar), [parse_key(str(keys.trusted_verifiers()[0]))], [])
    assert report.problems == []
    assert "200 entries" in report.facts[0]
    assert (unsigned.status_code, unread.status_code) == (503, 400)
    assert "No checkpoint signs exactly the first 401 entries" in unsigned.json()["detail"]
