from hypothesis import given
from hypothesis import strategies as st

from reviews.quorum import Vote, counted, enough, missing

NEEDS = {"validator": 1, "risk": 2}
votes = st.lists(
    st.builds(Vote, st.sampled_from(["validator", "risk", "stranger"]), st.sampled_from("abcdef")), max_size=12
)
needs = st.dictionaries(st.sampled_from(["validator", "risk", "business"]), st.integers(1, 3), max_size=3)


def test_every_slot_needs_its_people() -> None:
    assert not enough(NEEDS, [Vote("validator", "a"), Vote("risk", "b")])
    assert enough(NEEDS, [Vote("validator", "a"), Vote("risk", "b"), Vote("risk", "c")])


def test_the_same_person_twice_is_one_person() -> None:
    assert missing(NEEDS, [Vote("validator", "a"), Vote("risk", "b"), Vote("risk", "b")]) == {"risk": 1}


def test_somebody_in_two_slots_counts_in_neither() -> None:
    assert counted([Vote("validator", "a"), Vote("risk", "a"), Vote("risk", "b")]) == {"risk": frozenset("b")}


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

    people = counted(given_votes)
    assert sum(asked.values()) <= len(frozenset().union(*people.values()))
    for slot, number in asked.items():
        assert len(people[slot]) >= number


@given(needs, votes, st.sampled_from(["validator", "risk", "business"]))
def test_one_more_independent_person_never_undoes_a_quorum(
    asked: dict[str, int], given_votes: list[Vote], slot: str
) -> None:
    if enough(asked, given_votes):
        assert enough(asked, [*given_votes, Vote(slot, "newcomer")])
