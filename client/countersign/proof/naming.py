"""Names of one thing in several lists, told apart. Pure: who decides and who verifies offline ask the same function."""

from __future__ import annotations

from collections.abc import Sequence


def told_apart(named: Sequence[tuple[str, str]]) -> list[str]:
    """The name of each `(name, list)`, in order: its own where it is the first of it, else joined with the list that it is from.

    Names and lists are of small letters, digits and hyphens, and a name stands once in its list. They are joined by a hyphen; where
    that is another's name, by an underscore, which neither contains. So no two results are alike.
    """
    taken = {name for name, _ in named}
    seen: set[str] = set()
    found = []
    for name, source in named:
        told = name
        if name in seen:
            hyphened = f"{name}-{source}"
            told = f"{name}_{source}" if hyphened in taken else hyphened
        seen.add(name)
        taken.add(told)
        found.append(told)
    return found
