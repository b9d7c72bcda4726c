"""How the story speaks: numbered chapters, one sentence a step, and a memory of what was told already."""

from __future__ import annotations

import json
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TextIO, TypeVar

WIDTH: Final = 110
T = TypeVar("T")


class Teller:
    """Prints the story, and remembers in a small file which chapters are over, so that an interrupted story goes on where it stopped."""

    def __init__(self, out: TextIO, memory: Path, chapters: int) -> None:
        self.out = out
        self.memory = memory
        self.chapters = chapters
        self.started = time.monotonic()
        self.told: list[str] = json.loads(memory.read_text()) if memory.exists() else []

    def chapter(self, number: int, title: str) -> None:
        """Begin one of the numbered steps."""
        self.out.write(f"\n[{number}/{self.chapters}] {title}  ({self._elapsed()})\n")
        self.out.flush()

    def say(self, sentence: str) -> None:
        """One sentence, wrapped to the terminal's width."""
        for line in sentence.splitlines():
            indent = "      " if line.startswith("- ") else "    "
            self.out.write(textwrap.fill(line, WIDTH, initial_indent="    ", subsequent_indent=indent) + "\n")
        self.out.flush()

    def show(self, text: str) -> None:
        """Something verbatim: a command, or what it answered."""
        self.out.write(textwrap.indent(text.rstrip(), "      | ", lambda line: True) + "\n")
        self.out.flush()

    def over(self, key: str) -> None:
        """Remember that a chapter is over; written in one step, so that a power cut leaves the old memory or the new one."""
        self.told.append(key)
        fresh = self.memory.with_suffix(".new")
        fresh.write_text(json.dumps(self.told))
        fresh.replace(self.memory)

    def wait_for(
        self, what: str, ask: Callable[[], T | None], *, seconds: float, progress: Callable[[], str] | None = None
    ) -> T:
        """Ask until there is an answer; says what the wait is for whenever `progress` has something new; raises `TimeoutError`."""
        deadline = time.monotonic() + seconds
        last = ""
        while time.monotonic() < deadline:
            answer = ask()
            if answer is not None:
                return answer
            now = progress() if progress else ""
            if now and now != last:
                self.say(f"… {now}")
                last = now
            time.sleep(0.25)
        raise TimeoutError(f"Waited {seconds:.0f} seconds for {what} in vain. var/logs says more.")

    def _elapsed(self) -> str:
        return f"{time.monotonic() - self.started:.0f} s"
