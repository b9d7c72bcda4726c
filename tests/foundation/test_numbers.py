"""Which texts are whole numbers."""

from __future__ import annotations

import pytest

from foundation.numbers import whole_number


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("7", 7), ("007", 7), ("999999999", 999_999_999)])
def test_digits_are_a_number(text: str, number: int) -> None:
    assert whole_number(text) == number


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "1.0", "1e3", " 1", "1_0", "\u00b2", "\u0663", "9" * 10, "9" * 5_000, "x"]
)
def test_anything_else_is_none(text: str) -> None:
    assert whole_number(text) is None
