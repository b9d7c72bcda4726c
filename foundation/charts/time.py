"""Values over time: a line with limits and events, bars, and the small line inside a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from foundation.charts.plot import (
    Drawing,
    Number,
    Plot,
    at,
    clamped,
    finite,
    is_number,
    nothing,
    plain,
    span,
    ticks,
    tip,
)

Level = Literal["warn", "fail"]
Worse = Literal["up", "down", ""]


@dataclass(frozen=True)
class Limit:
    """A threshold: its value, its name ("fail 0.25") and how grave it is to pass it."""

    value: float
    label: str
    level: Level = "warn"


@dataclass(frozen=True)
class Event:
    """Something that happened at a position of the time axis; `kind` colours its flag."""

    at: int
    label: str
    kind: Literal["ok", "bad", ""] = ""


@dataclass(frozen=True)
class _Sheet:
    size: tuple[float, float]
    left: float
    css: str


WIDE: Final = _Sheet((1350, 240), 66, "only-wide")
HALF: Final = _Sheet((650, 240), 66, "only-wide")
NARROW: Final = _Sheet((380, 210), 52, "only-narrow")
_CHARACTER: Final = {"only-wide": 7.2, "only-narrow": 5.6}  # pixels of a tick's letter


def spark(values: Sequence[float | None]) -> Drawing:
    """A line of 80 by 24 pixels without axes, for a table cell; nothing at all under two values."""
    known = finite(values)
    if len(known) < 2:
        return Drawing("")
    low, high = span(known, room=0)
    course = [
        f"{at(2 + i * 76 / (len(known) - 1))},{at(20 - (v - low) / (high - low) * 16)}" for i, v in enumerate(known)
    ]
    x, y = course[-1].split(",")
    return Drawing(
        '<svg xmlns="http://www.w3.org/2000/svg" class="spark" viewBox="0 0 80 24" aria-hidden="true">'
        f'<polyline class="c-spark" points="{" ".join(course)}"/>'
        f'<circle class="c-dot" cx="{x}" cy="{y}" r="2.4"/></svg>'
    )


def series(
    title: str,
    labels: Sequence[str],
    values: Sequence[float | None],
    *,
    measure: str,
    number: Number = plain,
    limits: Sequence[Limit] = (),
    band: Sequence[tuple[float, float] | None] = (),
    events: Sequence[Event] = (),
    worse: Worse = "",
    bars: bool = False,
    half: bool = False,
    period: str = "",
) -> Drawing:
    """`values` over time, one a label; a missing value leaves a gap. Returns the wide and the phone's drawing together.

    `band`: a 95 % interval for each value; `worse`: the direction in which passing a limit is marked; `half`: the wide
    drawing is for a card of half the page; `period`: words before a label in tooltips ("Week of").
    """
    if len(labels) != len(values):
        raise ValueError("a series needs one label for each value")
    if not finite(values):
        return nothing(f"There is no {measure} over time yet.")
    wide = HALF if half else WIDE
    parts = []
    for sheet in (wide, NARROW):
        plot = _frame(title, labels, values, measure, limits, band, events, bars, sheet, number)
        _limits(plot, limits)
        _course(plot, values, bars)
        _events(plot, events, named=sheet is not NARROW)
        if not bars:
            _breaches(plot, values, limits, worse)
        heads = [f"{period} {label}".strip() for label in labels]
        shown = [number(v) if v is not None and is_number(v) else "no data" for v in values]
        plot.hits(range(len(values)), [tip(h, f"{measure}: {s}") for h, s in zip(heads, shown, strict=True)])
        parts.append(plot.drawing())
    return Drawing("".join(parts))


def _frame(
    title: str,
    labels: Sequence[str],
    values: Sequence[float | None],
    measure: str,
    limits: Sequence[Limit],
    band: Sequence[tuple[float, float] | None],
    events: Sequence[Event],
    bars: bool,
    sheet: _Sheet,
    number: Number,
) -> Plot:
    known = finite(values)
    edges = [v for pair in band if pair for v in pair]
    y = span([*known, *edges, *(limit.value for limit in limits)], zero=bars)
    y = (y[0], y[1] + 0.14 * (y[1] - y[0])) if events else y
    low, high, last = min(known), max(known), known[-1]
    described = f"{measure} from {labels[0]} to {labels[-1]}: last {number(last)}, "
    described += f"lowest {number(low)}, highest {number(high)}."
    described += "".join(f" Limit: {limit.label}." for limit in limits)
    count = len(values)
    plot = Plot(
        title, described, size=sheet.size, pad=(14, 12, 34, sheet.left), x=(-0.5, count - 0.5), y=y, css=sheet.css
    )
    interval = [(i, pair) for i, pair in enumerate(band) if pair and is_number(pair[0]) and is_number(pair[1])]
    if interval:
        around = [(float(i), pair[1]) for i, pair in interval] + [(float(i), pair[0]) for i, pair in reversed(interval)]
        plot.path(around, "c-cband", closed=True)
    room = (plot.width - plot.left - plot.right) / count
    step = max(1, -(-int((max(map(len, labels)) + 2) * _CHARACTER[sheet.css]) // max(1, int(room))))
    plot.axes(range(0, count, step), ticks(*y, 4), ylabel=measure, xnumber=lambda i: labels[int(i)], ynumber=number)
    return plot


def _limits(plot: Plot, limits: Sequence[Limit]) -> None:
    for limit in limits:
        plot.limit(limit.value, f"c-thr-{limit.level}", limit.label)


def _course(plot: Plot, values: Sequence[float | None], bars: bool) -> None:
    known = [(i, clamped(v)) for i, v in enumerate(values) if v is not None and is_number(v)]
    if bars:
        width = (plot.X(1) - plot.X(0)) * 0.66
        for i, value in known:
            top, ground = min(plot.Y(value), plot.Y(0)), max(plot.Y(value), plot.Y(0))
            plot.box(plot.X(i) - width / 2, top, width, ground - top, "c-bar c-vol", round_=1.5)
        return
    run: list[tuple[float, float]] = []
    for i, value in known:
        if run and i != run[-1][0] + 1:
            plot.path(run, "c-cand")
            run = []
        run.append((float(i), value))
    plot.path(run, "c-cand")


def _events(plot: Plot, events: Sequence[Event], *, named: bool) -> None:
    for event in events:
        x = plot.X(event.at)
        plot.line(x, x, plot.top, plot.height - plot.bottom, "c-event")
        colour = f" c-{event.kind}f" if event.kind else ""
        plot.add(f'<path class="c-flag{colour}" d="M{at(x)} {at(plot.top - 2)}h9l-3 4 3 4h-9z"/>')
        if named:
            plot.word(x + 13, plot.top + 6, event.label, "c-thrlab c-evlab")


def _breaches(plot: Plot, values: Sequence[float | None], limits: Sequence[Limit], worse: Worse) -> None:
    gravest_first = sorted(limits, key=lambda limit: limit.level != "fail")
    for i, value in enumerate(values):
        if value is None or not is_number(value):
            continue
        for limit in gravest_first:
            if (worse == "up" and value >= limit.value) or (worse == "down" and value <= limit.value):
                plot.dot(plot.X(i), plot.Y(value), 3.6, f"c-breach c-thr-{limit.level}-d")
                break
