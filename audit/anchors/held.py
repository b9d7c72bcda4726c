"""Decides what verification compares the database with: every checkpoint that is held outside it and can be read now."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from audit.anchors.configured import configured, local_sinks
from audit.anchors.protocol import SinkDamaged, SinkFailed


@dataclass(frozen=True, slots=True)
class Held:
    """A signed checkpoint and where it is held; nobody has verified its signature yet."""

    sink: str
    place: str
    note: str


def held_outside(
    *, damaged: Callable[[str], None], unreadable: Callable[[str], None], remote: bool = True
) -> Iterator[Held]:
    """Every checkpoint outside the database, file by file and sink by sink.

    What is not what was put there goes to `damaged` and what cannot be read now to `unreadable`, as sentences. Without
    `remote` only the local files are read.
    """
    for sink in [*local_sinks(), *(configured() if remote else [])]:
        try:
            lines = sink.held()
        except SinkDamaged as error:
            damaged(f"What is held outside the database is damaged: {error}.")
            continue
        except SinkFailed as error:
            unreadable(f"The sink {sink.name} could not be read, so nothing was compared with it: {error}.")
            continue
        for number, line in enumerate(lines, 1):
            yield Held(sink.name, f"line {number} of {_called(sink.name)}", line.note)


def _called(name: str) -> str:
    """The local files go by their own names, which people see in the folder."""
    return "checkpoints" if name == "file" else name
