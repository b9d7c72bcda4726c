"""The navigation names rooms that exist and marks the one the reader is in."""

from __future__ import annotations

import pytest
from django.urls import reverse

from foundation.navigation import ROOMS, entries_for


def test_every_room_of_the_navigation_exists() -> None:
    assert [entry.label for entry in entries_for("/")] == [room.label for room in ROOMS]


def test_every_room_stands_in_one_place_on_each_kind_of_screen() -> None:
    for room in ROOMS:
        assert len(room.places & {"bar", "more"}) == 1
        assert len(room.places & {"tab", "tabmore"}) == 1


@pytest.mark.parametrize(
    ("path", "label"),
    [("/", "Inbox"), ("/models/", "Models"), ("/models/credit/v/2/", "Models"), ("/audit/", "Audit log")],
)
def test_the_room_of_a_page_is_marked(path: str, label: str) -> None:
    assert [entry.label for entry in entries_for(path) if entry.current] == [label]


def test_a_page_of_no_room_marks_none() -> None:
    assert [entry for entry in entries_for("/me/") if entry.current] == []


def test_keys_lead_to_one_room_each() -> None:
    keys = [room.key for room in ROOMS if room.key]

    assert len(keys) == len(set(keys))
    assert reverse("reviews:inbox") == "/"
