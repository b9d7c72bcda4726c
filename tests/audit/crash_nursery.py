"""Forks one sequencer after another, prints the process id of each, and waits until somebody has killed it."""

from __future__ import annotations

import os
import signal
import sys
import threading

import django


def main(times: int) -> None:
    """Fork, report, wait; fail when a sequencer ends in any other way than by SIGKILL."""
    django.setup()
    from audit import keys, sequencer

    sequencer.SIGN_EVERY_SECONDS = 0.0  # type: ignore[misc]  # ticks back to back, so that kills meet them
    sequencer.POLL_SECONDS = 0.0  # type: ignore[misc]
    for _ in range(times):
        child = os.fork()
        if child == 0:
            sys.stdout = sys.stderr
            sequencer.Sequencer(keys.load_log_key()).run(threading.Event())
            os._exit(1)
        print(child, flush=True)  # noqa: T201 - the test reads it
        _, status = os.waitpid(child, 0)
        if not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
            sys.exit("a sequencer ended by itself")


def drain() -> None:
    """Log what is left and end."""
    django.setup()
    from audit import keys, sequencer

    stop = threading.Event()
    stop.set()
    sequencer.Sequencer(keys.load_log_key()).run(stop)


if __name__ == "__main__":
    drain() if sys.argv[1] == "drain" else main(int(sys.argv[1]))
