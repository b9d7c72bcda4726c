"""Tables of numbers as coloured cells: drift by feature and time, correlations between columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from foundation.charts.plot import Drawing, Plot, clamped, is_number, nothing, short, text, tip

FOOT: Final = 26


@dataclass(frozen=True)
class _Sheet:
    width: float
    names: float
    row: float
    columns: int
    characters: int
    css: str


WIDE: Final = _Sheet(1350, 210, 26, 60, 30, "only-wide")
NARROW: Final = _Sheet(380, 150, 24, 10, 22, "only-narrow")


def heat(
    rows: Sequence[tuple[str, Sequence[float | None]]],
    columns: Sequence[str],
    *,
    warn: float = 0.1,
    fail: float = 0.25,
    measure: str = "PSI",
    title: str = "Drift by feature and time",
    period: str = "",
) -> Drawing:
    """One row a feature, one column a window, coloured by the limits; on a phone the newest ten windows."""
    if not rows or not columns:
        return nothing("There is no drift over time yet: no window has been compared.")
    worst = sorted(
        ((max((v for v in vs if v is not None and is_number(v)), default=0.0), n) for n, vs in rows), reverse=True
    )
    over = [f"{name} {clamped(value):.3f}" for value, name in worst if value >= warn]
    said = f"Over {warn:g}: {'; '.join(over[:6])}." if over else f"No feature is over {warn:g}."
    described = f"{measure} of {len(rows)} features in {len(columns)} windows. {said}"
    return Drawing(
        "".join(
            _heat(rows, columns, (warn, fail), measure, (title, described, period), sheet) for sheet in (WIDE, NARROW)
        )
    )


def _heat(
    rows: Sequence[tuple[str, Sequence[float | None]]],
    columns: Sequence[str],
    limits: tuple[float, float],
    measure: str,
    words: tuple[str, str, str],
    sheet: _Sheet,
) -> Drawing:
    title, described, period = words
    columns = columns[-sheet.columns :]
    count = len(columns)
    cell = (sheet.width - sheet.names - 8) / count
    size = (sheet.width, len(rows) * sheet.row + 4 + FOOT)
    plot = Plot(title, described, size=size, pad=(4, 8, FOOT, sheet.names), x=(0, count), css=sheet.css)
    for r, (name, values) in enumerate(rows):
        middle = r * sheet.row + 4 + sheet.row / 2
        plot.word(sheet.names - 8, middle, short(name, sheet.characters), "c-name c-end", middle=True)
        for i, value in enumerate(list(values)[-count:]):
            _cell(plot, sheet, (r, i, cell), value, limits, (measure, name, f"{period} {columns[i]}".strip()))
    letters = max(len(c) for c in columns)
    step = max(1, -(-int((letters + 2) * (7.2 if sheet is WIDE else 5.6)) // max(1, int(cell))))
    for i in range(0, count, step):
        plot.word(sheet.names + i * cell + cell / 2, plot.height - 6, columns[i], "c-tick c-mid")
    return plot.drawing()


def _cell(
    plot: Plot,
    sheet: _Sheet,
    place: tuple[int, int, float],
    value: float | None,
    limits: tuple[float, float],
    words: tuple[str, str, str],
) -> None:
    r, i, cell = place
    measure, name, moment = words
    known = value is not None and is_number(value)
    amount = clamped(value) if value is not None and known else 0.0
    level = 4 if amount >= limits[1] else 3 if amount >= limits[0] else 2 if amount >= limits[0] / 2 else 1
    css = f"c-heat c-h{level}" if known else "c-heat c-q0"
    hint = tip(name, moment, f"{measure} {amount:.3f}" if known else "no data")
    plot.box(sheet.names + i * cell + 1, r * sheet.row + 5, cell - 2, sheet.row - 2, css, hint=hint, round_=2)
    if known and level >= 3 and cell >= 22:
        written = f"{amount:.2f}".removeprefix("0") if amount < 10 else "10+"
        middle = r * sheet.row + 4 + sheet.row / 2
        plot.word(sheet.names + i * cell + cell / 2, middle, written, f"c-heatt c-ht{level} c-mid", middle=True)


def correlation(names: Sequence[str], matrix: Sequence[Sequence[float | None]], *, most: int = 24) -> Drawing:
    """A square of correlations from -1 to 1: colour is the sign, its strength the size; at most `most` columns."""
    shown = list(names)[:most]
    if len(shown) < 2:
        return nothing("There is no correlation to show: it takes two numeric columns.")
    count, left, head = len(shown), 132.0, 8.0
    cell = max(14.0, min(34.0, (560.0 - left) / count))
    size = (left + count * cell + 8, head + count * cell + 96)
    pairs = [
        (abs(v), shown[r], shown[c], v)
        for r in range(count)
        for c in range(r)
        if (v := matrix[r][c]) is not None and is_number(v)
    ]
    strongest = sorted(pairs, key=lambda p: (-p[0], p[1], p[2]))[:3]
    said = "; ".join(f"{a} and {b} {_signed(v)}" for _, a, b, v in strongest)
    plot = Plot(
        "Correlations", f"Between {count} columns. Strongest: {said or 'none known'}.", size=size, x=(0, 1), css="c-fit"
    )
    for r, name in enumerate(shown):
        middle = head + r * cell + cell / 2
        plot.word(left - 8, middle, short(name, 20), "c-name c-end", middle=True)
        x, y = left + r * cell + cell / 2, head + count * cell + 10
        plot.add(
            f'<g transform="translate({x:.1f} {y:.1f}) rotate(-60)">'
            f'<text class="c-name c-end" x="0" y="0" dy=".34em">{text(short(name, 15))}</text></g>'
        )
        for c, other in enumerate(shown):
            _correlated(plot, (left + c * cell, head + r * cell, cell), matrix[r][c], (name, other))
    return plot.drawing()


def _signed(value: float) -> str:
    return _tenth(value, "+.2f")


def _tenth(value: float, digits: str = ".1f") -> str:
    written = format(value, digits)
    return written.replace("-", "−") if float(written) else written.lstrip("+-")


def _correlated(plot: Plot, place: tuple[float, float, float], value: float | None, names: tuple[str, str]) -> None:
    x, y, cell = place
    if value is None or not is_number(value):
        plot.box(x + 0.5, y + 0.5, cell - 1, cell - 1, "c-q0", hint=tip(f"{names[0]} and {names[1]}", "not known"))
        return
    strength = 1 + min(4, int(min(1.0, abs(value)) * 5))
    sign = "c-pos" if value >= 0 else "c-neg"
    hint = tip(f"{names[0]} and {names[1]}", _signed(value))
    plot.box(x + 0.5, y + 0.5, cell - 1, cell - 1, f"{sign} c-q{strength}", hint=hint, round_=2)
    if cell >= 28:
        plot.word(
            x + cell / 2,
            y + cell / 2,
            _tenth(value),
            f"c-mid {'c-on' if strength > 3 else 'c-off'}",
            middle=True,
        )
