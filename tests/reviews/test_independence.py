import pytest
from hypothesis import given
from hypothesis import strategies as st

from reviews.independence import Candidate, Deed, Relation, Seat, conflict_of, eligibility, eligible_accounts

SEAT = Seat("Model validator", "Model validation", "Risk officers")
ALICE, BOB, CAROL = 1, 2, 3


def member(account: int = BOB, group: str = "Model validation") -> Candidate:
    return Candidate(account, True, True, frozenset({group}))


@pytest.mark.parametrize(
    ("relation", "words"),
    [
        (Relation.REQUESTED, "You asked for this review"),
        (Relation.REGISTERED, "You registered this version"),
        (Relation.TRAINED, "You ran the training of this version"),
        (Relation.PREPARED_DATA, "You prepared the data"),
        (Relation.WROTE_RECIPE, "You wrote the transformation recipe"),
    ],
)
def test_each_relation_has_its_own_sentence(relation: Relation, words: str) -> None:
    answer = eligibility(member(), SEAT, [Deed(relation, BOB, "Bob")])

    assert not answer.allowed
    assert answer.reason.startswith(words)


@pytest.mark.parametrize("relation", list(Relation))
def test_owner_of_the_service_account_that_did_it_may_not_sign(relation: Relation) -> None:
    answer = eligibility(member(), SEAT, [Deed(relation, 99, "trainer", owner=BOB)])

    assert not answer.allowed
    assert "You own the service account trainer" in answer.reason


def test_independent_member_of_the_group_may_sign() -> None:
    assert eligibility(member(), SEAT, [Deed(Relation.TRAINED, ALICE, "Alice")]).allowed


def test_somebody_outside_the_group_may_not_sign() -> None:
    answer = eligibility(member(group="Readers"), SEAT, [])

    assert answer.reason == "Only members of Model validation may sign as Model validator, and you are not among them."


def test_service_account_may_not_sign() -> None:
    assert not eligibility(Candidate(BOB, True, False, frozenset({"Model validation"})), SEAT, []).allowed


def test_inactive_person_may_not_sign() -> None:
    assert not eligibility(Candidate(BOB, False, True, frozenset({"Model validation"})), SEAT, []).allowed


def test_one_person_fills_one_slot() -> None:
    answer = eligibility(member(), SEAT, [], fills="Risk officer")

    assert answer.reason == "You already signed this round as Risk officer; one person fills one slot."


def test_alternates_may_sign_only_when_they_are_called() -> None:
    called = Seat(SEAT.title, SEAT.group, SEAT.alternates, alternates_called=True)

    assert not eligibility(member(CAROL, "Risk officers"), SEAT, []).allowed
    assert eligibility(member(CAROL, "Risk officers"), called, []).allowed


def test_alternates_are_not_excused_from_independence() -> None:
    called = Seat(SEAT.title, SEAT.group, SEAT.alternates, alternates_called=True)

    assert not eligibility(member(CAROL, "Risk officers"), called, [Deed(Relation.TRAINED, CAROL, "Carol")]).allowed


accounts = st.integers(1, 6)
deeds = st.lists(
    st.builds(Deed, st.sampled_from(Relation), accounts, st.just("somebody"), st.none() | accounts), max_size=8
)


@given(deeds, accounts)
def test_nobody_with_any_relation_is_ever_eligible(done: list[Deed], account: int) -> None:
    related = any(account in (deed.account, deed.owner) for deed in done)

    assert eligibility(member(account), SEAT, done).allowed is not related
    assert bool(conflict_of(account, done)) is related


@given(deeds, st.permutations(range(1, 7)))
def test_who_is_eligible_does_not_depend_on_order(done: list[Deed], order: list[int]) -> None:
    people = [member(account) for account in order]

    assert eligible_accounts(people, SEAT, done) == eligible_accounts(
        sorted(people, key=lambda one: one.account), SEAT, list(reversed(done))
    )


@given(deeds, deeds)
def test_more_relations_never_make_anybody_eligible(done: list[Deed], more: list[Deed]) -> None:
    people = [member(account) for account in range(1, 7)]

    assert eligible_accounts(people, SEAT, [*done, *more]) <= eligible_accounts(people, SEAT, done)
