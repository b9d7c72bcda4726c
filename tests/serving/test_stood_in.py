"""Offline, whoever signed for somebody and whom they signed for count once, and neither may be an author. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from countersign.proof.attestation import NotVerified, Slot, _check_current, _check_independent

SIGNED: dict[str, Any] = {"slot": {"key": "risk"}, "expires": "2030-01-01T00:00:00+00:00", "facets": {}}


def said(reviewer: str, on_behalf_of: str = "") -> dict[str, Any]:
    return SIGNED | {"reviewer": {"id": reviewer}, "on_behalf_of": {"id": on_behalf_of} if on_behalf_of else None}


@pytest.mark.parametrize(
    "decisions",
    [
        [said("carol"), said("frank", "carol")],
        [said("bob"), said("bob", "carol")],
        [said("bob", "carol"), said("frank", "carol")],
    ],
)
def test_two_signatures_that_share_somebody_are_refused(decisions: list[dict[str, Any]]) -> None:
    with pytest.raises(NotVerified, match="more than one slot"):
        _check_independent(decisions, frozenset())


@pytest.mark.parametrize("author", ["frank", "carol"])
def test_neither_of_the_two_may_be_an_author(author: str) -> None:
    with pytest.raises(NotVerified, match="took part in making"):
        _check_independent([said("bob"), said("frank", "carol")], frozenset({author}))


def test_a_slot_that_cannot_be_delegated_is_signed_by_its_holder() -> None:
    slots = {"risk": Slot("risk", 1, (), delegable=False)}

    with pytest.raises(NotVerified, match="for somebody else"):
        _check_current(said("frank", "carol"), slots, {}, datetime(2029, 1, 1, tzinfo=UTC))
