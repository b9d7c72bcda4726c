"""Which bytes answer which request, by the words of RFC 9110; and never a body that is not what its headers say."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.byte_ranges import MAX_RANGES, Span, choose

ETAG = '"aa"'
OK, PARTIAL = HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT
NONE = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE


@pytest.mark.parametrize(
    ("header", "status", "spans"),
    [
        ("bytes=0-0", PARTIAL, [(0, 0)]),
        ("bytes=0-99", PARTIAL, [(0, 9)]),
        ("bytes=4-", PARTIAL, [(4, 9)]),
        ("bytes=-3", PARTIAL, [(7, 9)]),
        ("bytes=-99", PARTIAL, [(0, 9)]),
        ("BYTES = 2-3 , 6-7", PARTIAL, [(2, 3), (6, 7)]),
        ("bytes=6-7,2-3", PARTIAL, [(6, 7), (2, 3)]),
        ("bytes=0-4,3-6", PARTIAL, [(0, 6)]),
        ("bytes=0-1,2-3", PARTIAL, [(0, 3)]),
        ("bytes=0-1,8-9,1-8", PARTIAL, [(0, 9)]),
        ("bytes=2-3,,99-", PARTIAL, [(2, 3)]),
        ("bytes=10-", NONE, []),
        ("bytes=-0", NONE, []),
        ("bytes=10-,11-12", NONE, []),
        ("bytes=", OK, [(0, 9)]),
        ("bytes=-", OK, [(0, 9)]),
        ("bytes=3-2", OK, [(0, 9)]),
        ("bytes=a-b", OK, [(0, 9)]),
        ("bytes=0-1;2-3", OK, [(0, 9)]),
        ("bytes=٣-٤", OK, [(0, 9)]),
        ("lines=0-1", OK, [(0, 9)]),
        ("bytes=" + ",".join(["0-0"] * (MAX_RANGES + 1)), OK, [(0, 9)]),
    ],
)
def test_a_range_header_chooses(header: str, status: HTTPStatus, spans: list[tuple[int, int]]) -> None:
    chosen = choose(10, ETAG, {"Range": header})

    assert (chosen.status, chosen.spans) == (status, tuple(Span(*one) for one in spans))


def test_an_empty_file_has_no_range_but_is_had_whole() -> None:
    assert choose(0, ETAG, {}).headers["Content-Length"] == "0"
    assert choose(0, ETAG, {"Range": "bytes=0-"}).headers["Content-Range"] == "bytes */0"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If-None-Match": '"aa"'}, HTTPStatus.NOT_MODIFIED),
        ({"If-None-Match": 'W/"aa"'}, HTTPStatus.NOT_MODIFIED),
        ({"If-None-Match": '"bb", "aa"'}, HTTPStatus.NOT_MODIFIED),
        ({"If-None-Match": "*"}, HTTPStatus.NOT_MODIFIED),
        ({"If-None-Match": '"bb"'}, OK),
        ({"If-None-Match": "aa"}, OK),
        ({"If-None-Match": '"aa"', "Range": "bytes=0-1"}, HTTPStatus.NOT_MODIFIED),
        ({"If-Match": '"aa"'}, OK),
        ({"If-Match": "*"}, OK),
        ({"If-Match": 'W/"aa"'}, HTTPStatus.PRECONDITION_FAILED),
        ({"If-Match": '"bb"'}, HTTPStatus.PRECONDITION_FAILED),
        ({"If-Match": '"bb"', "If-None-Match": '"aa"'}, HTTPStatus.PRECONDITION_FAILED),
        ({"If-Range": '"aa"', "Range": "bytes=0-1"}, PARTIAL),
        ({"If-Range": '"bb"', "Range": "bytes=0-1"}, OK),
        ({"If-Range": 'W/"aa"', "Range": "bytes=0-1"}, OK),
        ({"If-Range": "Mon, 23 Nov 2026 20:00:00 GMT", "Range": "bytes=0-1"}, OK),
        ({"If-Range": '"bb"', "Range": "bytes=99-"}, OK),
    ],
)
def test_conditions_go_before_ranges(headers: dict[str, str], status: HTTPStatus) -> None:
    assert choose(10, ETAG, headers).status is status


def test_a_head_has_no_ranges() -> None:
    assert choose(10, ETAG, {"Range": "bytes=0-1"}, "HEAD").status is OK


_ENDS = st.lists(st.tuples(st.integers(-1, 300), st.integers(-1, 300)), max_size=6)
"""The two ends of each range; -1 stands for an end that is left out."""


@given(st.integers(0, 200), _ENDS)
def test_what_leaves_lies_in_the_file_and_nothing_of_it_twice(size: int, ends: list[tuple[int, int]]) -> None:
    specs = ["-".join("" if end < 0 else str(end) for end in pair) for pair in ends]
    header = "bytes=" + ",".join(specs)
    chosen = choose(size, ETAG, {"Range": header})

    covered = [position for span in chosen.spans for position in range(span.first, span.last + 1)]
    assert len(covered) == len(set(covered)) == chosen.file_bytes <= size
    assert all(0 <= position < size for position in covered)
    if len(chosen.spans) > 1:
        body = sum(len(chosen.part(span)) + span.length for span in chosen.spans) + len(chosen.end)
        assert chosen.headers["Content-Length"] == str(body)
