from hypothesis import given
from hypothesis import strategies as st

from reviews.quorum import Vote, counted, enough, missing

NEEDS = {"validator": 1, "risk": 2}
people = st.sampled_from("abcdef")
votes = st.lists(
    st.builds(Vote, st.sampled_from(["validator", "risk", "stranger"]), people, st.just("") | people), max_size=12
)
needs = st.dictionaries(st.sampled_from(["validator", "risk", "business"]), st.integers(1, 3), max_size=3)


def test_every_slot_needs_its_people() -> None:
    assert not enough(NEEDS, [Vote("validator", "a"), Vote("risk", "b")])
    assert enough(NEEDS, [Vote("validator", "a"), Vote("risk", "b"), Vote("risk", "c")])


def test_the_same_person_twice_is_one_person() -> None:
    assert missing(NEEDS, [Vote("validator", "a"), Vote("risk", "b"), Vote("risk", "b")]) == {"risk": 1}


def test_somebody_in_two_slots_counts_in_neither() -> None:
    assert counted([Vote("validator", "a"), Vote("risk", "a"), Vote("risk", "b")]) == {"risk": frozenset("b")}


def test_whoever_signed_and_was_signed_for_counts_once() -> None:
    assert missing(NEEDS, [Vote("validator", "a"), Vote("risk", "b"), Vote("risk", "c", "b")]) == {"risk": 1}


def test_whoever_signs_for_two_counts_once() -> None:
    assert missing(NEEDS, [Vote("validator", "a"), Vote("risk", "b", "c"), Vote("risk", "b", "d")]) == {"risk": 1}


def test_whoever_signs_for_themselves_and_for_somebody_in_another_slot_counts_in_neither() -> None:
    assert counted([Vote("validator", "a"), Vote("risk", "a", "b"), Vote("risk", "c")]) == {"risk": frozenset("c")}


def test_somebody_who_stands_in_for_another_fills_the_slot() -> None:
    assert enough(NEEDS, [Vote("validator", "a"), Vote("risk", "b"), Vote("risk", "c", "d")])


def test_a_policy_without_slots_is_never_enough() -> None:
    assert not enough({}, [Vote("validator", "a")])


@given(needs, votes)
def test_order_of_signing_plays_no_part(asked: dict[str, int], given_votes: list[Vote]) -> None:
    shuffled = sorted(given_votes, key=lambda vote: (vote.person, vote.slot))

    assert enough(asked, given_votes) == enough(asked, shuffled)
    assert missing(asked, given_votes) == missing(asked, list(reversed(given_votes)))


@given(needs, votes)
def test_enough_means_that_distinct_people_stand_in_distinct_slots(
    asked: dict[str, int], given_votes: list[Vote]
) -> None:
    if not enough(asked, given_votes):
        return

    counting = counted(given_votes)
    assert sum(asked.values()) <= len(frozenset().union(*counting.values()))
    for slot, number in asked.items():
        assert len(counting[slot]) >= number


@given(votes)
def test_nobody_is_behind_two_who_count(given_votes: list[Vote]) -> None:
    behind = {one: vote.people for vote in given_votes for one in vote.people}
    counting = [person for standing in counted(given_votes).values() for person in standing]

    for number, one in enumerate(counting):
        assert not any(other in behind[one] and other != one for other in counting[number + 1 :])
    assert len(counting) == len(set(counting))


@given(needs, votes, st.sampled_from(["validator", "risk", "business"]))
def test_one_more_independent_person_never_undoes_a_quorum(
    asked: dict[str, int], given_votes: list[Vote], slot: str
) -> None:
    if enough(asked, given_votes):
        assert enough(asked, [*given_votes, Vote(slot, "newcomer")])
