"""The supervisor keeps programs running and stops them all, also those that do not want to."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from config import processes
from config.processes import Program, Supervisor, stop_requests


def program(name: str, code: str) -> Program:
    return Program(name, (sys.executable, "-c", code))


def eventually(ask: Callable[[], bool], *, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not ask():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def supervisor(tmp_path: Path) -> Supervisor:
    return Supervisor(tmp_path / "logs")


def test_output_goes_to_a_file_of_the_program_s_name(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(program("teller", "print('hello')"))

    eventually(lambda: "hello" in (tmp_path / "logs" / "teller.log").read_text())
    supervisor.stop()


def test_a_program_that_ends_is_started_again_after_a_growing_pause(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "LONGEST_BACK_OFF", 0.2)
    supervisor.start(program("mortal", "pass"))
    first = supervisor.children["mortal"]
    first.back_off = 0.1

    def started_again() -> bool:
        supervisor.tend()
        return supervisor.children["mortal"] is not first

    eventually(started_again)

    assert supervisor.children["mortal"].back_off == 0.2
    supervisor.stop()


def test_stopping_asks_first_and_kills_what_does_not_listen(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(processes, "STOP_SECONDS", 0.5)
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    polite = "import time; print('up', flush=True); time.sleep(60)"
    supervisor.start(program("polite", polite))
    supervisor.start(program("deaf", deaf))
    pids = [child.process.pid for child in supervisor.children.values()]
    logs = [tmp_path / "logs" / f"{name}.log" for name in ("polite", "deaf")]
    eventually(lambda: all("up" in log.read_text() for log in logs))

    supervisor.stop()

    assert not any(alive(pid) for pid in pids)
    assert not supervisor.children


def test_what_serves_the_others_is_stopped_once_they_have_ended(supervisor: Supervisor, tmp_path: Path) -> None:
    lasting = (
        "import signal, sys, time\n"
        "def end(*_):\n    time.sleep({pause}); print(time.monotonic(), flush=True); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end); print('up', flush=True); time.sleep(60)"
    )
    broker = program("broker", lasting.format(pause=0))
    supervisor.start(replace(broker, serves_others=True))
    supervisor.start(program("timer", lasting.format(pause=0.5)))
    logs = [tmp_path / "logs" / f"{name}.log" for name in ("broker", "timer")]
    eventually(lambda: all("up" in log.read_text() for log in logs))

    supervisor.stop()

    broker_ended, timer_ended = (float(log.read_text().split()[-1]) for log in logs)
    assert timer_ended < broker_ended


def test_children_die_with_a_supervisor_that_was_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from config.processes import Program, Supervisor\n"
        f"supervisor = Supervisor(Path({str(tmp_path)!r}))\n"
        "supervisor.start(Program('child', (sys.executable, '-c', 'import time; time.sleep(60)')))\n"
        "print(supervisor.children['child'].process.pid, flush=True); time.sleep(60)"
    )
    import subprocess

    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())

    parent.kill()
    parent.wait()

    eventually(lambda: not alive(child))
    parent.stdout.close()


def test_ctrl_c_becomes_a_question_and_is_given_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with stop_requests() as asked:
        assert not asked()
        os.kill(os.getpid(), signal.SIGINT)
        eventually(asked)

    assert signal.getsignal(signal.SIGINT) is before
