"""Drawings as a file of their own: one SVG with its colours, names and origin inside, which any viewer opens without our pages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from foundation.charts.plot import Drawing, at, text
from foundation.charts.printing import INK, bare

MARGIN: Final = 24.0
GAP: Final = 20.0
HEADING: Final = 24.0
WIDEST: Final = 860.0
_SIZE: Final = re.compile(r'<svg [^>]*?width="([\d.]+)" height="([\d.]+)"')
_TYPE: Final = (
    "text{font-family:'Inter Variable',Inter,system-ui,sans-serif}"
    ".s-title{font-size:15px;font-weight:600;fill:#141923}.s-name{font-size:12px;font-weight:600;fill:#141923}"
    ".s-note{font-size:10.5px;fill:#5d6776}.s-paper{fill:#fff}"
)


def sheet(
    title: str,
    charts: Sequence[tuple[str, Drawing]],
    *,
    legend: Sequence[tuple[str, str]] = (),
    notes: Sequence[str] = (),
) -> str:
    """The charts under one title, side by side as far as they fit, in light colours on white.

    `charts`: (name, drawing); those that drew nothing are left out. `legend`: (class of a filled box, what it stands for).
    `notes`: lines at the foot, for what the numbers rest on. The same arguments always give the same text.
    """
    drawn = [(name, bare(drawing)) for name, drawing in charts if has_picture(drawing)]
    head = MARGIN + 18 + (22 if legend else 0)
    parts, width, height = _laid_out(drawn, head)
    width = max(width, 480.0)
    body = [f'<text class="s-title" x="{at(MARGIN)}" y="{at(MARGIN + 10)}">{text(title)}</text>']
    body += _legend(legend, MARGIN + 32)
    body += parts
    for line in notes:
        body.append(f'<text class="s-note" x="{at(MARGIN)}" y="{at(height)}">{text(line)}</text>')
        height += 15
    size = f"{at(width)} {at(height + MARGIN - 10)}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{at(width)}" height="{at(height + MARGIN - 10)}" '
        f'viewBox="0 0 {size}" role="group" aria-label="{text(title)}"><title>{text(title)}</title>'
        f'<style>{INK}{_TYPE}</style><rect class="s-paper" width="100%" height="100%"/>{"".join(body)}</svg>\n'
    )


def has_picture(drawing: Drawing) -> bool:
    """Whether there is anything in it but a sentence."""
    return "<svg" in drawing


def _laid_out(drawn: Sequence[tuple[str, str]], top: float) -> tuple[list[str], float, float]:
    """The charts in rows, the width of the whole and where its foot begins, in pixels."""
    parts: list[str] = []
    left, row, widest, tallest = MARGIN, top + GAP, 0.0, 0.0
    for name, svg in drawn:
        width, height = _size(svg)
        if left > MARGIN and left + width + MARGIN > WIDEST:
            left, row, tallest = MARGIN, row + tallest + GAP, 0.0
        parts.append(f'<text class="s-name" x="{at(left)}" y="{at(row + 10)}">{text(name)}</text>')
        parts.append(svg.replace("<svg ", f'<svg x="{at(left)}" y="{at(row + HEADING)}" ', 1))
        left, tallest = left + width + GAP, max(tallest, height + HEADING)
        widest = max(widest, left - GAP + MARGIN)
    return parts, widest, row + tallest + GAP


def _size(svg: str) -> tuple[float, float]:
    found = _SIZE.search(svg)
    if found is None:
        raise ValueError("A drawing without width and height cannot stand on a sheet.")
    return float(found[1]), float(found[2])


def _legend(legend: Sequence[tuple[str, str]], y: float) -> Iterator[str]:
    left = MARGIN
    for css, name in legend:
        yield f'<rect class="{css}" x="{at(left)}" y="{at(y - 9)}" width="20" height="10" rx="2"/>'
        yield f'<text class="s-note" x="{at(left + 26)}" y="{at(y)}">{text(name)}</text>'
        left += 46 + 6.5 * len(name)
