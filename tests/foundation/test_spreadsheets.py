"""CSV exports: no cell acts as a formula, and what is not a formula stays as it is."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.spreadsheets import FORMULA_STARTS, csv_response, csv_stream, csv_text


@pytest.mark.parametrize(
    "evil", ['=HYPERLINK("http://x","y")', "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "  =1", "＝1"]
)
def test_a_text_that_begins_like_a_formula_is_shown_as_text(evil: str) -> None:
    (_, (cell,)) = csv.reader(io.StringIO(csv_text(["name"], [[evil]]), newline=""))

    assert cell == f"'{evil}"


@given(st.text())
def test_no_text_at_all_comes_out_as_a_formula(text: str) -> None:
    written = csv_text([], [[text, "end"]])

    rows = list(csv.reader(io.StringIO(written, newline="")))
    assert not rows[-1][0].lstrip(" ").startswith(FORMULA_STARTS)


def test_numbers_moments_and_nothing_keep_their_meaning() -> None:
    written = csv_text(["n", "x", "at", "none"], [[-5, -0.25, datetime(2026, 11, 23, 9, 14, tzinfo=UTC), None]])

    assert written.splitlines() == ["n,x,at,none", "-5,-0.25,2026-11-23T09:14:00+00:00,"]


def test_the_download_carries_its_name() -> None:
    response = csv_response("drift.csv", ["a"], [["b"]])

    assert response["Content-Disposition"] == 'attachment; filename="drift.csv"'
    assert response.content == b"a\r\nb\r\n"


def test_a_long_table_is_sent_while_its_rows_are_read() -> None:
    read = []

    def rows() -> Iterator[list[str]]:
        for cell in ("=1", "b"):
            read.append(cell)
            yield [cell]

    response = csv_stream("ledger.csv", ["a"], rows())
    lines = iter(response)

    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert response["Content-Disposition"] == 'attachment; filename="ledger.csv"'
    assert (next(lines), next(lines), read) == (b"a\r\n", b"'=1\r\n", ["=1"])
    assert list(lines) == [b"b\r\n"]
