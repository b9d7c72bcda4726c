"""Tables that people open in a spreadsheet: CSV in which no cell can act as a formula.

Source: OWASP, CSV Injection. A text that begins like a formula gets an apostrophe in front, which spreadsheets show as the text.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from io import StringIO
from typing import Final

from django.http import HttpResponse

FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")

Cell = str | int | float | datetime | None


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """The table as CSV: moments in UTC (ISO 8601), numbers as they are, nothing as an empty cell, texts made harmless."""
    out = StringIO()
    writer = csv.writer(out)
    writer.writerow([_written(name) for name in columns])
    writer.writerows([_written(cell) for cell in row] for row in rows)
    return out.getvalue()


def csv_response(filename: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> HttpResponse:
    """The table as a download called `filename`, which must be of letters, digits, dots and hyphens only."""
    response = HttpResponse(csv_text(columns, rows), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{filename}"'
    return response


def _written(cell: Cell) -> str | int | float:
    if cell is None:
        return ""
    if isinstance(cell, datetime):
        return cell.astimezone(UTC).isoformat()
    if isinstance(cell, int | float):
        return cell
    text = cell.replace("\x00", "")
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA_STARTS) else text
