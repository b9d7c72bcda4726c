"""Watching: events in order, from where the connection broke, until the registry or the clock ends it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign import Refused, Registry
from countersign.watching import Message, messages
from tests.client.standin import StandIn


def event(name: str, number: int, **said: Any) -> str:
    return f"id: {number}\nevent: {name}\ndata: {json.dumps(said)}\n\n"


def release(number: int, version: int) -> str:
    return event("release", number, ref="credit@production", model="credit", version=version, stage="production")


def test_a_watch_goes_on_after_the_last_event_that_it_saw(registry: Registry, stand_in: StandIn) -> None:
    stand_in.events = [": hello\n\n" + release(7, 3), release(8, 4) + "id: 9\nevent: rel", release(9, 5)]

    found = registry.watch("credit@production", "credit/3")
    seen = [next(found).version for _ in range(3)]

    asked = stand_in.requests("/watch")
    assert seen == [3, 4, 5]
    assert [one.get("Last-Event-ID") for one in asked] == [None, "7", "8"]
    assert stand_in.asked[0][0] == "/api/v1/watch?ref=credit%40production&ref=credit%2F3"


def test_a_revocation_says_why(registry: Registry, stand_in: StandIn) -> None:
    stand_in.events = [
        event("revoked", 1, ref="credit@production", model="credit", version=3, why="It fails people over 65.")
    ]

    found = next(registry.watch("credit@production"))

    assert (found.kind, found.version, found.why) == ("revoked", 3, "It fails people over 65.")
    assert found.as_json() == {
        "kind": "revoked",
        "ref": "credit@production",
        "model": "credit",
        "version": 3,
        "why": "It fails people over 65.",
    }


def test_a_registry_that_takes_the_right_away_ends_the_watch(registry: Registry, stand_in: StandIn) -> None:
    stand_in.events = [event("denied", 1, detail="The token was revoked.")]

    with pytest.raises(Refused, match="The token was revoked"):
        list(registry.watch("credit@production"))


def test_a_watch_ends_when_its_time_is_over(registry: Registry, stand_in: StandIn) -> None:
    assert list(registry.watch("credit@production", seconds=0.3)) == []


def test_a_busy_registry_is_asked_again(registry: Registry, stand_in: StandIn) -> None:
    stand_in.failures = [503]
    stand_in.events = [release(1, 3)]

    assert next(registry.watch("credit@production")).version == 3


def test_messages_are_those_of_the_standard() -> None:
    lines = ["", ": comment", "event: a", "data:one", "data: two", "id: 1", "retry: 5", "", "data", "", "data: cut off"]

    assert list(messages(lines)) == [Message("a", "one\ntwo", "1"), Message("", "", "1")]


@given(st.lists(st.text(alphabet="aeivntd: \x00", max_size=12)))
def test_no_line_breaks_the_reading(lines: list[str]) -> None:
    assert all(isinstance(one, Message) for one in messages(lines))
