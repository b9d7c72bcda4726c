"""Checkpoints outside the database survive crashes, and damage to them is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit.journal import Journal, JournalDamaged, Line


def lines(*sizes: int) -> list[Line]:
    return [Line(t=size, size=size, note=f"note {size}\n") for size in sizes]


def filled(path: Path, *sizes: int) -> Journal:
    journal = Journal(path / "kept" / "state")
    for line in lines(*sizes):
        journal.append(line)
    return journal


def test_lines_are_read_back_as_written(tmp_path: Path) -> None:
    journal = filled(tmp_path, 0, 1, 5)

    assert journal.lines() == lines(0, 1, 5)
    assert journal.largest() == lines(5)[0]


def test_an_absent_file_holds_nothing(tmp_path: Path) -> None:
    assert Journal(tmp_path / "state").lines() == []
    assert Journal(tmp_path / "state").largest() is None


@pytest.mark.parametrize("torn", [1, 10, 30])
def test_a_torn_last_line_is_as_if_it_had_not_been_written(tmp_path: Path, torn: int) -> None:
    journal = filled(tmp_path, 1, 2)
    journal.path.write_bytes(journal.path.read_bytes()[:-torn])
    before = journal.lines()

    journal.append(lines(3)[0])

    assert before == lines(1)
    assert journal.lines() == lines(1, 3)


def test_a_file_with_nothing_but_a_torn_line_starts_anew(tmp_path: Path) -> None:
    journal = filled(tmp_path, 1)
    journal.path.write_bytes(journal.path.read_bytes()[:-1])

    assert journal.largest() is None
    journal.append(lines(2)[0])
    assert journal.lines() == lines(2)


def test_damage_before_the_last_line_is_said_with_its_place(tmp_path: Path) -> None:
    journal = filled(tmp_path, 1, 2, 3)
    journal.path.write_bytes(journal.path.read_bytes().replace(b'"size":2', b'"size":"'))

    with pytest.raises(JournalDamaged, match="line 2 of state"):
        journal.lines()
    with pytest.raises(JournalDamaged):
        journal.largest()


def test_the_largest_is_found_also_where_two_sequencers_wrote_out_of_order(tmp_path: Path) -> None:
    assert filled(tmp_path, 1, 9, 7).largest() == lines(9)[0]


def test_the_largest_is_found_at_the_end_of_a_long_file(tmp_path: Path) -> None:
    journal = filled(tmp_path, 1)
    record = journal.path.read_bytes()
    journal.path.write_bytes(record * 5_000)

    journal.append(lines(2)[0])

    assert journal.largest() == lines(2)[0]


def test_the_largest_of_one_log_is_asked_for_by_its_name(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "state")
    for origin, size in (("ours.test/ledger", 3), ("theirs.test/ledger", 9), ("ours.test/ledger", 2)):
        journal.append(Line(t=size, size=size, note=f"{origin}\n{size}\n"))

    largest, ours = journal.largest(), journal.largest("ours.test/ledger")

    assert largest is not None
    assert ours is not None
    assert (largest.size, ours.size) == (9, 3)
    assert journal.largest("ours.test") is None
