"""`python -m tests.audit.soak --kills 1000 --database sqlite|postgres`: the long form of `test_crash`, with its tally.

So many sequencers are killed at the named points in turn, and at least as many writers beside them.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

from tests import services


def main() -> int:
    """Kill as often as asked for; 0 where nothing was lost or repeated."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000, help="sequencers to kill")
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    asked = parser.parse_args()
    command = [sys.executable, "-m", "pytest", "tests/audit/test_crash.py", "-q", "-s", "-p", "no:cacheprovider"]
    command += ["--timeout", "0", "-m", "story"]
    with _database(asked.database) as url:
        environment = {**os.environ, **url, "COUNTERSIGN_KILLS": str(asked.kills)}
        return subprocess.run(command, env=environment, check=False).returncode


@contextlib.contextmanager
def _database(name: str) -> Iterator[dict[str, str]]:
    if name == "sqlite":
        yield {}
        return
    with services.postgres() as url:
        yield {"DATABASE_URL": url}


if __name__ == "__main__":
    sys.exit(main())
