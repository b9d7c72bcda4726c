"""Real writers and sequencers are killed at every named point, again and again: nothing is lost and nothing is logged twice.

The short form is part of the suite; `python -m tests.audit.soak` kills a thousand and more, on either database.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

from audit.journal import Journal
from tests.audit.crash_points import SEQUENCER, WRITER

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("COUNTERSIGN_KILLS", str(len(SEQUENCER))))
WRITERS = 2
SETTINGS = ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT")


def environment(tmp_path: Path) -> dict[str, str]:
    """Settings for processes of their own: this test's folder and, on PostgreSQL, its database; on SQLite a file."""
    database = {name: str(connection.settings_dict[name]) for name in SETTINGS}
    if connection.vendor == "sqlite":
        database = {"ENGINE": database["ENGINE"], "NAME": str(tmp_path / "crash.sqlite3")}
    crash = {"database": database, "folder": str(tmp_path), "mac_key": settings.AUDIT_MAC_KEY.decode()}
    return {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.audit.crash_settings", "CRASH": json.dumps(crash)}


def python(tmp_path: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        env=environment(tmp_path),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def nursery(tmp_path: Path, kind: str, first: int, kills: int) -> subprocess.Popen[bytes]:
    with (tmp_path / f"{kind}-{first}.log").open("w") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.audit.crash_nursery", kind, str(first), str(kills)],
            env=environment(tmp_path),
            cwd=ROOT,
            stderr=log,
        )


@pytest.mark.story
@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(0)
def test_kills_at_every_named_point_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    python(tmp_path, "django", "migrate", "audit", "-v0")
    python(tmp_path, "django", "audit", "init")
    sequencers = nursery(tmp_path, "sequencers", 0, KILLS)
    first, writers = 0, list[subprocess.Popen[bytes]]()
    killed_writers = 0

    while sequencers.poll() is None or first == 0:
        writers = [nursery(tmp_path, "writers", first + 1_000_000 * number, len(WRITER)) for number in range(WRITERS)]
        first += len(WRITER)
        for writer in writers:
            assert writer.wait() == 0, [path.read_text() for path in tmp_path.glob("writers-*.log")]
        killed_writers += WRITERS * len(WRITER)

    assert sequencers.returncode == 0, (tmp_path / "sequencers-0.log").read_text()
    python(tmp_path, "tests.audit.crash_nursery", "drain")
    compared = python(tmp_path, "tests.audit.crash_check")
    verified = python(tmp_path, "django", "audit", "verify", "--deep", "--processes", "2")
    print(f"{KILLS} sequencers and {killed_writers} writers killed: {compared}{verified}")  # noqa: T201 - the soak shows it
    entries = int(re.match(r"\d+", compared)[0])  # type: ignore[index]  # crash_check prints it first
    assert entries >= KILLS
    assert f"Verified all {entries:,} entries" in verified
    assert max(line.size for line in Journal(tmp_path / "state").lines()) == entries
