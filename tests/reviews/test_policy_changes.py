"""What differs between two texts, and which way it goes."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from reviews.policies import parse
from reviews.policy_changes import Difference, Direction, difference, passes_direction, shown
from reviews.shipped import shipped_policies

TIGHTER, LOOSER, UNKNOWN = Direction.TIGHTER, Direction.LOOSER, Direction.UNKNOWN


def text() -> dict[str, Any]:
    return copy.deepcopy(shipped_policies()["production-tier-1"])


def changed(**header: Any) -> Difference:
    return difference(parse(text()), parse(text() | header))


def test_the_same_text_has_no_difference() -> None:
    assert changed().empty


@pytest.mark.parametrize(
    ("before", "after", "direction"),
    [
        ("metrics.auc_low >= 0.7", "metrics.auc_low >= 0.75", TIGHTER),
        ("metrics.auc_low >= 0.7", "metrics.auc_low >= 0.6", LOOSER),
        ("metrics.ece <= 0.05", "metrics.ece <= 0.08", LOOSER),
        ("metrics.ece < 0.05", "metrics.ece < 0.02", TIGHTER),
        ("metrics.auc >= production.metrics.auc - 0.02", "metrics.auc >= production.metrics.auc - 0.01", TIGHTER),
        ("metrics.auc >= production.metrics.auc - 0.02", "metrics.auc >= production.metrics.recall - 0.01", UNKNOWN),
        ("fairness.gaps['sex'] <= 0.1", "fairness.gaps['sex'] <= 0.2", LOOSER),
        ("scan.admitted", "scan.admitted && environment.locked", TIGHTER),
        ("scan.admitted && environment.locked", "scan.admitted", LOOSER),
        ("scan.admitted && metrics.auc > 0.5", "scan.admitted && metrics.auc > 0.6", TIGHTER),
        ("metrics.auc > 0.5 && metrics.ece < 0.1", "metrics.auc > 0.6 && metrics.ece < 0.2", UNKNOWN),
        ("metrics.auc == 0.5", "metrics.auc == 0.6", UNKNOWN),
        ("metrics.auc > 0.5", "metrics.auc >= 0.5", UNKNOWN),
        ("scan.admitted || environment.locked", "scan.admitted", UNKNOWN),
    ],
)
def test_direction_of_a_rule_is_named_only_where_it_is_known(before: str, after: str, direction: Direction) -> None:
    assert passes_direction(before, after) is direction


@pytest.mark.parametrize(
    ("header", "name", "direction"),
    [
        ({"valid_months": 6}, "valid_months", TIGHTER),
        ({"valid_months": 24}, "valid_months", LOOSER),
        ({"due_days": 20}, "due_days", UNKNOWN),
        ({"reauthentication": ["passkey"]}, "reauthentication", TIGHTER),
        ({"producers": ["worker:training"]}, "producers", TIGHTER),
        ({"conditions": {"allowed": False}}, "conditions.allowed", TIGHTER),
        ({"envelopes": False}, "envelopes", TIGHTER),
        ({"break_glass": {"allowed": True, "hours": 48}}, "break_glass.hours", LOOSER),
        ({"changed_by": {"people": 2}}, "changed_by.people", TIGHTER),
        ({"applies_to": {"stage": "production", "tiers": [1, 2]}}, "applies_to.tiers", TIGHTER),
        ({"remind_days": [30]}, "remind_days", LOOSER),
        ({"pulls_after_expiry_days": 30}, "pulls_after_expiry_days", LOOSER),
        ({"title": "Another"}, "title", UNKNOWN),
    ],
)
def test_direction_of_a_field(header: dict[str, Any], name: str, direction: Direction) -> None:
    found = {one.name: one.direction for one in changed(**header).header}

    assert found[name] is direction


def test_gates_and_slots_are_matched_by_key_not_by_place() -> None:
    content = text()
    content["gates"].reverse()
    content["slots"].reverse()

    assert difference(parse(text()), parse(content)).empty


def test_what_came_and_went_is_named() -> None:
    content = text()
    gone = content["gates"].pop(0)
    content["gates"].append(gone | {"key": "new-gate"})
    content["gates"].append(gone | {"key": "new-warning", "warning": True})
    content["slots"].append(content["slots"][0] | {"key": "second"})

    found = difference(parse(text()), parse(content))

    assert {(one.part, one.key, one.kind, one.direction) for one in found.items} == {
        ("gates", "new-gate", "added", TIGHTER),
        ("gates", "new-warning", "added", UNKNOWN),
        ("gates", gone["key"], "removed", LOOSER),
        ("slots", "second", "added", TIGHTER),
    }


@pytest.mark.parametrize(
    ("change", "direction"),
    [
        ({"warning": True}, LOOSER),
        ({"when": "production.exists"}, LOOSER),
        ({"enough": "metrics.holdout_rows >= 1000"}, TIGHTER),
        ({"excepted_by": "risk"}, LOOSER),
        ({"title": "Called otherwise"}, UNKNOWN),
    ],
)
def test_direction_of_a_gates_field(change: dict[str, Any], direction: Direction) -> None:
    content = text()
    content["gates"][0] |= change

    (item,) = difference(parse(text()), parse(content)).items

    assert [one.direction for one in item.fields] == [direction]


@pytest.mark.parametrize(
    ("change", "direction"),
    [
        ({"people": 2}, TIGHTER),
        ({"alternates": ""}, TIGHTER),
        ({"delegable": False}, TIGHTER),
        ({"answers_for": ["artifact"]}, LOOSER),
        ({"group": "Business owners"}, UNKNOWN),
    ],
)
def test_direction_of_a_slots_field(change: dict[str, Any], direction: Direction) -> None:
    content = text()
    content["slots"][0] |= change

    (item,) = difference(parse(text()), parse(content)).items

    assert [one.direction for one in item.fields] == [direction]


def test_changes_are_counted_by_direction() -> None:
    content = text() | {"valid_months": 6, "pulls_after_expiry_days": 30, "title": "Another"}
    content["gates"][5]["passes"] = "metrics.auc_low >= 0.9"

    found = difference(parse(text()), parse(content))

    assert (found.tighter, found.looser) == (2, 1)


@pytest.mark.parametrize(
    ("value", "words"), [(None, "nothing"), ([], "nothing"), (True, "yes"), ([1, 2], "1, 2"), (3, "3")]
)
def test_values_are_shown_as_people_read_them(value: Any, words: str) -> None:
    assert shown(value) == words
