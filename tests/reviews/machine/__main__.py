"""`python -m tests.reviews.machine --walks 10000`: the long form of the random walk, on as many processes as asked for, with its tally."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> int:
    """Walk; prints what the walks did and refused, and returns 1 where a rule was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--walks", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    wanted = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        reports = [Path(folder) / f"{number}.json" for number in range(wanted.processes)]
        running = [_start(report, wanted.walks // wanted.processes + 1, wanted.steps) for report in reports]
        failed = [process.wait() for process in running]
        told = [json.loads(report.read_text(encoding="utf-8")) for report in reports if report.exists()]
    walks, steps = (sum(one[name] for one in told) for name in ("walks", "steps"))
    print(f"{walks:,} walks, {steps:,} steps in {time.monotonic() - begun:,.0f} s")  # noqa: T201 - a command's output
    for kind in ("done", "refused"):
        names = sorted({name for one in told for name in one[kind]})
        counts = ", ".join(f"{name} {sum(one[kind].get(name, 0) for one in told):,}" for name in names)
        print(f"{kind}: {counts}")  # noqa: T201 - a command's output
    return 1 if any(failed) or len(told) < wanted.processes else 0


def _start(report: Path, walks: int, steps: int) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "COUNTERSIGN_WALKS": str(walks),
        "COUNTERSIGN_STEPS": str(steps),
        "COUNTERSIGN_WALKS_REPORT": str(report),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/reviews/test_state_machine.py"]
    return subprocess.Popen(command, env=environment)


if __name__ == "__main__":
    raise SystemExit(main())
