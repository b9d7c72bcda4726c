"""JSON for people to read."""

from __future__ import annotations

import json

from foundation.readable import readable_json


def test_what_fits_stays_on_one_line() -> None:
    text = readable_json({"roc": [[0.0, 0.0], [0.01, 0.07]], "name": "Grün"}, width=30)
    assert text == '{\n  "roc": [\n    [0.0, 0.0],\n    [0.01, 0.07]\n  ],\n  "name": "Grün"\n}'


def test_it_reads_back_as_it_was() -> None:
    value = {"steps": [{"step": "clip", "columns": ["age"] * 40}, {}, []], "none": None, "yes": True, "quote": 'a"b'}
    assert json.loads(readable_json(value)) == value


def test_no_line_is_longer_than_asked_where_it_can_be_broken() -> None:
    value = {"numbers": list(range(200)), "nested": {"deep": {"words": ["word"] * 50}}}
    assert max(len(line) for line in readable_json(value, width=60).splitlines()) <= 60
