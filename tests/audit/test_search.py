"""The index is asked by position: every page of a filter is found, whole and in order, without sorting or counting from the start."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any, Final

import pytest
from django.db import connection

from audit import search
from audit.entries import INDEX_COLUMNS
from audit.search import Filter
from audit.store import insert_many

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
ROWS: Final = 3_000
ACTORS = ("a1", "b2", "s1")
OBJECTS = (("model", "7", "credit"), ("model", "8", "fraud"), ("version", "7", "credit"), ("person", "a1", ""))
ACTIONS = ("model.view", "model.update", "version.pull", "version.promote")


def rows(count: int) -> Iterator[dict[str, Any]]:
    chance = random.Random(7)
    for seq in range(count):
        seldom = seq % 600 == 3
        kind, identity, name = ("model", "99", "seldom") if seldom else chance.choice(OBJECTS)
        yield {
            "seq": seq,
            "t": search.microseconds(START + timedelta(minutes=seq, seconds=chance.randrange(-200, 200))),
            "action": "policy.sign" if seldom else chance.choice(ACTIONS),
            "actor_kind": "person",
            "actor_id": "z9" if seldom else chance.choice(ACTORS),
            "obj_kind": kind,
            "obj_id": identity,
            "obj_name": name,
            "outcome": "error" if seldom else chance.choice(("ok",) * 9 + ("denied",)),
            "writer": "w",
            "n": seq,
            "req": f"r-{seq // 3}" if seq % 2 else "",
        }


@pytest.fixture
def index(db: None) -> list[dict[str, Any]]:
    """Three thousand rows, a minute apart, with clocks that differ by minutes."""
    found = list(rows(ROWS))
    insert_many("audit_index", INDEX_COLUMNS, [tuple(row[column] for column in INDEX_COLUMNS) for row in found])
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE audit_index")
    return found


def matches(row: dict[str, Any], wanted: Filter) -> bool:
    """The filter in the plainest words, to hold the statements against."""
    return all(
        (
            not wanted.action or row["action"] in wanted.actions(),
            not wanted.actors or row["actor_id"] in wanted.actors,
            not wanted.obj or wanted.obj in (row["obj_id"], row["obj_name"]),
            wanted.obj_kind in ("", row["obj_kind"]),
            wanted.obj_id in ("", row["obj_id"]),
            wanted.outcome in ("", row["outcome"]),
            wanted.request in ("", row["req"]),
            wanted.since is None or row["t"] >= search.microseconds(wanted.since),
            wanted.until is None or row["t"] < search.microseconds(wanted.until),
        )
    )


FILTERS: Final = [
    Filter(action=action, actors=frozenset(actors), obj=obj, obj_kind=kind, outcome=outcome, since=since)
    for action, actors, obj, kind, outcome, since in product(
        ("", "model.", "version.pull", "nothing.such"),
        ((), ("a1",), ("b2", "s1", "nobody")),
        ("", "credit", "7"),
        ("", "model"),
        ("", "ok", "denied"),
        (None, START + timedelta(days=1, hours=3)),
    )
]
MORE: Final = [
    Filter(request="r-100"),
    Filter(request="r-100", action="model.", outcome="ok"),
    Filter(obj_kind="version", obj_id="7"),
    Filter(obj="credit", obj_id="7"),
    Filter(obj="credit", obj_id="8"),
    Filter(until=START + timedelta(hours=5)),
    Filter(since=START + timedelta(hours=5), until=START + timedelta(hours=6), actors=frozenset({"a1"})),
]


def test_every_filter_finds_what_its_words_say(index: list[dict[str, Any]]) -> None:
    for wanted in [*FILTERS, *MORE]:
        expected = [row["seq"] for row in reversed(index) if matches(row, wanted)]

        assert search.find([wanted], limit=40) == expected[:40], wanted
        assert search.find([wanted], limit=40, before=1_500) == [seq for seq in expected if seq < 1_500][:40], wanted
        assert search.find([wanted], limit=40, after=1_500) == [seq for seq in expected if seq > 1_500][-40:], wanted
        assert search.find([wanted], limit=40, first=True) == expected[-40:], wanted


def test_counting_is_exact_and_stops_at_its_cap(index: list[dict[str, Any]]) -> None:
    for wanted in [*FILTERS[::7], *MORE]:
        expected = sum(matches(row, wanted) for row in index)

        assert search.count(wanted) == expected, wanted
        assert search.count(wanted, cap=25) == min(expected, 25), wanted


def test_several_filters_are_merged_without_repeating_an_entry(index: list[dict[str, Any]]) -> None:
    wanted = [Filter(obj="credit"), Filter(obj="7"), Filter(action="version.pull")]

    found = search.find(wanted, limit=100)

    expected = [row["seq"] for row in reversed(index) if any(matches(row, one) for one in wanted)]
    assert found == expected[:100]


def test_the_kinds_of_things_are_known_without_reading_the_index(index: list[dict[str, Any]]) -> None:
    assert search.object_kinds() == ["model", "person", "version"]


def test_before_the_first_entry_there_is_no_kind(db: None) -> None:
    assert search.object_kinds() == []
    assert search.find([Filter(obj="credit")], limit=10) == []


def plan(wanted: Filter, monkeypatch: pytest.MonkeyPatch) -> str:
    """How the database goes about the statement for a page."""
    asked: list[str] = []
    original = search._rows

    def explained(statement: str, values: Any) -> Any:
        if "UNION" not in statement and "seq < " not in statement:
            return original(statement, values)
        with connection.cursor() as cursor:
            explain = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
            cursor.execute(f"{explain} {statement}", values)
            asked.append("\n".join(str(row[-1]) for row in cursor.fetchall()))
        return []

    with monkeypatch.context() as patch:
        patch.setattr(search, "_rows", explained)
        patch.setattr(search, "object_kinds", lambda: ["model", "version"])
        search.find([wanted], limit=51, before=2_000)
    return asked[-1]


@pytest.mark.parametrize(
    ("wanted", "used"),
    [
        (Filter(actors=frozenset({"z9"})), "audit_index_actor"),
        (Filter(obj="seldom"), "audit_index_obj"),
        (Filter(obj="seldom", obj_kind="model"), "audit_index_obj_name"),
        (Filter(obj_kind="model", obj_id="99"), "audit_index_obj"),
        (Filter(action="policy."), "audit_index_action"),
        (Filter(action="policy.sign", outcome="error"), "audit_index_"),
        (Filter(outcome="error"), "audit_index_outcome"),
        (Filter(request="r-100"), "audit_index_req"),
        (Filter(request="r-100", action="model.", actors=frozenset({"a1"})), "audit_index_req"),
    ],
)
def test_each_filter_is_read_off_its_index(
    index: list[dict[str, Any]], wanted: Filter, used: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:  # so small a table is read whole where that is allowed
            cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")

    how = plan(wanted, monkeypatch)

    assert used in how
    assert "SCAN audit_index\n" not in how + "\n"


@pytest.mark.parametrize(
    "wanted",
    [Filter(), Filter(outcome="ok"), Filter(since=START + timedelta(hours=1)), Filter(until=START + timedelta(days=2))],
)
def test_what_nearly_everything_matches_is_read_by_position(
    index: list[dict[str, Any]], wanted: Filter, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = plan(wanted, monkeypatch)

    assert "audit_index_t" not in how
    assert ("pkey" if connection.vendor == "postgresql" else "(seq>? AND seq<?)") in how
