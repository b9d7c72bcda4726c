"""One entry on one page: what it says, its exact bytes, where it leads, what comes before and after, and its proof, checked now."""

from __future__ import annotations

import html
import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from access.models import User
from audit import proofs
from audit.actions import append_alone
from audit.events import Action, Actor, Obj
from audit.merkle import inclusion_proof, root_of
from audit.models import Private
from audit.places import known_kinds, place_of
from audit.queries import Filter, decode, entries
from audit.sequencer import Sequencer
from audit.store import read_entry
from audit.tiles import TileNodes
from countersign.proof.merkle import leaf_hash
from tests.audit.conftest import ALICE, CREDIT, happen
from tests.audit.test_attacks import edit_an_entry
from tests.audit.test_views import ClientFor


@pytest.fixture
def auditor(dave: User, client_for: ClientFor) -> Client:
    """Dave's browser."""
    return client_for(dave)


def newest(action: str) -> int:
    """The position of the newest entry of an action: the cast's own entries come before it."""
    seq = entries(Filter(action=action))[0].seq
    assert seq is not None
    return seq


def shown(auditor: Client, seq: int) -> str:
    return auditor.get(reverse("audit:entry", args=[seq])).content.decode()


def test_the_page_shows_the_exact_bytes_and_that_they_are_proven(ledger: Sequencer, auditor: Client) -> None:
    page = shown(auditor, 300)

    payload = read_entry(300)
    assert payload is not None
    assert f"<pre{html.unescape(page).partition('<pre')[2]}".partition(">")[2].startswith(payload.decode())
    assert "Verified now against the signed checkpoint over 600 entries" in page
    assert ledger.head.root.hex() in page
    assert leaf_hash(payload).hex() in page
    assert '<svg xmlns="http://www.w3.org/2000/svg"' in page
    assert reverse("audit:receipt", args=[300]) in page


def test_an_entry_that_was_edited_is_not_proven(ledger: Sequencer, auditor: Client) -> None:
    edit_an_entry()

    page = shown(auditor, 7)

    assert "This entry cannot be proven" in page
    assert "Verified now" not in page
    assert "Receipt</a>" not in page


def test_what_changed_stands_side_by_side(sequencer: Sequencer, auditor: Client) -> None:
    append_alone(
        Action.MODEL_UPDATE, by=ALICE, obj=CREDIT, before={"tier": 2, "owner": "a"}, after={"tier": 1, "note": "<b>"}
    )
    sequencer.tick()

    page = shown(auditor, newest("model.update"))

    assert re.search(r"tier</th>.*<del>2</del>.*<ins>1</ins>", page)
    assert "<ins>&lt;b&gt;</ins>" in page
    assert re.search(r"owner</th>.*?<del>a</del>.*?none", page)


def test_personal_data_is_shown_until_it_is_erased(sequencer: Sequencer, auditor: Client) -> None:
    happen(1)
    sequencer.tick()

    seq = newest("model.update")
    before = shown(auditor, seq)
    Private.objects.all().delete()
    after = shown(auditor, seq)

    assert "192.0.2.7" in before
    assert "192.0.2.7" not in after
    assert "2 pieces erased" in after


def test_the_entries_before_and_after_are_of_the_same_thing_and_the_same_writer(
    sequencer: Sequencer, auditor: Client
) -> None:
    happen(1)
    happen(1, obj=Obj("model", "8", "fraud"))
    happen(1)
    sequencer.tick()

    seq = newest("model.update")
    page = shown(auditor, seq)

    links = re.findall(r'href="/audit/(\d+)/">(\w+):', page)
    assert links == [(str(seq - 2), "Older"), (str(seq - 1), "Before")]
    assert "this is the last" in page


def test_an_entry_leads_to_what_it_speaks_of(sequencer: Sequencer, auditor: Client) -> None:
    append_alone(Action.MODEL_VIEW, by=ALICE, obj=CREDIT)
    sequencer.tick()

    page = shown(auditor, newest("model.view"))

    assert f'href="{reverse("reviews:model", args=["credit"])}"' in page
    assert f'href="{reverse("audit:activity", args=["a1"])}"' in page


@pytest.mark.parametrize(
    ("obj", "place"),
    [
        (Obj("version", "31", "credit", "3"), "/models/credit/v/3/"),
        (Obj("sign_off", "x", "credit", "3"), "/models/credit/v/3/"),
        (Obj("policy_version", "1", "tier-1", "2"), "/policies/tier-1/v/2/"),
        (Obj("deployment", "x", "front-desk"), "/deployments/front-desk/"),
        (Obj("person", "a1"), "/audit/people/a1/"),
        (Obj("evidence", "4711", "fairness", "1"), ""),
        (Obj("evidence", "no number"), ""),
        (Obj("version", "31", "credit", ""), ""),
        (Obj("training", "no uuid"), ""),
        (Obj("something.else", "1"), ""),
    ],
)
def test_things_lead_to_their_pages_and_others_nowhere(db: None, obj: Obj, place: str) -> None:
    assert place_of(obj) == place


def test_whatever_can_be_done_to_a_kind_of_thing_the_kind_can_be_chosen() -> None:
    assert {"model", "version", "policy_version", "dataset", "deployment", "evidence"} <= known_kinds()


@pytest.mark.parametrize("seq", [600, 2**53, 10**30])
def test_an_entry_that_there_is_not_is_said(ledger: Sequencer, auditor: Client, seq: int) -> None:
    answer = auditor.get(f"/audit/{seq}/")

    assert answer.status_code == 404


@given(st.data())
def test_every_step_of_a_proof_leads_to_the_root_and_covers_the_rest(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 600))
    seq = data.draw(st.integers(0, size - 1))
    leaves = [bytes([n % 256, n // 256]) for n in range(size)]
    hashes = b"".join(map(leaf_hash, leaves))
    levels = {0: hashes, 1: b"".join(root_of(hashes[i : i + 8192]) for i in range(0, size // 256 * 8192, 8192))}
    tiles = TileNodes(lambda level, n: levels.get(level, b"")[n * 8192 : (n + 1) * 8192])

    climbed = proofs.steps(leaves[seq], seq, size, inclusion_proof(tiles, seq, size))

    assert (climbed[-1].parent if climbed else leaf_hash(leaves[seq]).hex()) == root_of(hashes).hex()
    covered = {seq}.union(*(range(step.first, step.last + 1) for step in climbed))
    assert covered == set(range(size))
    assert all(step.on_left == (step.last < seq) for step in climbed)


def test_a_service_and_the_installation_have_activity_too(sequencer: Sequencer, auditor: Client) -> None:
    happen(1, by=Actor("system", "ledger-watch", "clock"))
    sequencer.tick()

    assert "ledger-watch" in auditor.get(reverse("audit:activity", args=["ledger-watch"])).content.decode()


def test_the_list_and_the_page_say_in_words_what_happened(ledger: Sequencer, auditor: Client) -> None:
    sentence = Action.MODEL_UPDATE.sentence

    assert sentence in auditor.get(reverse("audit:log")).content.decode()
    assert sentence in shown(auditor, 300)


def test_an_action_of_another_release_has_no_words(ledger: Sequencer) -> None:
    payload = read_entry(300)
    assert payload is not None

    found = decode(300, payload.replace(b"model.update", b"model.teleport"))

    assert found is not None
    assert found.sentence == ""


def test_the_page_reads_the_entrys_bundle_once(ledger: Sequencer, auditor: Client) -> None:
    with CaptureQueriesContext(connection) as captured:
        shown(auditor, 300)

    assert sum("FROM audit_bundle WHERE n >= 1 AND n < 2" in one["sql"] for one in captured) == 1
