"""Asks whether a locked dependency has a published advisory: `python -m tests.advisories` (pip-audit, hashes required).

An advisory fails the run and is named. What could not be asked about (on a machine without the internet: everything) is said in one line
and nothing is claimed of it; `--required` fails then too, for a pipeline that has the internet and counts on the answer. pip-audit's own
`--strict` would end at the first package that it cannot ask about, and hide an advisory on the next.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

LOCKS: Final = ("requirements/base.txt", "requirements/anchors.txt")
PATIENCE: Final = 240  # seconds for one lock file; the service is asked once for each package


def asked(lock: str) -> tuple[list[str], str]:
    """The advisories on the lock file's packages, a line each, and why the service could not be asked about all of them ("": it was)."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [
            sys.executable,
            "-m",
            "pip_audit",
            "--require-hashes",
            "--disable-pip",
            "--timeout",
            "10",
        ]
        try:
            done = subprocess.run(
                [*command, "--progress-spinner", "off", "-r", lock, "-f", "json", "-o", str(report)],
                check=False,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
            )
        except subprocess.TimeoutExpired:
            return [], f"no answer within {PATIENCE} seconds"
        if not report.exists() or not report.stat().st_size:
            return [], (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
        answer = json.loads(report.read_text())
        return named(answer), unasked(answer)


def named(report: dict[str, Any]) -> list[str]:
    """A line for each advisory in pip-audit's JSON report."""
    return [
        f"{package['name']} {package['version']}: {advisory['id']}, mended in {', '.join(advisory['fix_versions']) or 'no release'}"
        for package in report["dependencies"]
        for advisory in package.get("vulns", ())
    ]


def unasked(report: dict[str, Any]) -> str:
    """How many of the packages could not be asked about, and why the first could not; "" where all were."""
    packages = report["dependencies"]
    reasons = [package["skip_reason"] for package in packages if "skip_reason" in package]
    return f"{len(reasons)} of {len(packages)} packages, first {reasons[0]}" if reasons else ""


def main(arguments: Sequence[str]) -> int:
    """Asks about every lock file; 1 with an advisory, or with `--required` and no answer."""
    answers = [asked(lock) for lock in LOCKS]
    advisories = sorted({line for found, _ in answers for line in found})
    silent = [why for _, why in answers if why]
    for line in advisories:
        print("Advisory:", line)  # noqa: T201 - the answer of this command
    if silent:
        print(f"Advisories were NOT looked up: {silent[0][:200]}")  # noqa: T201 - the answer of this command
    elif not advisories:
        print("No advisory is published on any locked dependency.")  # noqa: T201 - the answer of this command
    return int(bool(advisories) or (bool(silent) and "--required" in arguments))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
