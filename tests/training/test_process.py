"""The process that trains, on its own: the answer it leaves, and that it ends when nobody holds its pipe any more."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import skops.io

from tests.datasets.frames import RECIPE, SCHEMA, loans
from training.process import train
from training.request import MODEL_FOLDER, SCORES_FILE, Answer, Champion, Request

ROOT = Path(__file__).resolve().parents[2]


def asked(folder: Path, **changes: Any) -> Request:
    """A small request whose data lie in `folder`."""
    path = folder / "loans.parquet"
    loans(1_500).to_parquet(path, index=False)
    values: dict[str, Any] = {
        "data_path": str(path),
        "dataset": "loans",
        "dataset_version": 1,
        "dataset_digest": "0" * 64,
        "schema": SCHEMA,
        "recipe": RECIPE,
        "algorithm": "logistic_regression",
        "settings": {},
        "split": {"train": [2020], "test": [2021]},
        "seed": 1,
        "cutoff": 0.5,
    }
    return Request(**(values | changes))


def test_requests_and_answers_survive_their_files(tmp_path: Path) -> None:
    request = asked(tmp_path, champion=Champion(3, "x.skops", 0.4))
    request.write(tmp_path)
    answer = Answer(evidence={"metrics": {}}, run_id="r", remarks=("one",))
    answer.write(tmp_path)

    assert Request.read(tmp_path) == request
    assert Answer.read(tmp_path) == answer


def test_the_model_it_writes_is_skops_without_a_type_on_trust_and_holds_no_persons_row(tmp_path: Path) -> None:
    train(asked(tmp_path), tmp_path)

    model = tmp_path / MODEL_FOLDER
    assert skops.io.get_untrusted_types(file=model / "model.skops") == []
    example = json.loads((model / "input_example.json").read_text())
    assert len(example["data"]) == 1
    assert example["columns"] == ["age", "income", "region"]
    assert all("==" in line for line in (model / "requirements.txt").read_text().split())


def test_a_champion_that_is_not_loaded_on_trust_is_a_remark_and_not_a_failure(tmp_path: Path) -> None:
    forest = tmp_path / "forest"
    forest.mkdir()
    train(asked(tmp_path, algorithm="random_forest", settings={"n_estimators": 10}), forest)

    answer = train(asked(tmp_path, champion=Champion(1, str(forest / MODEL_FOLDER / "model.skops"), 0.5)), tmp_path)

    assert "comparison" not in answer.evidence
    assert any("not loaded on trust" in remark for remark in answer.remarks)


def test_a_forest_says_that_it_is_not_served(tmp_path: Path) -> None:
    answer = train(asked(tmp_path, algorithm="random_forest", settings={"n_estimators": 10}), tmp_path)

    assert any("scoring worker does not load" in remark for remark in answer.remarks)
    assert (tmp_path / SCORES_FILE).is_file()


def test_a_refusal_is_an_answer(tmp_path: Path) -> None:
    asked(tmp_path, split={"train": [1999], "test": [2021]}).write(tmp_path)

    code = _run(tmp_path)

    assert code == 0
    assert "no rows for year 1999" in Answer.read(tmp_path).refused


def test_it_ends_when_the_worker_is_gone(tmp_path: Path) -> None:
    asked(tmp_path, algorithm="hist_gradient_boosting", settings={"max_iter": 2000}).write(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-m", "training.process", str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.readline()  # it has begun

    process.stdin.close()

    started = time.monotonic()
    assert process.wait(timeout=20) == 1
    assert time.monotonic() - started < 5
    process.stdout.close()
    with pytest.raises(FileNotFoundError):
        Answer.read(tmp_path)


def _run(folder: Path) -> int:
    """Run the process to its end, holding its pipe."""
    with subprocess.Popen(
        [sys.executable, "-m", "training.process", str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    ) as process:
        return process.wait(timeout=60)
