"""Drawings on paper: the same drawing, with its ink inside, because WeasyPrint applies no style sheet of the page to an SVG."""

from __future__ import annotations

import re
from typing import Final

from foundation.charts.plot import Drawing

INK: Final = (
    "text{font-family:'Inter Variable',sans-serif;font-size:10px;fill:#444e5e}"
    ".c-mid{text-anchor:middle}.c-end{text-anchor:end}"
    ".c-tick{fill:#5d6776;font-size:9.5px}.c-name,.c-val{fill:#141923}.c-val{font-weight:600}.c-group{font-weight:600}"
    ".c-badt,.c-thr-fail-t{fill:#a8181d}.c-thr-warn-t{fill:#8a4b00}.c-new{fill:#0f6b3a}"
    ".c-grid,.c-rowline{stroke:#e0e4ea}.c-axis{stroke:#c8ced8}.c-ref{fill:none;stroke:#c8ced8;stroke-dasharray:2 3}"
    ".c-cand,.c-spark{fill:none;stroke:#3547d1;stroke-width:2.2}.c-spark{stroke:#5d6776;stroke-width:1.5}"
    ".c-prod{fill:none;stroke:#858e9c;stroke-width:1.8;stroke-dasharray:5 3}.c-move{stroke:#c8ced8;stroke-width:1.4}"
    ".c-dot{fill:#3547d1;stroke:#fff;stroke-width:1.2}.c-dot-bad{fill:#a8181d}"
    ".c-hollow{fill:#fff;stroke:#858e9c;stroke-width:1.8}.c-err{stroke:#3547d1;stroke-width:1.3}.c-err-bad{stroke:#a8181d}"
    ".c-okband{fill:#e7f1eb}.c-overall{stroke:#0f6b3a;stroke-width:1.4}.c-cband{fill:#eceefb}.c-hit{fill:none}"
    ".c-bar,.c-prodfill{fill:#a9b2c0}.c-candfill{fill:#3547d1}.c-vol{fill:#b9c1f0}.c-warn{fill:#d98a1b}.c-bad{fill:#c4282d}"
    ".c-histref{fill:#dfe2e7;stroke:#858e9c}.c-histcur{fill:none;stroke:#3547d1;stroke-width:1.8}"
    ".c-thr-warn{stroke:#b86e00;stroke-dasharray:4 3}.c-thr-fail{stroke:#c4282d;stroke-dasharray:4 3}"
    ".c-thr-warn-d{fill:#d98a1b}.c-thr-fail-d{fill:#c4282d}.c-event{stroke:#c8ced8;stroke-dasharray:2 2}.c-flag{fill:#5d6776}"
    ".c-h1{fill:#eceff4}.c-h2{fill:#cdd4f8}.c-h3{fill:#f2b04e}.c-h4{fill:#c4282d}.c-ht4{fill:#fff}.c-q0{fill:#eff1f4}"
    ".c-pos{fill:#3547d1}.c-neg{fill:#b4541a}.c-on{fill:#fff}"
    ".c-q1{opacity:.1}.c-q2{opacity:.3}.c-q3{opacity:.55}.c-q4{opacity:.8}"
)
_NARROW: Final = re.compile(r'<svg [^>]*class="[^"]*\bonly-narrow\b.*?</svg>', re.DOTALL)
_HIT: Final = re.compile(r'<rect class="c-hit"[^>]*/>')
_TIP: Final = re.compile(r' data-tip="[^"]*"')
_OPEN: Final = re.compile(r"(<svg [^>]*>)")


def for_print(drawing: Drawing, *, letters: float = 10) -> Drawing:
    """`drawing` for a PDF: only its wide form, without tooltips, and with its colours in a `<style>` of its own.

    `letters`: their size in pixels of the drawing; larger where a wide drawing is made smaller to fit the page.
    """
    larger = f"text,.c-tick{{font-size:{letters:g}px}}" if letters != 10 else ""
    return Drawing(_OPEN.sub(rf"\1<style>{INK}{larger}</style>", bare(drawing)))


def bare(drawing: Drawing) -> str:
    """`drawing` in its wide form alone, without tooltips and what catches the pointer for them."""
    return _TIP.sub("", _HIT.sub("", _NARROW.sub("", drawing)))
