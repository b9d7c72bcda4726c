"""Goals of the benchmarks: a line each, as the table that a document keeps between its marks. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Goal:
    """One line of the table: what, the goal in words, the figure, whether it is met, and what is beside it."""

    what: str
    goal: str
    figure: str
    met: bool
    beside: str = ""


def goal_table(goals: Sequence[Goal]) -> str:
    """The goals as Markdown."""
    rows = [
        f"| {one.what} | {one.goal} | {one.figure} | {'yes' if one.met else '**no**'} | {one.beside} |" for one in goals
    ]
    return "\n".join(["| | goal | measured | met | beside it |", "|---|---|---|---|---|", *rows])


def between_marks(text: str, name: str, table: str) -> str:
    """`text` with `table` between the marks of this name; raises `ValueError` where there are none."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    if begin not in text or end not in text:
        raise ValueError(f"There is no {begin} and {end}.")
    head, _, rest = text.partition(begin)
    return f"{head}{begin}\n{table}\n{end}{rest.partition(end)[2]}"
