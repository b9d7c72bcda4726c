"""That what was answered is on record, whole and in order, and that a new segment begins where the old one is full."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from serving.prediction_log import PredictionLog


def records(folder: Path) -> list[int]:
    return [json.loads(line)["n"] for path in sorted(folder.glob("*.log")) for line in path.read_text().splitlines()]


def test_a_batch_is_in_the_file_when_append_returns(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path / "credit")

    log.append({"n": n} for n in range(3))

    assert records(tmp_path / "credit") == [0, 1, 2]


def test_a_full_segment_is_followed_by_another(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, segment_bytes=20)

    for n in range(5):
        log.append([{"n": n}, {"n": n}])

    assert len(list(tmp_path.glob("*.log"))) == 5
    assert records(tmp_path) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_a_restart_never_writes_into_an_old_segment(tmp_path: Path) -> None:
    PredictionLog(tmp_path).append([{"n": 1}])
    before = {path: path.read_bytes() for path in tmp_path.glob("*.log")}

    PredictionLog(tmp_path).append([{"n": 2}])

    assert all(path.read_bytes() == content for path, content in before.items())
    assert records(tmp_path) == [1, 2]


def test_a_log_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    os.close(log._descriptor)

    with pytest.raises(OSError, match="Bad file descriptor"):
        log.append([{"n": 1}])
