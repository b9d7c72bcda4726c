"""Who a text mentions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notices.mentions import mentioned


@pytest.mark.parametrize(
    ("text", "people"),
    [
        ("@bob, please look.", {"bob"}),
        ("Ask @bob and @carol.", {"bob", "carol"}),
        ("(@bob)", {"bob"}),
        ("**@bob** said so", {"bob"}),
        ("@Bob and @bob", {"bob"}),
        ("@anna.maria-2, see below", {"anna.maria-2"}),
        ("@zoë", {"zoë"}),
        ("write to bob@example.org", set()),
        ("pip install @scope/package and a/@b", {"scope"}),
        ("`@cached` and ```\n@bob\n```", set()),
        ("```\n@bob", set()),
        ("@ bob", set()),
        ("@@bob", set()),
        ("", set()),
    ],
)
def test_names_start_a_word_and_stand_outside_code(text: str, people: set[str]) -> None:
    assert mentioned(text) == people


@given(st.text())
def test_no_text_is_too_odd(text: str) -> None:
    assert all(name and name == name.lower() for name in mentioned(text))
