"""Tables that people open in a spreadsheet: CSV in which no cell can act as a formula.

Source: OWASP, CSV Injection. A text that begins like a formula gets an apostrophe in front, which spreadsheets show as the text.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from django.http import HttpResponse, StreamingHttpResponse

FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")

Cell = str | int | float | datetime | None


class _Echo:
    """A file that hands back what is written to it, so that rows stream."""

    def write(self, line: str) -> str:
        return line


def csv_lines(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Iterator[str]:
    """The table as CSV, line by line: the row of column names, then each row as soon as `rows` gives it."""
    writer = csv.writer(_Echo())
    yield writer.writerow([_written(name) for name in columns])
    for row in rows:
        yield writer.writerow([_written(cell) for cell in row])


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """The table as CSV: moments in UTC (ISO 8601), numbers as they are, nothing as an empty cell, texts made harmless."""
    return "".join(csv_lines(columns, rows))


def csv_response(filename: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> HttpResponse:
    """The table as a download called `filename`, which must be of letters, digits, dots and hyphens only."""
    return HttpResponse(csv_text(columns, rows), headers=_download(filename))


def csv_stream(filename: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> StreamingHttpResponse:
    """The same download, sent while `rows` are read: for tables too long to be held in memory."""
    return StreamingHttpResponse(csv_lines(columns, rows), headers=_download(filename))


def _download(filename: str) -> dict[str, str]:
    return {"Content-Type": "text/csv; charset=utf-8", "Content-Disposition": f'attachment; filename="{filename}"'}


def _written(cell: Cell) -> str | int | float:
    if cell is None:
        return ""
    if isinstance(cell, datetime):
        return cell.astimezone(UTC).isoformat()
    if isinstance(cell, int | float):
        return cell
    text = cell.replace("\x00", "")
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA_STARTS) else text
