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
from foundation.refusals import Conflict, Forbidden, Invalid, NotFound
from foundation.text import safe_html
from registry import cards
from registry.actions import add_evidence, restore_card, revise_card
from registry.card_facts import Block, blocks, drafted, is_newer
from registry.models import ModelVersion, RegisteredModel
from registry.queries import facets
from tests.conftest import MakeVersion, as_, as_worker
from tests.reviews.evidence import evidence

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
ESTIMATE = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 500}


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


def test_each_block_says_all_that_the_evidence_says() -> None:
    data = evidence()["data"] | {"held_back": ["sex"]}
    metrics = {"holdout": {"rows": 5_000}, "cutoff": 0.5, "metrics": {"auc": ESTIMATE, "brier": 0.15}}
    fairness = {
        "worst": {"attribute": "age", "group": "65 and over", "equal_opportunity_gap": ESTIMATE},
        "worst_intersection": {
            "attribute": "sex × age",
            "group": "female, 16",
            "equal_opportunity_gap": {"value": 0.7},
        },
        "attributes": {
            "age": {"groups": [{"group": "16", "sufficient": True}, {"group": "unknown", "sufficient": False}]},
            "sex": {"groups": [{"group": "other", "sufficient": False}, {"group": "male"}]},
        },
        "mitigation": {"method": "reweighing", "attributes": ["sex", "age"]},
    }

    found = blocks(rows(data=data, metrics=metrics, fairness=fairness), owner="", intended_use="")

    assert found["data"].text.splitlines() == [
        "- Dataset: employment, version 1, 20,000 rows",
        "- Learned from: 2015, 15,000 rows",
        "- Tested on: 2016, 5,000 rows",
        "- Protected attributes: sex, age",
        "- Held back from the model: sex",
    ]
    assert found["evaluation"].text.splitlines() == [
        "- Judged on 5,000 held-out rows",
        "- AUC: 0.500 (95% interval 0.400 to 0.600)",
        "- Brier score: 0.150",
        "- Decision: positive from a score of 0.500 on",
    ]
    assert found["ethics"].text.splitlines() == [
        "- Widest equal-opportunity gap: age, 65 and over: 50.0 points (95% interval 40.0 to 60.0)",
        "- By two attributes: sex × age, female, 16: 70.0 points",
        "- Too small to judge: age: unknown, sex: other",
        "- Mitigation: reweighing, for sex, age",
    ]


@pytest.mark.parametrize(
    "unsaid",
    [
        {"data": {}, "metrics": {}, "fairness": {}},
        {"metrics": {"holdout": None, "cutoff": None}, "fairness": {"worst": None, "worst_intersection": None}},
        {"fairness": {"mitigation": None, "attributes": {"age": {}, "sex": {"groups": []}}}},
        {"fairness": {"mitigation": {"method": "none"}}},
        {"metrics": {"metrics": {"auc": None, "brier": {"value": None, "low": 0.1, "high": 0.2}, "ece": "low"}}},
        {"fairness": {"worst": {"attribute": "age", "equal_opportunity_gap": {"value": None, "low": 0.1}}}},
        {"metrics": {"holdout": {"rows": True}, "cutoff": True}, "data": {"train_rows": True}},
    ],
)
def test_what_a_producer_did_not_say_is_not_written(unsaid: dict[str, Any]) -> None:
    assert blocks({kind: Row(content) for kind, content in unsaid.items()}, owner="", intended_use=" ") == {}


@pytest.mark.parametrize("ends", [{}, {"low": 0.8}, {"high": 0.9}, {"low": None, "high": None}])
def test_an_estimate_without_both_ends_stands_without_an_interval(ends: dict[str, Any]) -> None:
    found = blocks({"metrics": Row({"metrics": {"auc": {"value": 0.85} | ends}})}, owner="", intended_use="")

    assert found["evaluation"].text == "- AUC: 0.850"


def test_a_dataset_whose_rows_were_not_counted_is_named_alone() -> None:
    found = blocks({"data": Row({"dataset": "employment"})}, owner="", intended_use="")

    assert found["data"].text == "- Dataset: employment, version ?"


def test_a_mitigation_that_names_no_attributes_is_still_named() -> None:
    found = blocks({"fairness": Row({"mitigation": {"method": "reweighing"}})}, owner="", intended_use="")

    assert found["ethics"].text == "- Mitigation: reweighing"


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


def test_words_kept_in_later_revisions_keep_their_date() -> None:
    revisions = [
        Revision({"data": "b", "owner": "B"}, NOON + timedelta(days=2)),
        Revision({"data": "b", "owner": "A"}, NOON + timedelta(days=1)),
        Revision({"data": "a", "owner": "A"}, NOON),
    ]

    assert cards.last_written(revisions) == {"data": NOON + timedelta(days=1), "owner": NOON + timedelta(days=2)}


def test_evidence_is_newer_only_than_words_that_were_written_before_it() -> None:
    block = Block("data", "x", ("data",), NOON)

    assert is_newer(block, NOON - timedelta(seconds=1))
    assert not is_newer(block, NOON)
    assert not is_newer(block, None)
    assert not is_newer(Block("owner", "x", ()), NOON)


@pytest.mark.parametrize(
    ("section", "text", "enough"),
    [
        ("data", "x" * 20, True),
        ("data", "x" * 19, False),
        ("data", "x" * 19 + " \n", False),
        ("owner", "A", True),
        ("owner", " ", False),
        ("owner", "", False),
    ],
)
def test_a_section_says_something_from_twenty_characters_on_and_the_owner_from_one(
    section: str, text: str, enough: bool
) -> None:
    sections = dict.fromkeys(cards.KEYS, "x" * 20) | {section: text}

    assert [one.key for one in cards.missing(sections)] == ([] if enough else [section])
    assert cards.completeness(sections) == (1 if enough else 7 / 8)


def test_an_empty_card_is_complete_to_nothing() -> None:
    assert [section.key for section in cards.missing({})] == list(cards.KEYS)
    assert cards.completeness({}) == 0


def test_a_section_may_be_as_long_as_it_says_and_no_longer() -> None:
    assert cards.checked({"data": "x" * 20_000}) == {"data": "x" * 20_000}
    with pytest.raises(Invalid, match="at most 20,000 characters; this one has 20,001"):
        cards.checked({"data": "x" * 20_001})


def test_every_flaw_of_a_card_is_named_at_once() -> None:
    with pytest.raises(Invalid) as refused:
        cards.checked({"praise": "x", "owner": 5, "data": "All of it."})

    assert refused.value.errors == {
        "praise": f"There is no such section; the sections are {', '.join(cards.KEYS)}.",
        "owner": "A section is text in Markdown.",
    }
    assert all(error in refused.value.detail for error in refused.value.errors.values())
    assert refused.value.code == "card"


def test_a_line_of_which_one_word_changed_is_one_line_removed_and_one_added() -> None:
    ((section, lines),) = cards.difference(
        {"data": "one\nyear 2015", "owner": "A"}, {"data": "one\nyear 2016", "owner": "A"}
    )

    assert section.key == "data"
    assert [(line.kind, line.text) for line in lines] == [
        ("same", "one"),
        ("removed", "year 2015"),
        ("added", "year 2016"),
    ]


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
