"""Model cards: what evidence says for a section, what is signed, and going back to earlier words."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from hypothesis import example, given
from hypothesis import strategies as st

from access.models import User
from foundation.refusals import Conflict, Forbidden, NotFound
from foundation.text import safe_html
from registry import cards
from registry.actions import add_evidence, restore_card, revise_card
from registry.card_facts import Block, blocks, drafted, is_newer
from registry.models import ModelVersion, RegisteredModel
from registry.queries import facets
from tests.conftest import MakeVersion, as_, as_worker
from tests.reviews.evidence import evidence

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@dataclass
class Row:
    content: Any
    created_at: datetime = NOON
    digest: str = "a" * 64


@dataclass
class Revision:
    sections: dict[str, str]
    created_at: datetime


@pytest.fixture
def version(model: RegisteredModel, make_version: MakeVersion) -> ModelVersion:
    return make_version(model)


def rows(**changes: Any) -> dict[str, Row]:
    return {kind: Row(content) for kind, content in (evidence() | changes).items()}


def test_evidence_fills_data_evaluation_and_ethics() -> None:
    found = blocks(rows(), owner="Alice", intended_use="Limits")

    assert "Learned from: 2015, 15,000 rows" in found["data"].text
    assert "AUC: 0.850 (95% interval 0.840 to 0.860)" in found["evaluation"].text
    assert "age, 65 and over: 50.0 points (95% interval 49.0 to 51.0)" in found["ethics"].text
    assert "Too small to judge: age: unknown" in found["ethics"].text
    assert found["owner"].text == "Alice"


def test_sections_without_evidence_have_no_block() -> None:
    assert set(blocks({}, owner="Alice", intended_use="")) == {"owner"}


@given(st.text(max_size=60))
@example(" *a* __b__ `c` ~~d~~")
@example(" [a](https://a.example) <https://b.example> ![c](https://c.example)")
@example("\n- a\n\n# b\n\n> c")
def test_a_name_from_evidence_is_text_and_never_markup(name: str) -> None:
    found = blocks({"data": Row({"dataset": f"x{name}", "version": 1})}, owner="", intended_use="")

    html = safe_html(found["data"].text)

    assert set(re.findall(r"<[^>]*>", html)) == {"<ul>", "<li>", "</li>", "</ul>"}
    assert html.count("<li>") == 1


@given(st.dictionaries(st.sampled_from(cards.KEYS), st.text(max_size=30)), st.lists(st.sampled_from(cards.KEYS)))
def test_inserting_keeps_the_authors_words_and_happens_once(sections: dict[str, str], inserted: list[str]) -> None:
    known = {"data": Block("data", "- fact", ("data",), NOON)}

    draft = drafted(sections, inserted, known)

    assert all(sections[key].strip() in draft[key] for key in sections)
    assert drafted(draft, inserted, known) == draft
    assert ("- fact" in draft.get("data", "")) or "data" not in inserted


def test_words_are_dated_by_the_revision_that_last_changed_them() -> None:
    revisions = [
        Revision({"data": "b", "owner": "A"}, NOON + timedelta(days=2)),
        Revision({"data": "a", "owner": "A"}, NOON + timedelta(days=1)),
        Revision({"owner": "A"}, NOON),
    ]

    written = cards.last_written(revisions)

    assert written == {"data": NOON + timedelta(days=2), "owner": NOON}
    block = Block("owner", "x", ("data",), NOON + timedelta(days=1))
    assert is_newer(block, written["owner"])
    assert not is_newer(block, written["data"])


@pytest.mark.django_db
def test_an_earlier_revision_is_restored_as_a_new_one(version: ModelVersion, alice: User) -> None:
    first = revise_card(version, {"owner": "Alice", "data": "All of it is described here."}, by=as_(alice))
    revise_card(version, {"data": ""}, by=as_(alice))

    third = restore_card(version, 1, by=as_(alice))

    assert (third.number, third.sections, third.digest) == (3, first.sections, first.digest)
    assert version.card_revisions.count() == 3
    with pytest.raises(Conflict):
        restore_card(version, 1, by=as_(alice))
    with pytest.raises(NotFound):
        restore_card(version, 9, by=as_(alice))


@pytest.mark.django_db
def test_whoever_may_not_edit_restores_nothing(version: ModelVersion, alice: User, bob: User) -> None:
    revise_card(version, {"owner": "Alice"}, by=as_(alice))
    revise_card(version, {"owner": "Bob"}, by=as_(alice))

    with pytest.raises(Forbidden):
        restore_card(version, 1, by=as_(bob))


@pytest.mark.django_db
def test_new_evidence_leaves_the_cards_digest_alone(version: ModelVersion, alice: User) -> None:
    revise_card(version, {"owner": "Alice"}, by=as_(alice))
    before = facets(version)

    add_evidence(version, "data", evidence()["data"], by=as_worker(alice))

    after = facets(version)
    assert after["card"] == before["card"]
    assert after["data"] != before["data"]


@pytest.mark.django_db
def test_the_page_offers_evidence_as_a_draft_and_marks_what_is_older(
    version: ModelVersion, alice: User, client_for: Callable[[User], Client]
) -> None:
    address = reverse("registry:card", args=["credit", version.number])
    revise_card(version, {"data": "Described before anything was measured."}, by=as_(alice))
    add_evidence(version, "data", evidence()["data"], by=as_worker(alice))

    page = client_for(alice).get(address).content.decode()
    draft = client_for(alice).get(address, {"insert": "data"})

    assert "evidence is newer than these words" in page
    assert "Insert into the draft" in page
    assert "15,000 rows" in draft.context["form"].initial["data"]
    assert draft.context["form"].initial["data"].startswith("Described before")
    assert version.card_revisions.count() == 1


@pytest.mark.django_db
def test_a_new_versions_card_starts_as_a_copy_that_is_not_saved(
    model: RegisteredModel,
    version: ModelVersion,
    make_version: MakeVersion,
    alice: User,
    client_for: Callable[[User], Client],
) -> None:
    revise_card(version, {"owner": "Alice", "data": "What the first one learned from."}, by=as_(alice))
    second = make_version(model)
    address = reverse("registry:card", args=["credit", second.number])
    client = client_for(alice)

    page = client.get(address)

    assert "A draft, copied from the card of v1" in page.content.decode()
    assert page.context["form"].initial["owner"] == "Alice"
    assert not second.card_revisions.exists()
    client.post(address, {"owner": "Alice", "data": "What this one learned from."})
    assert "as in v1" in client.get(address).content.decode()


@pytest.mark.django_db
def test_a_card_with_one_revision_is_not_shown_twice(
    version: ModelVersion, alice: User, dave: User, client_for: Callable[[User], Client]
) -> None:
    revise_card(version, {"limitations": "Not for people below 25."}, by=as_(alice))
    address = reverse("registry:card", args=["credit", version.number])

    assert client_for(dave).get(address).content.decode().count("Not for people below 25.") == 1


@pytest.mark.django_db
def test_any_two_revisions_are_compared_and_one_restored_on_the_page(
    version: ModelVersion, alice: User, client_for: Callable[[User], Client]
) -> None:
    address = reverse("registry:card", args=["credit", version.number])
    for text in ("one", "two", "three"):
        revise_card(version, {"owner": text}, by=as_(alice))
    client = client_for(alice)

    page = client.get(address, {"from": "1", "to": "3"})

    ((section, lines),) = page.context["difference"]
    assert section.key == "owner"
    assert [(line.kind, line.text) for line in lines] == [("removed", "one"), ("added", "three")]
    client.post(address, {"restore": "2"})
    assert version.card_revisions.latest("number").sections["owner"] == "two"
