"""How values are spread: numbers as a histogram, categories as bars, drift and importance by feature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from foundation.charts.plot import (
    Drawing,
    Plot,
    clamped,
    finite,
    is_number,
    nothing,
    percent,
    percent1,
    plain,
    short,
    span,
    ticks,
    tip,
)

WIDTH: Final = 380
NAMES: Final = 150  # pixels kept for names at the left
NAME_CHARACTERS: Final = 23
ROW: Final = 26


@dataclass(frozen=True)
class Shares:
    """The share of rows in each bin or category (they need not add up to one), and how many rows there are."""

    name: str
    shares: Sequence[float]
    n: int | None = None

    @property
    def title(self) -> str:
        """The name with the number of rows."""
        return f"{self.name}, {self.n:,} rows" if self.n is not None else self.name


@dataclass(frozen=True)
class Weight:
    """How much a model leans on one feature, and how much the other version does (None: it does not use it)."""

    feature: str
    value: float
    baseline: float | None = None


def _known(shares: Shares | None) -> list[float]:
    return [clamped(v) if is_number(v) else 0.0 for v in shares.shares] if shares else []


def _stairs(edges: Sequence[float], heights: Sequence[float]) -> list[tuple[float, float]]:
    steps = [(edge, h) for i, h in enumerate(heights) for edge in (edges[i], edges[i + 1])]
    return [(edges[0], 0.0), *steps, (edges[len(heights)], 0.0)]


def _between(edges: Sequence[float], i: int) -> str:
    return f"from {plain(edges[i])} to {plain(edges[i + 1])}"


def histogram(label: str, edges: Sequence[float], reference: Shares, current: Shares | None = None) -> Drawing:
    """Share of rows by bin, filled for `reference`, outlined for `current`. `edges` is one longer than the shares."""
    first, second = _known(reference), _known(current)
    known = finite(edges)
    if len(known) != len(edges) or len(edges) != len(first) + 1 or not any(first + second):
        return nothing(f"There is no distribution of {label}: no rows, or no numbers among them.")
    top = max(first + second) * 1.12
    peak = first.index(max(first))
    described = f"Share of rows by bin for {reference.title}"
    described += f" against {current.title}. " if current else ". "
    described += f"Most rows of {reference.name} ({percent1(first[peak])}) are {_between(known, peak)}"
    if second:
        crest = second.index(max(second))
        described += f"; of {current.name if current else ''} ({percent1(second[crest])}) {_between(known, crest)}"
    low, high = (known[0], known[-1]) if known[-1] > known[0] else span(known)
    plot = Plot(f"Distribution of {label}", described + ".", x=(low, high), y=(0, top))
    plot.axes(ticks(low, high), ticks(0, top, 4), xlabel=short(label, 44), ylabel="Share of rows", ynumber=percent)
    plot.path(_stairs(known, first), "c-histref")
    if second and len(second) == len(first):
        plot.path(_stairs(known, second), "c-histcur")
    for i, share in enumerate(first):
        lines = [f"{reference.name}: {percent1(share)}"]
        if current and i < len(second):
            lines.append(f"{current.name}: {percent1(second[i])}")
        left, right = plot.X(known[i]), plot.X(known[i + 1])
        head = f"{plain(known[i])} to {plain(known[i + 1])}"
        plot.box(left, plot.top, right - left, plot.height - plot.top - plot.bottom, "c-hit", hint=tip(head, *lines))
    return plot.drawing()


def categories(label: str, names: Sequence[str], reference: Shares, current: Shares | None = None) -> Drawing:
    """Share of rows by category: a bar for each, and a thinner one under it for `current`."""
    first, second = _known(reference), _known(current)
    rows = list(zip(names, first, strict=False))
    if not rows or not any(first + second):
        return nothing(f"There is no distribution of {label}: no rows.")
    top = max(first + second) * 1.2
    said = "; ".join(f"{name} {percent1(share)}" for name, share in rows[:6])
    more = f"; and {len(rows) - 6} more" if len(rows) > 6 else ""
    title = f"{reference.title} against {current.title}" if current else reference.title
    plot = Plot(
        f"Distribution of {label}",
        f"Share of rows by category for {title}: {said}{more}.",
        size=(WIDTH, len(rows) * ROW + 24),
        pad=(4, 96 if current else 40, 20, NAMES),
        x=(0, top),
    )
    for i, (name, share) in enumerate(rows):
        y = 4 + i * ROW
        plot.word(NAMES - 8, y + ROW / 2, short(name, NAME_CHARACTERS), "c-name c-end", middle=True)
        lines = [f"{reference.name}: {percent1(share)}"]
        thick = 9 if current else 14
        plot.box(NAMES, y + (4 if current else 6), max(plot.X(share) - NAMES, 1.2), thick, "c-bar c-candfill", round_=2)
        longest, shown = share, percent1(share)
        if current and i < len(second):
            plot.box(NAMES, y + 14, max(plot.X(second[i]) - NAMES, 1.2), 6, "c-bar c-prodfill", round_=2)
            lines.append(f"{current.name}: {percent1(second[i])}")
            longest, shown = max(share, second[i]), f"{percent1(share)}, now {percent1(second[i])}"
        plot.word(plot.X(longest) + 6, y + ROW / 2, shown, "c-val", middle=True)
        plot.box(NAMES, y, WIDTH - NAMES - 4, ROW, "c-hit", hint=tip(name, *lines))
    return plot.drawing()


def psi_bars(
    rows: Sequence[tuple[str, float]],
    *,
    warn: float = 0.1,
    fail: float = 0.25,
    measure: str = "PSI",
    title: str = "Population stability index by feature",
) -> Drawing:
    """Drift by feature, largest first, against the two limits."""
    known = sorted(((n, clamped(v)) for n, v in rows if is_number(v)), key=lambda row: (-row[1], row[0]))
    if not known:
        return nothing("There is no drift to show: no feature has been compared yet.")
    said = "; ".join(f"{name} {three_places(value)}" for name, value in known[:3])
    rest = f"; all others at most {three_places(known[3][1])}" if len(known) > 3 else ""
    top = max(fail * 1.2, known[0][1] * 1.18)
    plot = Plot(
        title,
        f"{said}{rest}. Warning from {warn:g}, failure from {fail:g}.",
        size=(WIDTH, len(known) * ROW + 42),
        pad=(20, 40, 22, NAMES),
        x=(0, top),
    )
    for value, css, name in ((warn, "c-thr-warn", f"warn {warn:g}"), (fail, "c-thr-fail", f"fail {fail:g}")):
        plot.line(plot.X(value), plot.X(value), 20, plot.height - 22, css)
        plot.word(plot.X(value), 12, name, f"c-thrlab {css}-t c-mid")
    for i, (name, value) in enumerate(known):
        y = 20 + i * ROW
        level = "bad" if value >= fail else "warn" if value >= warn else "ok"
        plot.word(NAMES - 8, y + ROW / 2, short(name, NAME_CHARACTERS), "c-name c-end", middle=True)
        width = max(plot.X(value) - NAMES, 1.5)
        plot.box(NAMES, y + 6, width, ROW - 12, f"c-bar c-{level}", hint=tip(name, f"{measure} {value:.3f}"), round_=2)
        plot.word(NAMES + width + 6, y + ROW / 2, f"{value:.3f}", "c-val", middle=True)
    for value in ticks(0, top, 4):
        plot.word(plot.X(value), plot.height - 6, plain(value), "c-tick c-mid")
    return plot.drawing()


def three_places(value: float) -> str:
    """A drift in a sentence."""
    return f"{value:.3f}"


def importance(
    rows: Sequence[Weight],
    *,
    candidate: str = "this version",
    baseline: str = "",
    metric: str = "AUC",
    most: int = 15,
) -> Drawing:
    """How much of `metric` is lost when a feature is shuffled; at most `most` features, the heaviest first."""
    known = sorted((r for r in rows if is_number(r.value)), key=lambda r: (-r.value, r.feature))[:most]
    if not known:
        return nothing("There is no feature importance: the evaluation did not measure it.")
    before = [r.baseline for r in known]
    _, top = span([*(r.value for r in known), *before], zero=True, room=0.18)
    low = min([0.0, *finite(r.value for r in known)])
    was = [
        f" (was {three_places(r.baseline)})" if baseline and r.baseline is not None and is_number(r.baseline) else ""
        for r in known
    ]
    said = "; ".join(f"{r.feature} {r.value:.3f}{w}" for r, w in list(zip(known, was, strict=True))[:4])
    plot = Plot(
        "Feature importance",
        f"{metric} lost by {candidate} when a feature is shuffled: {said}.",
        size=(WIDTH, len(known) * ROW + 24),
        pad=(4, 14, 20, NAMES),
        x=(low, top),
    )
    for i, row in enumerate(known):
        y = 4 + i * ROW
        start = plot.X(0)
        plot.word(NAMES - 8, y + ROW / 2, short(row.feature, NAME_CHARACTERS), "c-name c-end", middle=True)
        lines = [f"{candidate}: {row.value:.4f}"]
        value = plot.X(row.value)
        thick = 9 if baseline else 13
        plot.box(min(start, value), y + 4, max(abs(value - start), 1.2), thick, "c-bar c-candfill", round_=2)
        if baseline and row.baseline is not None and is_number(row.baseline):
            other = plot.X(row.baseline)
            plot.box(min(start, other), y + 14, max(abs(other - start), 1.2), 6, "c-bar c-prodfill", round_=2)
            lines.append(f"{baseline}: {row.baseline:.4f}")
        elif baseline:
            plot.word(max(value, start) + 6, y + ROW / 2, "new", "c-new", middle=True)
            lines.append(f"not used by {baseline}")
        plot.box(NAMES, y, WIDTH - NAMES - 14, ROW, "c-hit", hint=tip(row.feature, *lines))
    for value in ticks(low, top, 4):
        plot.word(plot.X(value), plot.height - 5, plain(value), "c-tick c-mid")
    return plot.drawing()
