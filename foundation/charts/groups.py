"""A measure by group of people, with intervals, against an allowed band: the picture of a fairness rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from foundation.charts.plot import (
    Drawing,
    Plot,
    clamped,
    is_number,
    nothing,
    percent,
    percent1,
    points_text,
    short,
    span,
    ticks,
    tip,
)

TOP: Final = 22
FOOT: Final = 30
HEADING: Final = 20


@dataclass(frozen=True)
class Slice:
    """One group of one attribute: rows, the share with its 95 % interval, and the share in production."""

    attribute: str
    group: str
    n: int
    value: float
    low: float | None = None
    high: float | None = None
    baseline: float | None = None


@dataclass(frozen=True)
class _Sheet:
    """Measures of the wide or the narrow drawing, in pixels."""

    width: float
    names: float
    row: float
    right: float
    characters: int
    css: str


WIDE: Final = _Sheet(width=950, names=372, row=26, right=150, characters=48, css="only-wide")
NARROW: Final = _Sheet(width=380, names=104, row=25, right=14, characters=15, css="only-narrow")


@dataclass(frozen=True)
class _Rule:
    """What the rows are held against."""

    overall: float | None
    band: float | None

    @property
    def lowest(self) -> float | None:
        return None if self.overall is None or self.band is None else self.overall - self.band

    @property
    def highest(self) -> float | None:
        return None if self.overall is None or self.band is None else self.overall + self.band

    def outside(self, row: Slice) -> bool:
        return self.lowest is not None and self.highest is not None and not self.lowest <= row.value <= self.highest


def forest(
    rows: Sequence[Slice],
    *,
    title: str,
    overall: float | None = None,
    band: float | None = None,
    candidate: str = "this version",
    baseline: str = "production",
) -> Drawing:
    """One line a group, by attribute: dot and interval, hollow dot for production, red diamond outside `band`.

    Shares from 0 to 1; `overall` is the share over all groups and `band` the allowed distance from it. Returns the
    drawing for wide screens and the one for phones together; the style sheet shows one of them.
    """
    known = [_clean(r) for r in rows if is_number(r.value)]
    if not known:
        return nothing("There are no groups to compare: the evaluation measured none with enough people.")
    rule = _Rule(overall if is_number(overall) else None, band if is_number(band) else None)
    return Drawing("".join(_draw(known, title, rule, candidate, baseline, sheet) for sheet in (WIDE, NARROW)))


def _clean(row: Slice) -> Slice:
    return replace(
        row,
        value=clamped(row.value),
        low=row.low if is_number(row.low) else None,
        high=row.high if is_number(row.high) else None,
        baseline=row.baseline if is_number(row.baseline) else None,
    )


def _description(rows: Sequence[Slice], rule: _Rule, baseline: str) -> str:
    said = [
        f"{r.group} {percent1(r.value)}" + (f" ({baseline} {percent1(r.baseline)})" if r.baseline is not None else "")
        for r in rows[:12]
    ]
    more = f"; and {len(rows) - 12} more" if len(rows) > 12 else ""
    frame = f"Overall {percent1(rule.overall)}. " if rule.overall is not None else ""
    if rule.band is not None:
        frame += f"Allowed band ±{percent(rule.band)}. "
    outside = [r.group for r in rows if rule.outside(r)]
    return f"{frame}{'; '.join(said)}{more}. " + (f"Outside the band: {', '.join(outside)}." if outside else "")


def _draw(rows: Sequence[Slice], title: str, rule: _Rule, candidate: str, baseline: str, sheet: _Sheet) -> Drawing:
    attributes = list(dict.fromkeys(r.attribute for r in rows))
    height = TOP + len(rows) * sheet.row + len(attributes) * HEADING + FOOT
    reach = [v for r in rows for v in (r.value, r.low, r.high, r.baseline)]
    domain = span([*reach, rule.overall, rule.lowest, rule.highest], room=0.03)
    plot = Plot(
        title,
        _description(rows, rule, baseline),
        size=(sheet.width, height),
        pad=(TOP, sheet.right, FOOT, sheet.names),
        x=domain,
        css=sheet.css,
    )
    _frame(plot, rule, sheet)
    y: float = TOP
    for attribute in attributes:
        y += HEADING
        plot.word(0 if sheet is NARROW else 4, y - 5, attribute, "c-group")
        for row in (r for r in rows if r.attribute == attribute):
            _line(plot, row, y, rule, (candidate, baseline), sheet)
            y += sheet.row
    for value in ticks(*domain, 5):
        plot.word(plot.X(value), height - 12, percent(value), "c-tick c-mid")
    return plot.drawing()


def _frame(plot: Plot, rule: _Rule, sheet: _Sheet) -> None:
    ground = plot.height - FOOT
    if rule.lowest is not None and rule.highest is not None and rule.band is not None:
        plot.box(plot.X(rule.lowest), TOP, plot.X(rule.highest) - plot.X(rule.lowest), ground - TOP, "c-okband")
        if sheet is WIDE:
            plot.word(plot.X(rule.lowest), 14, f"limit −{100 * rule.band:.3g} pts", "c-thrlab c-mid")
    if rule.overall is not None:
        plot.line(plot.X(rule.overall), plot.X(rule.overall), TOP, ground, "c-overall")
        words = "overall" if sheet is NARROW else f"overall {percent1(rule.overall)}"
        plot.word(plot.X(rule.overall), 14, words, "c-thrlab c-mid")


def _line(plot: Plot, row: Slice, y: float, rule: _Rule, names: tuple[str, str], sheet: _Sheet) -> None:
    bad = rule.outside(row)
    red = " c-badt" if bad else ""
    middle, edge = y + sheet.row / 2, sheet.width - sheet.right
    here = plot.X(row.value)
    plot.line(sheet.names, edge, middle, middle, "c-rowline")
    plot.word(6 if sheet is NARROW else 14, middle, short(row.group, sheet.characters), f"c-name{red}", middle=True)
    if row.baseline is not None:
        plot.line(plot.X(row.baseline), here, middle, middle, "c-move")
    if row.low is not None and row.high is not None:
        plot.line(plot.X(row.low), plot.X(row.high), middle, middle, f"c-err c-err-{'bad' if bad else 'cand'}")
    if row.baseline is not None:
        plot.dot(plot.X(row.baseline), middle, 4, "c-hollow")
    if bad:
        plot.add(f'<path class="c-dot c-dot-bad" d="M{here:.1f} {middle - 5.6:.1f}l5.6 5.6-5.6 5.6-5.6-5.6z"/>')
    else:
        plot.dot(here, middle, 4.4, "c-dot")
    if sheet is WIDE:
        plot.word(sheet.names - 10, middle, f"n {row.n:,}", "c-tick c-end", middle=True)
        plot.word(sheet.width - 84, middle, percent1(row.value), f"c-val{red} c-end", middle=True)
        if rule.overall is not None:
            gap = f"{points_text(row.value - rule.overall)} pts"
            plot.word(sheet.width - 6, middle, gap, f"c-tick c-end{red}", middle=True)
    plot.box(sheet.names, y, edge - sheet.names, sheet.row, "c-hit", hint=_tip(row, rule, names))


def _tip(row: Slice, rule: _Rule, names: tuple[str, str]) -> str:
    between = f" ({percent1(row.low)} to {percent1(row.high)})" if row.low is not None and row.high is not None else ""
    lines = [f"{names[0]}: {percent1(row.value)}{between}"]
    if row.baseline is not None:
        lines.append(f"{names[1]}: {percent1(row.baseline)}")
    if rule.overall is not None:
        lines.append(f"gap to overall {points_text(row.value - rule.overall)} pts")
    return tip(f"{row.group}, {row.n:,} rows", *lines)
