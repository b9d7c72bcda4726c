"""The processes of one machine: what runs, how each is started, kept alive and stopped. Decides nothing about models."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

import structlog

log = structlog.get_logger(__name__)

PR_SET_PDEATHSIG: Final = 1
STOP_SECONDS: Final = 30.0
FIRST_BACK_OFF: Final = 1.0
LONGEST_BACK_OFF: Final = 30.0
STEADY_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Program:
    """One process to keep running. `serves_others`: the others talk to it, so it ends last."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    serves_others: bool = False


@dataclass
class Child:
    """A running program with the history that decides when it is started again."""

    program: Program
    process: subprocess.Popen[bytes]
    output: IO[bytes]
    started: float
    back_off: float = FIRST_BACK_OFF
    restart_at: float | None = None


def _die_with_parent() -> None:
    """In the child, before exec: ask the kernel for SIGTERM when the supervisor dies, however it dies (Linux)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Supervisor:
    """Starts programs, restarts those that end by themselves with growing pauses, and stops all on request.

    Every child has a session of its own, so that Ctrl-C reaches the supervisor alone, which then stops the others:
    TERM to all at once, up to 30 seconds, KILL; and only then, in the same way, what served them.
    """

    def __init__(self, log_dir: Path) -> None:
        self.log_dir = log_dir
        self.children: dict[str, Child] = {}
        self.stopping = False

    def start(self, program: Program) -> None:
        """Start one program; its output goes to `<log_dir>/<name>.log`."""
        self.children[program.name] = self._spawn(program, FIRST_BACK_OFF)

    def _spawn(self, program: Program, back_off: float) -> Child:
        self.log_dir.mkdir(parents=True, exist_ok=True)
        output = (self.log_dir / f"{program.name}.log").open("ab")
        process = subprocess.Popen(
            program.command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **program.environment},
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
        return Child(program, process, output, time.monotonic(), back_off)

    def tend(self) -> None:
        """Look after the children once: note who ended, and start again whoever's pause is over."""
        now = time.monotonic()
        for name, child in list(self.children.items()):
            if child.restart_at is not None:
                if now >= child.restart_at:
                    self.children[name] = self._spawn(child.program, child.back_off)
                continue
            code = child.process.poll()
            if code is None:
                continue
            child.output.close()
            steady = now - child.started > STEADY_SECONDS
            pause = FIRST_BACK_OFF if steady else child.back_off
            child.back_off = min(pause * 2, LONGEST_BACK_OFF)
            child.restart_at = now + pause
            log.warning("process_ended", process=name, code=code, restart_in_seconds=pause)

    def stop_one(self, name: str) -> None:
        """Stop and forget one program."""
        child = self.children.pop(name)
        self._terminate([child])

    def stop(self) -> None:
        """Stop everything, and what serves the others once they have ended."""
        self.stopping = True
        children = [child for child in reversed(self.children.values()) if child.restart_at is None]
        self._terminate([child for child in children if not child.program.serves_others])
        self._terminate([child for child in children if child.program.serves_others])
        self.children.clear()

    def _terminate(self, children: list[Child]) -> None:
        for child in children:
            _signal(child, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for child in children:
            try:
                child.process.wait(timeout=max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("process_killed", process=child.program.name)
                _signal(child, signal.SIGKILL)
                child.process.wait()
            child.output.close()


def _signal(child: Child, number: signal.Signals) -> None:
    """Send a signal to the child alone on TERM (it stops its own), to its whole session on KILL."""
    with contextlib.suppress(ProcessLookupError):
        if number == signal.SIGKILL:
            os.killpg(child.process.pid, number)
        else:
            child.process.send_signal(number)


@contextlib.contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Turn SIGINT and SIGTERM into a question that a loop can ask, and give the signals back afterwards."""
    asked = False

    def ask(number: int, frame: object) -> None:
        nonlocal asked
        asked = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def manage(*arguments: str) -> tuple[str, ...]:
    """The command line of one of our own management commands."""
    return (sys.executable, str(Path(sys.argv[0]).resolve()), *arguments)
