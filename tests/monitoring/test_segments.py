"""The worker's log: whole lines only, whatever was cut, damaged or is still being written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.segments import flat, read, segments


def line(number: int, **changes: Any) -> bytes:
    record = {"id": f"p{number}", "t": 1_700_000_000_000_000 + number, "version": 1, "digest": "ab" * 32}
    record |= {"row": {"AGEP": 40, "job": "a"}, "score": 0.25, "decision": 0, "caller": "scorer"}
    return json.dumps(record | changes).encode() + b"\n"


@pytest.fixture
def segment(tmp_path: Path) -> Path:
    return tmp_path / "20261123T091400.000000Z.log"


def test_reads_what_the_worker_wrote(segment: Path) -> None:
    segment.write_bytes(line(1) + line(2))

    chunk = read(segment, 0)

    assert chunk is not None
    assert [one.id for one in chunk.predictions] == ["p1", "p2"]
    assert (chunk.start, chunk.end, chunk.unreadable) == (0, segment.stat().st_size, 0)
    assert read(segment, chunk.end) is None


def test_a_torn_last_line_waits_until_it_is_whole(segment: Path) -> None:
    whole, torn = line(1), line(2)
    segment.write_bytes(whole + torn[:30])

    first = read(segment, 0)
    assert first is not None
    assert [one.id for one in first.predictions] == ["p1"]
    assert read(segment, first.end) is None

    segment.write_bytes(whole + torn)
    second = read(segment, first.end)
    assert second is not None
    assert [one.id for one in second.predictions] == ["p2"]


@given(st.integers(0, 600), st.integers(40, 400))
def test_any_cut_and_any_chunk_size_gives_every_whole_line_once(cut: int, limit: int) -> None:
    import tempfile

    data = b"".join(line(n) for n in range(4))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.log"
        path.write_bytes(data[:cut])

        found, position = [], 0
        while (chunk := read(path, position, limit=limit)) is not None:
            found += [one.id for one in chunk.predictions]
            position = chunk.end

    assert found == [f"p{n}" for n in range(data[:cut].count(b"\n"))]


@pytest.mark.parametrize(
    "damaged",
    [
        b"{not json}\n",
        b"\xff\xfe\n",
        b"[]\n",
        line(9, score="high"),
        line(9, score=None),
        line(9, t=-1),
        line(9, id=""),
        line(9, id="x" * 101),
        line(9, version=0),
    ],
)
def test_a_damaged_line_is_counted_and_stepped_over(segment: Path, damaged: bytes) -> None:
    segment.write_bytes(line(1) + damaged + line(2))

    chunk = read(segment, 0)

    assert chunk is not None
    assert [one.id for one in chunk.predictions] == ["p1", "p2"]
    assert chunk.unreadable == 1


def test_segments_come_oldest_first_and_nothing_else_is_taken_for_one(tmp_path: Path) -> None:
    for name in ("20261124T000000.000000Z.log", "20261123T000000.000000Z.log", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "archive").mkdir()

    assert [path.name[:8] for path in segments(tmp_path)] == ["20261123", "20261124"]
    assert segments(tmp_path / "nowhere") == []


def test_what_a_table_cannot_hold_counts_as_missing() -> None:
    assert flat({"a": 1, "b": "x", "c": None, "d": [1], "e": {"f": 1}, "g": True}) == {
        "a": 1,
        "b": "x",
        "c": None,
        "d": None,
        "e": None,
        "g": True,
    }
