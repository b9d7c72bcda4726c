"""The long contest on a PostgreSQL of its own: `python -m tests.reviews.soak --rounds 100 --contenders 100`.

Prints how many contests had other than one winner (there must be none), what the losers were told, and how long it took.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from tests import services


def main() -> int:
    """Start PostgreSQL and run the contest there with as many rounds and contenders as asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--contenders", type=int, default=100)
    asked = parser.parse_args()
    command = [sys.executable, "-m", "pytest", "tests/reviews/test_races.py", "-q", "-s", "-m", "postgres"]
    command += ["-k", "test_of_many_contenders", "-p", "no:cacheprovider", "--timeout", "0"]
    with services.postgres() as url:
        environment = {
            **os.environ,
            "DATABASE_URL": url,
            "COUNTERSIGN_CONTEST_ROUNDS": str(asked.rounds),
            "COUNTERSIGN_CONTENDERS": str(asked.contenders),
        }
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
