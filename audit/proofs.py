"""Decides how an inclusion proof is shown: each step from the entry's hash to the root that was signed, as rows and as a drawing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from countersign.proof.merkle import leaf_hash, node_hash
from foundation.charts import Drawing, Plot

_WIDTH: Final = 360.0
_STEP: Final = 62.0
_BOX: Final = (104.0, 38.0)
_SIDE: Final = 62.0


@dataclass(frozen=True, slots=True)
class Step:
    """One step up: the neighbour's hash, on which side it stands, which entries it covers, and the hash of both together (hex)."""

    on_left: bool
    sibling: str
    first: int
    last: int
    parent: str

    @property
    def side(self) -> str:
        """Where the neighbour stands."""
        return "left" if self.on_left else "right"

    @property
    def covers(self) -> str:
        """The entries under the neighbour."""
        return f"entry {self.first:,}" if self.first == self.last else f"entries {self.first:,} to {self.last:,}"


def steps(payload: bytes, seq: int, size: int, proof: Sequence[bytes]) -> list[Step]:
    """The way from the entry up to the root over `size` entries (RFC 6962, section 2.1.1), computed anew from the proof."""
    now, climbed = leaf_hash(payload), []
    for sibling, (first, end) in zip(proof, _siblings(seq, 0, size), strict=True):
        on_left = first < seq
        now = node_hash(sibling, now) if on_left else node_hash(now, sibling)
        climbed.append(Step(on_left, sibling.hex(), first, end - 1, now.hex()))
    return climbed


def _siblings(seq: int, start: int, end: int) -> list[tuple[int, int]]:
    """The range of entries under each hash of the proof, from the leaf upwards."""
    if end - start == 1:
        return []
    split = start + (1 << (end - start - 1).bit_length() - 1)
    if seq < split:
        return [*_siblings(seq, start, split), (split, end)]
    return [*_siblings(seq, split, end), (start, split)]


def drawing(seq: int, leaf: str, climbed: Sequence[Step], size: int) -> Drawing:
    """The proof as a picture, narrow enough for a phone: the entry at the foot, its neighbours beside the way, the root above."""
    height = _STEP * (len(climbed) + 1) + _BOX[1] + 12
    plot = Plot(
        f"Inclusion proof of entry {seq}",
        f"{len(climbed)} neighbouring hashes lead from the entry to the root over {size} entries; the table below lists them.",
        size=(_WIDTH, height),
    )
    middle, foot = _WIDTH / 2, height - _BOX[1] - 2
    levels = [foot - _STEP * n for n in range(len(climbed) + 1)]
    for step, below, above in zip(climbed, levels, levels[1:], strict=False):
        side = _SIDE if step.on_left else _WIDTH - _SIDE
        joint = below - (_STEP - _BOX[1]) / 2
        plot.line(middle, middle, below, above + _BOX[1], "c-cand")
        plot.line(side, side, below, joint, "c-move")
        plot.line(side, middle, joint, joint, "c-move")
        _node(plot, side, below, step.sibling, _short_range(step), "c-hollow")
    hashes = [leaf, *(step.parent for step in climbed)]
    for n, (y, digest) in enumerate(zip(levels, hashes, strict=True)):
        name = f"entry {seq:,}" if n == 0 else "root" if n == len(climbed) else ""
        _node(plot, middle, y, digest, name, "c-h2")
    top = levels[-1] - _STEP
    plot.line(middle, middle, levels[-1], top + _BOX[1], "c-move")
    plot.box(middle - 96, top, 192, _BOX[1], "c-h1", round_=6)
    plot.word(middle, top + _BOX[1] / 2, f"signed checkpoint over {size:,}", "c-name c-mid", middle=True)
    return plot.drawing()


def _short_range(step: Step) -> str:
    return f"{step.first:,}" if step.first == step.last else f"{step.first:,}–{step.last:,}"


def _node(plot: Plot, x: float, y: float, digest: str, name: str, css: str) -> None:
    width, height = _BOX
    plot.box(x - width / 2, y, width, height, css, round_=6)
    if name:
        plot.word(x, y + 12, name, "c-name c-mid", middle=True)
    plot.word(x, y + (27 if name else height / 2), f"{digest[:8]}…", "c-name c-mid", middle=True)
