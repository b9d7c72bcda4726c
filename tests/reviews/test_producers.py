"""Whose evidence counts: words, authors, and the record that nobody but the server writes."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access.models import User
from foundation.refusals import Invalid
from registry.actions import add_evidence
from registry.models import Evidence
from registry.queries import records_of
from reviews.counting import counted
from reviews.policies import PolicyDocument, PolicyRef, Rules, parse
from reviews.producers import Producer, counts, counts_for_all, flaw_in, in_words
from reviews.shipped import shipped_policies
from tests.conftest import as_
from tests.reviews.conftest import MakeCandidate
from tests.reviews.evidence import metrics

READ_AS = {
    "worker:training": "the training worker",
    "group:Model validation": "members of Model validation",
    "service:scorer": "the service account scorer",
    "person:bob": "bob",
}
TRAINED = Producer("Metrics", "metrics", "training.train", "alice", "Alice", is_author=True)
BY_HAND = Producer("Metrics", "metrics", "", "alice", "Alice", is_author=True, groups=frozenset({"Model validation"}))
VALIDATED = Producer("Metrics", "metrics", "", "bob", "Bob", groups=frozenset({"Model validation"}))
SERVICE = Producer("Metrics", "metrics", "", "ci", "CI", is_service=True)
SCANNED = Producer("Admission scan", "scan", "", "alice", "Alice", is_author=True)
ALL = (TRAINED, BY_HAND, VALIDATED, SERVICE, SCANNED)
WORDS = (
    "worker:training",
    "worker:admission",
    "group:Model validation",
    "service:ci",
    "person:alice",
    "person:bob",
    "service:alice",
)


@pytest.mark.parametrize(
    ("word", "whose"),
    [
        ("worker:training", [TRAINED]),
        ("worker:admission", [SCANNED]),
        ("group:Model validation", [VALIDATED]),
        ("group:Risk officers", []),
        ("service:ci", [SERVICE]),
        ("service:alice", []),
        ("person:alice", [BY_HAND, SCANNED]),
        ("person:ci", []),
    ],
)
def test_each_word_stands_for_exactly_these(word: str, whose: list[Producer]) -> None:
    assert [one for one in ALL if counts(one, [word])] == whose


def test_an_empty_list_asks_nothing() -> None:
    assert all(counts(one, []) for one in ALL)


@given(st.lists(st.sets(st.sampled_from(WORDS), min_size=1), min_size=1, max_size=3))
def test_more_policies_only_narrow(lists: list[set[str]]) -> None:
    for who, fewer in itertools.product(ALL, range(1, len(lists) + 1)):
        if counts_for_all(who, [sorted(words) for words in lists]):
            assert counts_for_all(who, [sorted(words) for words in lists[:fewer]])


@pytest.mark.parametrize("word", ["worker:scan", "group:", "alice", "people:alice", "", "group:  "])
def test_a_word_that_names_nobody_is_a_flaw_of_the_policy(word: str) -> None:
    assert flaw_in(word)
    content = shipped_policies()["production-tier-1"] | {"producers": [word]}

    with pytest.raises(Invalid) as refused:
        parse(content)

    assert "producers[0]" in refused.value.errors


def rules(*words: str) -> Rules:
    document = parse(shipped_policies()["production-tier-1"] | {"producers": list(words)})
    assert isinstance(document, PolicyDocument)
    return Rules(((PolicyRef("p", 1, document.digest), document),))


@pytest.mark.django_db
def test_what_the_author_attached_does_not_count_and_the_sentence_says_who(
    make_candidate: MakeCandidate, alice: User
) -> None:
    version = make_candidate()
    for row in list(version.evidence.exclude(kind__in=["scan", "signature"])):
        add_evidence(version, row.kind, row.content | {"again": True}, by=as_(alice))

    found = counted(records_of([version])[version.pk], rules("worker:admission"))

    assert set(found.evidence) == {"scan", "signature"}
    assert "Metrics was attached by" in found.reasons["metrics"]
    assert str(alice) in found.reasons["metrics"]


@pytest.mark.django_db
def test_older_evidence_that_counts_is_not_pushed_aside_by_newer_that_does_not(
    make_candidate: MakeCandidate, alice: User
) -> None:
    version = make_candidate()
    add_evidence(version, "metrics", metrics(0.99), by=as_(alice))

    found = counted(records_of([version])[version.pk], rules("worker:training", "worker:admission"))

    assert found.evidence["metrics"].content["metrics"]["auc"]["value"] == 0.85
    assert found.discounted["metrics"][0].content["metrics"]["auc"]["value"] == 0.99


@pytest.mark.django_db
def test_evidence_about_other_bytes_never_counts(make_candidate: MakeCandidate, alice: User) -> None:
    version = make_candidate()
    Evidence.objects.create(
        version=version,
        kind="comparison",
        subject_digest="f" * 64,
        content={"against": 1},
        digest="d" * 64,
        producer=alice,
        job_kind="training.train",
    )

    assert "comparison" not in counted(records_of([version])[version.pk], rules("worker:training")).evidence
    assert "comparison" not in counted(records_of([version])[version.pk], rules()).evidence


@pytest.mark.django_db
def test_a_caller_cannot_say_that_a_worker_measured_it(make_candidate: MakeCandidate, alice: User) -> None:
    version = make_candidate()

    add_evidence(
        version, "metrics", metrics(0.9) | {"job_kind": "training.train", "produced_via": "job:1"}, by=as_(alice)
    )

    newest = version.evidence.filter(kind="metrics").latest("created_at", "pk")
    assert newest.job_kind == ""
    assert newest.produced_via == as_(alice).via


def test_pages_say_in_words_whose_evidence_counts_and_how_a_signer_confirms() -> None:
    assert {word: in_words(word) for word in READ_AS} == READ_AS
    document = parse(shipped_policies()["production-tier-1"])
    assert "authenticator code" in document.confirmed_by
    assert "the training worker" in document.evidence_from
