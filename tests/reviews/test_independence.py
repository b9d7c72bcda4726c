from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reviews.independence import (
    Candidate,
    Deed,
    Fills,
    Relation,
    Seat,
    conflict_of,
    eligibility,
    eligibility_for,
    eligible_accounts,
    unfillable,
)

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
        (Relation.REQUESTED_BEFORE, "You asked for an earlier review of this version"),
        (Relation.RETRIED, "You had the training of this version run again"),
        (Relation.EVALUATED, "You attached evidence to this version by hand"),
        (Relation.MADE_SAME_BYTES, "You had a hand in another version with the same bytes"),
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
    answer = eligibility(member(), SEAT, [], fills=Fills("Risk officer"))

    assert answer.reason == "You already signed this round as Risk officer; one person fills one slot."


def test_alternates_may_sign_only_when_they_are_called() -> None:
    called = Seat(SEAT.title, SEAT.group, SEAT.alternates, alternates_called=True)

    assert not eligibility(member(CAROL, "Risk officers"), SEAT, []).allowed
    assert eligibility(member(CAROL, "Risk officers"), called, []).allowed


def test_alternates_are_not_excused_from_independence() -> None:
    called = Seat(SEAT.title, SEAT.group, SEAT.alternates, alternates_called=True)

    assert not eligibility(member(CAROL, "Risk officers"), called, [Deed(Relation.TRAINED, CAROL, "Carol")]).allowed


def stands_in(
    *deeds: Deed,
    delegate: Candidate | None = None,
    delegator: Candidate | None = None,
    seat: Seat = SEAT,
    group: str = "Model validation",
    fills: Fills | None = None,
    represented: Fills | None = None,
) -> str:
    """Why carol may not sign for bob, or nothing."""
    answer = eligibility_for(
        delegate or Candidate(CAROL, True, True, frozenset(), "Carol"),
        delegator or Candidate(BOB, True, True, frozenset({"Model validation"}), "Bob"),
        seat,
        deeds,
        group=group,
        fills=fills,
        represented=represented,
    )
    return "" if answer.allowed else answer.reason


def test_whoever_stands_in_needs_no_membership_of_their_own() -> None:
    assert stands_in() == ""


@pytest.mark.parametrize("relation", list(Relation))
def test_neither_of_the_two_may_have_had_a_hand_in_it(relation: Relation) -> None:
    assert stands_in(Deed(relation, CAROL, "Carol")).startswith("You ")
    assert stands_in(Deed(relation, BOB, "Bob")).startswith("Bob ")
    assert "Bob owns the service account trainer" in stands_in(Deed(relation, 99, "trainer", owner=BOB))


def test_nobody_signs_for_somebody_who_does_not_hold_the_slot() -> None:
    stranger = Candidate(BOB, True, True, frozenset({"Readers"}), "Bob")

    assert stands_in(delegator=stranger).startswith("Bob may not sign as Model validator by membership")
    assert stands_in(group="Risk officers").startswith("Bob may not sign as Model validator by membership")


def test_nobody_signs_for_somebody_who_left_nor_as_a_service() -> None:
    left = Candidate(BOB, False, True, frozenset({"Model validation"}), "Bob")

    assert stands_in(delegator=left) == "The account of Bob is not active, so nobody signs for them."
    assert stands_in(delegate=Candidate(CAROL, True, False)) == "Service accounts do not sign; a person has to."
    assert stands_in(delegate=Candidate(CAROL, False, True)) == "Your account is not active, so you may not sign."


def test_a_slot_that_cannot_be_delegated_is_signed_by_its_holder_alone() -> None:
    assert "does not allow anybody" in stands_in(seat=Seat(SEAT.title, SEAT.group, delegable=False))


def test_whoever_signed_already_does_not_sign_for_another_too() -> None:
    assert "one person fills one slot" in stands_in(fills=Fills("Risk officer"))


def test_whoever_is_counted_already_is_not_represented_again() -> None:
    assert "they count once" in stands_in(represented=Fills("Model validator"))


def test_whoever_is_represented_elsewhere_takes_that_back_first() -> None:
    answer = eligibility(member(), SEAT, [], fills=Fills("Risk officer", by="Carol"))

    assert answer.reason.startswith("Carol signed this round for you as Risk officer")


def test_one_person_cannot_fill_two_slots_alone() -> None:
    assert unfillable({"validator": 1, "risk": 1}, {"validator": frozenset({1}), "risk": frozenset({1})}) == {"risk": 1}


def test_slots_are_filled_by_whoever_is_not_needed_elsewhere() -> None:
    eligible = {"validator": frozenset({1, 2}), "risk": frozenset({1})}

    assert unfillable({"validator": 1, "risk": 1}, eligible) == {}
    assert unfillable({"validator": 2, "risk": 1}, eligible) == {"risk": 1}


accounts = st.integers(1, 6)
needs = st.dictionaries(st.sampled_from("abc"), st.integers(1, 3), max_size=3)
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


@given(needs, st.dictionaries(st.sampled_from("abc"), st.frozensets(accounts), max_size=3))
def test_as_many_people_sit_as_can(asked: dict[str, int], eligible: dict[str, frozenset[int]]) -> None:
    lacking = unfillable(asked, eligible)

    assert sum(asked.values()) - sum(lacking.values()) == _most_seated(
        tuple(sorted(asked.items())), eligible, frozenset()
    )


def _most_seated(asked: tuple[tuple[str, int], ...], eligible: dict[str, frozenset[int]], taken: frozenset[int]) -> int:
    """By trying everything."""
    if not asked:
        return 0
    (slot, people), rest = asked[0], asked[1:]
    free = eligible.get(slot, frozenset()) - taken
    return max(
        size + _most_seated(rest, eligible, taken | set(chosen))
        for size in range(min(people, len(free)) + 1)
        for chosen in combinations(sorted(free), size)
    )
