"""A real sequencer is killed in the middle of its work, again and again, while real writers write: nothing is lost or logged twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

from audit.journal import Journal

ROOT = Path(__file__).parents[2]
KILLS = 25


def environment(tmp_path: Path) -> dict[str, str]:
    """Settings for processes of their own: this test's folder and, on PostgreSQL, its database; on SQLite a file."""
    database = {
        name: str(connection.settings_dict[name]) for name in ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT")
    }
    if connection.vendor == "sqlite":
        database = {"ENGINE": database["ENGINE"], "NAME": str(tmp_path / "crash.sqlite3")}
    crash = {"database": database, "folder": str(tmp_path), "mac_key": settings.AUDIT_MAC_KEY.decode()}
    return {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.audit.crash_settings", "CRASH": json.dumps(crash)}


def command(tmp_path: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "django", *arguments],
        env=environment(tmp_path),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.story
@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(120)
def test_kills_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    command(tmp_path, "migrate", "audit", "-v0")
    command(tmp_path, "audit", "init")
    writers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.audit.crash_writer", str(number)], env=environment(tmp_path), cwd=ROOT
        )
        for number in range(2)
    ]
    chance = random.Random(7)

    kills = 0
    with (
        (tmp_path / "sequencers.log").open("w") as log,
        subprocess.Popen(
            [sys.executable, "-m", "tests.audit.crash_nursery", str(KILLS)],
            env=environment(tmp_path),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as nursery,
    ):
        for line in nursery.stdout or ():
            time.sleep(0.01 + chance.random() * 0.12)
            os.kill(int(line), signal.SIGKILL)
            kills += 1
    assert nursery.returncode == 0, (tmp_path / "sequencers.log").read_text()
    for writer in writers:
        writer.terminate()
        writer.wait()

    written = sum(int((tmp_path / f"written-{number}").read_text()) for number in range(2))
    subprocess.run(
        [sys.executable, "-m", "tests.audit.crash_nursery", "drain"], env=environment(tmp_path), cwd=ROOT, check=True
    )
    verified = command(tmp_path, "audit", "verify", "--deep", "--processes", "2")

    assert kills == KILLS
    assert written > 200
    assert f"Verified all {written:,} entries" in verified
    assert max(line.size for line in Journal(tmp_path / "state").lines()) == written
