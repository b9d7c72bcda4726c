"""The lifecycle's table as a document: a Mermaid state diagram and the table itself, for `docs/lifecycle.md`."""

from __future__ import annotations

from typing import Final

from registry.lifecycle import MOVES, Move, State

HEADER: Final = """# The life of a version

Drawn from the table in `registry/lifecycle.py` by `manage.py lifecycle`; do not edit it here.

State says how far a version is in its life, stage what was decided, alias what callers get. A state alone opens no door: what is
pulled or served is decided by the signatures of an approval that is valid at that moment.
"""


def document() -> str:
    """The whole text of `docs/lifecycle.md`."""
    return "\n".join([HEADER, _diagram(), _table()])


def _diagram() -> str:
    arrows: dict[tuple[State, State], list[str]] = {}
    for move in MOVES:
        for source in sorted(move.sources):
            if source != move.target:
                arrows.setdefault((source, move.target), []).append(move.name.replace("_", " "))
    lines = [
        f"    {source} --> {target}: {', '.join(dict.fromkeys(names))}" for (source, target), names in arrows.items()
    ]
    start = f"    [*] --> {State.QUARANTINED}: register"
    end = f"    {State.RETIRED} --> [*]"
    return "\n".join(["```mermaid", "stateDiagram-v2", start, *lines, end, "```", ""])


def _table() -> str:
    head = "| move | from | to | permission | follows from a decision | when |\n|---|---|---|---|---|---|"
    return "\n".join([head, *(_row(move) for move in MOVES), ""])


def _row(move: Move) -> str:
    sources = ", ".join(sorted(move.sources))
    permission = f"`{move.permission}`" if move.permission else "the decision's own"
    decision = "yes" if move.needs_decision else "no"
    return f"| {move.name.replace('_', ' ')} | {sources} | {move.target} | {permission} | {decision} | {move.meaning} |"
