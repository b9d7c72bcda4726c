"""The sink that is always there: a file that only grows, meant for another disk or machine than the database's."""

from __future__ import annotations

from dataclasses import dataclass

from audit.anchors.protocol import lines_of
from audit.journal import Journal, Line


@dataclass(frozen=True, slots=True)
class FileSink:
    """One line for each checkpoint, flushed to the disk before it counts."""

    name: str
    journal: Journal
    every_seconds: float = 0.001

    def publish(self, line: Line) -> str:
        """Append the line; the file's name."""
        self.journal.append(line)
        return self.journal.path.name

    def held(self) -> list[Line]:
        """Every line of the file."""
        return lines_of(self.journal)
