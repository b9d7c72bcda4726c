"""The paper of every chart: scales, ticks, axes and text, drawn as SVG on the server.

No script, no style attribute, no `<style>`, no ids: colour and type come from classes in `assets/app.css`, so one
drawing serves light, dark, print and PDF, passes `style-src 'self'`, and the same numbers always give the same bytes,
so that it can be hashed as evidence. Hover is an extra: elements with `data-tip` are picked up by `app.js`. Pure:
knows numbers and names only.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import Final

Point = tuple[float, float]
Number = Callable[[float], str]

HUGE: Final = 1e300  # clamped here, so that a difference of two values is finite too
_NOT_XML: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Drawing(str):
    """Finished markup: templates print it as it is, and its bytes are what is hashed."""

    __slots__ = ()

    def __html__(self) -> str:
        """What Django's autoescape asks for: this text is already safe."""
        return str(self)


def nothing(sentence: str) -> Drawing:
    """What stands in a chart's place when there is nothing to draw: a sentence."""
    return Drawing(f'<p class="chart-empty">{text(sentence)}</p>')


def text(value: object) -> str:
    """`value` escaped for text and attributes, without characters that XML forbids."""
    return escape(_NOT_XML.sub("", str(value)))


def short(name: object, width: int) -> str:
    """`name` cut to `width` characters with an ellipsis; the whole name stays in the tooltip and the description."""
    whole = str(name)
    return whole if len(whole) <= width else whole[: width - 1] + "…"


def tip(head: object, *lines: object) -> str:
    """The attribute that carries a tooltip: a bold head, then one line each."""
    return 'data-tip="' + "|".join(text(str(part).replace("|", "/")) for part in (head, *lines)) + '"'


def is_number(value: float | None) -> bool:
    """Whether `value` can be drawn: present and neither NaN nor infinite."""
    return value is not None and math.isfinite(value)


def clamped(value: float) -> float:
    """`value` within ±1e300."""
    return max(-HUGE, min(HUGE, float(value)))


def finite(values: Iterable[float | None]) -> list[float]:
    """The values that can be drawn."""
    return [clamped(value) for value in values if value is not None and math.isfinite(value)]


def points_of(points: Iterable[Sequence[float]]) -> list[Point]:
    """The (x, y) pairs of which both numbers can be drawn."""
    return [(clamped(p[0]), clamped(p[1])) for p in points if is_number(p[0]) and is_number(p[1])]


def at(value: float) -> str:
    """A coordinate with one decimal at most."""
    short_text = f"{value:.1f}"
    return "0" if short_text == "-0.0" else short_text.removesuffix(".0")


def span(values: Iterable[float | None], *, zero: bool = False, room: float = 0.06) -> Point:
    """A domain that holds all values with some `room` (a share of it); never empty. `zero` starts it at nought."""
    known = finite(values)
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    width = high - low
    if width <= max(abs(low), abs(high), 1e-9) * 1e-9:
        width = max(abs(low), abs(high)) * 0.1 or 1.0
        low, high = low - width / 2, high + width / 2
    if zero:
        return (low and low - room * width, high + room * width)
    return (low - room * width, high + room * width)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers between `low` and `high`, `about` so many."""
    raw = (high - low) / about
    if not math.isfinite(raw) or raw <= 0:
        return [low]
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    places = 2 - math.floor(math.log10(step))
    return [round(i * step, places) for i in range(first, last + 1)]


def plain(value: float) -> str:
    """A tick's number: `0.25`, `12k`, `3.4M`, `1e+12`."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e4, "k")):
        if size <= abs(value) < 1e12:
            divisor = 1e3 if unit == "k" else size
            return f"{value / divisor:.4g}{unit}"
    return f"{value:.4g}"


def aligned(values: Sequence[float]) -> list[str]:
    """The numbers of one axis, all with the same decimals: `0.78`, `0.80`, `0.82`."""
    words = [plain(value) for value in values]
    places = max((len(word.partition(".")[2]) for word in words if word[-1].isdigit() and "e" not in word), default=0)
    same = all(word[-1].isdigit() and "e" not in word for word in words)
    return [f"{value:.{places}f}" for value in values] if same else words


def percent(value: float) -> str:
    """A tick's share: `25%`, `2.5%`."""
    return f"{100 * value:.3g}%"


def percent1(value: float | None) -> str:
    """A share in a sentence or tooltip, one decimal: `81.4%`, or `n/a`."""
    return f"{100 * value:.1f}%" if value is not None and math.isfinite(value) else "n/a"


def three(value: float | None) -> str:
    """A score in a sentence or tooltip, three decimals: `0.856`, or `n/a`."""
    return f"{value:.3f}" if value is not None and math.isfinite(value) else "n/a"


def points_text(difference: float) -> str:
    """A difference of shares in points with its sign: `−15.8`; one that rounds to nothing has none."""
    signed = f"{100 * difference:+.1f}"
    return "0.0" if signed[1:] == "0.0" else signed.replace("-", "−")


def _words(values: Sequence[float], number: Number) -> list[str]:
    return aligned(values) if number is plain else [number(value) for value in values]


class Plot:
    """One drawing: `size` (width, height) and `pad` (top, right, bottom, left) in pixels, `x` and `y` domains."""

    def __init__(
        self,
        title: str,
        description: str,
        *,
        size: tuple[float, float] = (380, 256),
        pad: tuple[float, float, float, float] = (10, 12, 38, 44),
        x: Point = (0, 1),
        y: Point = (0, 1),
        css: str = "",
    ) -> None:
        self.title, self.description, self.css = title, description, css
        self.width, self.height = size
        self.top, self.right, self.bottom, self.left = pad
        self.x, self.y = x, y
        self._parts: list[str] = []

    def X(self, value: float) -> float:  # noqa: N802 - the axis' own name
        """The horizontal pixel of a value."""
        share = (clamped(value) - self.x[0]) / ((self.x[1] - self.x[0]) or 1)
        return self.left + share * (self.width - self.left - self.right)

    def Y(self, value: float) -> float:  # noqa: N802 - the axis' own name
        """The vertical pixel of a value."""
        share = (clamped(value) - self.y[0]) / ((self.y[1] - self.y[0]) or 1)
        return self.height - self.bottom - share * (self.height - self.top - self.bottom)

    def add(self, markup: str) -> None:
        """Put finished markup on the paper; whoever calls has escaped the text in it."""
        self._parts.append(markup)

    def word(self, x: float, y: float, words: object, css: str, *, middle: bool = False) -> None:
        """Write `words`; `middle` centres them on `y` instead of standing them on it."""
        drop = ' dy=".34em"' if middle else ""
        self.add(f'<text class="{css}" x="{at(x)}" y="{at(y)}"{drop}>{text(words)}</text>')

    def line(self, x1: float, x2: float, y1: float, y2: float, css: str) -> None:
        """A straight line between two pixels."""
        self.add(f'<line class="{css}" x1="{at(x1)}" x2="{at(x2)}" y1="{at(y1)}" y2="{at(y2)}"/>')

    def box(
        self, x: float, y: float, width: float, height: float, css: str, *, hint: str = "", round_: float = 0
    ) -> None:
        """A rectangle in pixels; `hint` is a `tip`."""
        corner = f' rx="{at(round_)}"' if round_ else ""
        self.add(
            f'<rect class="{css}" x="{at(x)}" y="{at(y)}" width="{at(max(width, 0))}" height="{at(max(height, 0))}"'
            f"{corner}{' ' + hint if hint else ''}/>"
        )

    def dot(self, x: float, y: float, radius: float, css: str, *, hint: str = "") -> None:
        """A circle at a pixel."""
        self.add(f'<circle class="{css}" cx="{at(x)}" cy="{at(y)}" r="{at(radius)}"{" " + hint if hint else ""}/>')

    def path(self, points: Sequence[Point], css: str, *, closed: bool = False) -> None:
        """A line through values, closed to an area if asked; a single point becomes a dot."""
        if len(points) == 1:
            self.dot(self.X(points[0][0]), self.Y(points[0][1]), 3, "c-dot")
        if len(points) < 2:
            return
        course = "L".join(f"{at(self.X(a))} {at(self.Y(b))}" for a, b in points)
        self.add(f'<path class="{css}" d="M{course}{"Z" if closed else ""}"/>')

    def axes(
        self,
        xticks: Sequence[float],
        yticks: Sequence[float],
        *,
        xlabel: str = "",
        ylabel: str = "",
        xnumber: Number = plain,
        ynumber: Number = plain,
    ) -> None:
        """Grid, ticks and the names of both axes."""
        left, right, ground = self.left, self.width - self.right, self.height - self.bottom
        for value, word in zip(yticks, _words(yticks, ynumber), strict=True):
            self.line(left, right, self.Y(value), self.Y(value), "c-grid")
            self.word(left - 6, self.Y(value), word, "c-tick c-end", middle=True)
        for value, word in zip(xticks, _words(xticks, xnumber), strict=True):
            self.word(self.X(value), ground + 15, word, "c-tick c-mid")
        self.line(left, right, ground, ground, "c-axis")
        if xlabel:
            self.word((left + right) / 2, self.height - 4, xlabel, "c-label c-mid")
        if ylabel:
            middle = at(-(self.top + ground) / 2)
            self.add(f'<text class="c-label c-mid" transform="rotate(-90)" x="{middle}" y="11">{text(ylabel)}</text>')

    def limit(self, value: float, css: str, label: str) -> None:
        """A horizontal limit with its name at the left."""
        self.line(self.left, self.width - self.right, self.Y(value), self.Y(value), css)
        self.word(self.left + 4, self.Y(value) - 4, label, f"c-thrlab {css}-t")

    def hits(self, xs: Sequence[float], hints: Sequence[str]) -> None:
        """Invisible columns that carry tooltips; each reaches half way to its neighbours."""
        edges = [self.X(x) for x in xs]
        for i, (x, hint) in enumerate(zip(edges, hints, strict=True)):
            before = (edges[i - 1] + x) / 2 if i else self.left
            after = (edges[i + 1] + x) / 2 if i + 1 < len(edges) else self.width - self.right
            self.box(before, self.top, max(after - before, 1), self.height - self.top - self.bottom, "c-hit", hint=hint)

    def drawing(self) -> Drawing:
        """The finished SVG."""
        size = "c-s" if self.width <= 400 else "c-w c-m" if self.width <= 1000 else "c-w"
        css = " ".join(part for part in ("chart", self.css, size) if part)
        label = text(" ".join(f"{self.title}. {self.description}".split()))
        body = "".join(self._parts)
        return Drawing(
            f'<svg xmlns="http://www.w3.org/2000/svg" class="{css}" width="{at(self.width)}" height="{at(self.height)}" '
            f'viewBox="0 0 {at(self.width)} {at(self.height)}" role="img" aria-label="{label}">{body}</svg>'
        )
