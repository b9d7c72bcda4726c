"""Names that several lists use are told apart, whatever the lists are called."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.proof.naming import told_apart

WORD = st.text("ab-", min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ([("risk", "aa"), ("owner", "zz")], ["risk", "owner"]),
        ([("risk", "aa"), ("risk", "zz")], ["risk", "risk-zz"]),
        ([("risk", "aa"), ("risk-zz", "aa"), ("risk", "zz")], ["risk", "risk-zz", "risk_zz"]),
        ([("risk", "aa"), ("risk", "zz"), ("risk-zz", "zz")], ["risk", "risk_zz", "risk-zz"]),
        (
            [("risk", "aa"), ("risk-a", "aa"), ("risk-a", "b"), ("risk", "a-b")],
            ["risk", "risk-a", "risk-a-b", "risk_a-b"],
        ),
    ],
)
def test_the_first_keeps_its_name_and_others_are_joined_with_their_list(
    named: list[tuple[str, str]], told: list[str]
) -> None:
    assert told_apart(named) == told


@given(st.sets(st.tuples(WORD, WORD)))
def test_no_two_are_alike(named: set[tuple[str, str]]) -> None:
    assert len(set(told_apart(sorted(named)))) == len(named)
