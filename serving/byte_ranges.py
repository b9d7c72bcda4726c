"""Decides which bytes of a file answer a request: all, some ranges, or none since the client has them (RFC 9110, sections 13 and 14).

Pure. Files here have one strong validator, their SHA-256, and no date, so a condition about a date never holds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from secrets import token_hex
from typing import Final

MAX_RANGES: Final = 64
"""A request for more pieces than this gets the whole file, as RFC 9110, section 14.2, allows."""
_UNIT: Final = re.compile(r"\s*bytes\s*=(.*)", re.ASCII | re.IGNORECASE | re.DOTALL)
_SPEC: Final = re.compile(r"\s*(\d{0,19})\s*-\s*(\d{0,19})\s*", re.ASCII)
_TAG: Final = re.compile(r'(W/)?("[^"]*")')


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Bytes `first` to `last`, both included."""

    first: int
    last: int

    @property
    def length(self) -> int:
        """How many bytes."""
        return self.last - self.first + 1

    def __str__(self) -> str:
        """As `Range` writes it."""
        return f"{self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class Chosen:
    """The answer's status, and the spans of the file that it carries, in the order in which they leave."""

    status: HTTPStatus
    spans: tuple[Span, ...] = ()
    size: int = 0
    boundary: str = ""

    @property
    def sends(self) -> bool:
        """Whether the answer to a GET carries bytes of the file."""
        return self.status in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}

    @property
    def range(self) -> str:
        """The spans as a `Range` header would ask for them, or nothing where the whole file was chosen."""
        return "bytes=" + ",".join(map(str, self.spans)) if self.status is HTTPStatus.PARTIAL_CONTENT else ""

    @property
    def file_bytes(self) -> int:
        """How many bytes of the file the body carries."""
        return sum(span.length for span in self.spans)

    @property
    def headers(self) -> dict[str, str]:
        """What the answer's headers say of its body."""
        said = {"Accept-Ranges": "bytes"}
        if self.status is HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return said | {"Content-Range": f"bytes */{self.size}"}
        if self.status is HTTPStatus.NOT_MODIFIED:
            return said | {
                "Content-Length": str(self.size)
            }  # what a 200 would have had; no other is allowed (RFC 9110, section 8.6)
        if self.status is HTTPStatus.PRECONDITION_FAILED:
            return said
        said["Content-Length"] = str(self.length)
        if self.boundary:
            said["Content-Type"] = f"multipart/byteranges; boundary={self.boundary}"
        elif self.status is HTTPStatus.PARTIAL_CONTENT:
            said["Content-Range"] = f"bytes {self.spans[0]}/{self.size}"
        return said

    @property
    def length(self) -> int:
        """How many bytes the body has, with the heads of its parts."""
        if not self.boundary:
            return self.file_bytes
        return self.file_bytes + sum(len(self.part(span)) for span in self.spans) + len(self.end)

    def part(self, span: Span) -> bytes:
        """What stands before a span in a body of several parts."""
        head = f"\r\n--{self.boundary}\r\nContent-Type: application/octet-stream\r\n"
        return (head + f"Content-Range: bytes {span}/{self.size}\r\n\r\n").encode()

    @property
    def end(self) -> bytes:
        """What stands after the last one."""
        return f"\r\n--{self.boundary}--\r\n".encode()


def choose(size: int, etag: str, headers: Mapping[str, str], method: str = "GET") -> Chosen:
    """What answers a GET or HEAD with these headers (by their usual names) for a file of `size` bytes with this ETag.

    The order of conditions is RFC 9110's, section 13.2.2. The status is 200, 206, 304, 412 or 416; a HEAD has no ranges.
    """
    required, held = headers.get("If-Match", ""), headers.get("If-None-Match", "")
    if required and not _strongly_named(etag, required):
        return Chosen(HTTPStatus.PRECONDITION_FAILED)
    if held and is_held(etag, held):
        return Chosen(HTTPStatus.NOT_MODIFIED, (), size)
    whole = Chosen(HTTPStatus.OK, (Span(0, size - 1),) if size else (), size)
    wanted = headers.get("Range", "")
    if method != "GET" or not wanted or ("If-Range" in headers and headers["If-Range"].strip() != etag):
        return whole
    spans = _spans(wanted, size)
    if spans is None:
        return whole
    if not spans:
        return Chosen(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, (), size)
    return Chosen(HTTPStatus.PARTIAL_CONTENT, spans, size, token_hex(16) if len(spans) > 1 else "")


def is_held(etag: str, header: str) -> bool:
    """Whether an `If-None-Match` names this entity, by the weak comparison that it asks for."""
    return header.strip() == "*" or etag in {tag for _, tag in _TAG.findall(header)}


def _strongly_named(etag: str, header: str) -> bool:
    return header.strip() == "*" or ("", etag) in _TAG.findall(header)


def _spans(header: str, size: int) -> tuple[Span, ...] | None:
    """The spans that a `Range` asks for and the file has; None where the header is to be ignored.

    Spans that touch or overlap leave as one, so that no request makes an answer larger than the file.
    """
    unit = _UNIT.fullmatch(header)
    if unit is None:
        return None
    specs = [spec for spec in unit[1].split(",") if spec.strip()]
    if not 0 < len(specs) <= MAX_RANGES:
        return None
    found = []
    for spec in specs:
        match = _SPEC.fullmatch(spec)
        if match is None or not (match[1] or match[2]) or (match[1] and match[2] and int(match[1]) > int(match[2])):
            return None
        span = _span(match[1], match[2], size)
        if span is not None:
            found.append(span)
    return _joined(found)


def _span(first: str, last: str, size: int) -> Span | None:
    """One range of the header on a file of `size` bytes; None where it has none of them."""
    if not first:
        length = min(int(last), size)
        return Span(size - length, size - 1) if length else None
    if int(first) >= size:
        return None
    return Span(int(first), min(int(last), size - 1) if last else size - 1)


def _joined(spans: Sequence[Span]) -> tuple[Span, ...]:
    joined: list[Span] = []
    for span in spans:
        over = [one for one in joined if one.first <= span.last + 1 and span.first <= one.last + 1]
        if not over:
            joined.append(span)
            continue
        merged = Span(min(span.first, *(one.first for one in over)), max(span.last, *(one.last for one in over)))
        joined[joined.index(over[0])] = merged
        for one in over[1:]:
            joined.remove(one)
    return tuple(joined)
