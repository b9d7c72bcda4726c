"""What a training process is told, and what it answers: the two JSON files between a worker and the process that it starts. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

REQUEST_FILE: Final = "request.json"
ANSWER_FILE: Final = "answer.json"
MODEL_FOLDER: Final = "model"
SCORES_FILE: Final = "scores.parquet"
SKOPS_FILE: Final = "model.skops"
JOB_TAG: Final = "countersign.job"
STEPS: Final = (
    "Read the data",
    "Fit the pipeline",
    "Evaluate on held-out rows",
    "Measure feature importance",
    "Compare with the version before",
    "Write the model",
    "Log the run to MLflow",
)


@dataclass(frozen=True)
class Champion:
    """A version that is scored for a comparison: its number, its skops file (verified by the worker), its cut-off and its digest."""

    number: int
    path: str
    cutoff: float
    digest: str = ""


@dataclass(frozen=True)
class Tracking:
    """Where the run is logged. The token travels in the environment, never in a file."""

    uri: str
    experiment: str
    run_name: str
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """One training: which bytes, which schema and recipe, which algorithm with which settings, and how to judge the result.

    With a `candidate` nothing is trained: that version is compared with the champion on the rows that it was judged on.
    """

    data_path: str
    dataset: str
    dataset_version: int
    dataset_digest: str
    schema: Mapping[str, Any]
    recipe: Mapping[str, Any]
    algorithm: str
    settings: Mapping[str, Any]
    split: Mapping[str, Any]
    seed: int
    cutoff: float
    mitigation: Mapping[str, Any] = field(default_factory=dict)
    candidate: Champion | None = None
    champion: Champion | None = None
    tracking: Tracking | None = None

    def write(self, folder: Path) -> None:
        """Put the request into `folder`, where the process looks for it."""
        (folder / REQUEST_FILE).write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, folder: Path) -> Request:
        """The request that `write` left in `folder`."""
        data = json.loads((folder / REQUEST_FILE).read_text())
        candidate, champion, tracking = data.pop("candidate"), data.pop("champion"), data.pop("tracking")
        return cls(
            **data,
            candidate=Champion(**candidate) if candidate else None,
            champion=Champion(**champion) if champion else None,
            tracking=Tracking(**tracking) if tracking else None,
        )


@dataclass(frozen=True)
class Answer:
    """What came of it: evidence by kind, the MLflow run, and remarks for the log; or why it was refused."""

    evidence: Mapping[str, Any] = field(default_factory=dict)
    run_id: str = ""
    remarks: tuple[str, ...] = ()
    refused: str = ""

    def write(self, folder: Path) -> None:
        """Put the answer into `folder`, whole or not at all."""
        part = folder / (ANSWER_FILE + ".part")
        part.write_text(json.dumps(asdict(self), allow_nan=False))
        part.rename(folder / ANSWER_FILE)

    @classmethod
    def read(cls, folder: Path) -> Answer:
        """The answer in `folder`; raises `FileNotFoundError` when the process did not get that far."""
        data = json.loads((folder / ANSWER_FILE).read_text())
        return cls(data["evidence"], data["run_id"], tuple(data["remarks"]), data["refused"])
