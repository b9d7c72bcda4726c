"""The process that trains: reads a request from a folder, writes model, scores and evidence there, and knows nothing else.

`python -m training.process <folder>`. It has no database and no Django, so that it can be killed at any moment without harm.
Standard output carries one JSON object a line (`step` or `log`); when standard input closes, the worker that started it is gone, and
it ends at once.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import skops.io
from skops.io.exceptions import UntrustedTypesFoundException

from datasets.recipes import Recipe, RecipeMistakes, select_rows
from datasets.recipes import parse as parse_recipe
from datasets.schema import SchemaMistakes, TableSchema
from datasets.schema import parse as parse_schema
from registry.trusted_types import BEYOND_DEFAULT
from training import provenance
from training.algorithms import SettingMistakes
from training.evaluation import Holdout, compare, evaluate
from training.importance import permutation_importance
from training.packaging import UnknownTypes, write_model
from training.pipelines import CannotFit, Fitted, fit, scores
from training.request import MODEL_FOLDER, SCORES_FILE, STEPS, Answer, Champion, Request
from training.splits import Split, SplitMistake, divide
from training.tracking import NotLogged, log_run

REFUSALS: Final = (RecipeMistakes, SchemaMistakes, SettingMistakes, SplitMistake, CannotFit, UnknownTypes)
PACKAGES: Final = ("scikit-learn", "skops", "numpy", "scipy", "pandas", "mlflow")
Evidence = dict[str, Any]


def main(folder: Path) -> None:
    """Carry out the request in `folder`; a refusal is an answer too. Anything unforeseen leaves a traceback and a non-zero exit."""
    _end_with_parent()
    try:
        answer = train(Request.read(folder), folder)
    except REFUSALS as refusal:
        answer = Answer(refused=str(refusal))
    answer.write(folder)


def train(request: Request, folder: Path) -> Answer:
    """Train, evaluate, write and log what `request` asks for; raises one of `REFUSALS` when it cannot be done."""
    _step(0)
    schema = parse_schema(request.schema)
    recipe = parse_recipe(request.recipe, schema)
    frame = select_rows(_read(Path(request.data_path)), recipe)
    split = divide(frame, request.split, time_column=schema.time, target=recipe.target, seed=request.seed)
    _log(f"{len(split.train):,} rows to train on, {len(split.test):,} held out.")
    _step(1)
    fitted = fit(recipe, split.train, request.algorithm, request.settings, seed=request.seed)
    _tell(fitted)
    _step(2)
    score = scores(fitted.pipeline, split.test, recipe)
    holdout = Holdout.of(split.test, score, schema, _intersections(schema))
    evidence = evaluate(holdout, cutoff=request.cutoff, seed=request.seed)
    evidence["metrics"]["holdout"] = {
        "rows": len(split.test),
        "years": list(split.test_periods),
        "dataset": f"{request.dataset} v{request.dataset_version}",
    }
    _step(3)
    evidence["importance"] = permutation_importance(
        fitted.pipeline, split.test, holdout.label, features=recipe.features, seed=request.seed
    )
    _step(4)
    remarks = list(fitted.warnings)
    comparison, remark = _compare(request, split, holdout)
    if comparison:
        evidence["comparison"] = comparison
    remarks += [remark] if remark else []
    _step(5)
    evidence |= _provenance(request, frame, split, recipe, schema)
    untrusted = write_model(
        fitted.pipeline,
        folder / MODEL_FOLDER,
        frame=split.train,
        recipe=recipe,
        schema=schema,
        packages=provenance.requirements(evidence["environment"]["packages"], PACKAGES),
        cutoff=request.cutoff,
    )
    _write_scores(folder / SCORES_FILE, split, holdout, request.cutoff)
    if set(untrusted) - BEYOND_DEFAULT:
        remarks.append(f"The file holds {', '.join(untrusted)}, which the scoring worker does not load on trust.")
    run_id, remark = _track(request, evidence, folder)
    remarks += [remark] if remark else []
    return Answer(evidence=evidence, run_id=run_id, remarks=tuple(remarks))


def _read(path: Path) -> pd.DataFrame:
    with path.open("rb") as file:
        is_parquet = file.read(4) == b"PAR1"
    return pd.read_parquet(path) if is_parquet else pd.read_csv(path)


def _intersections(schema: TableSchema) -> list[tuple[str, str]]:
    """Every pair of protected attributes."""
    return list(itertools.combinations([attribute.name for attribute in schema.protected], 2))


def _compare(request: Request, split: Split, holdout: Holdout) -> tuple[Evidence, str]:
    """The comparison with the champion on the same rows, or the reason why there is none."""
    champion = request.champion
    if champion is None:
        return {}, ""
    try:
        theirs = _champion_scores(champion, split.test)
    except UntrustedTypesFoundException:
        return {}, f"Not compared with version {champion.number}: its file holds types that are not loaded on trust."
    except (KeyError, ValueError) as error:
        return {}, f"Not compared with version {champion.number}: it cannot score these rows ({error})."
    found = compare(holdout, theirs, cutoff=request.cutoff, other_cutoff=champion.cutoff, seed=request.seed)
    return {"against": champion.number, **found}, ""


def _champion_scores(champion: Champion, frame: pd.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    pipeline = skops.io.load(champion.path, trusted=sorted(BEYOND_DEFAULT))
    found: np.ndarray[tuple[int], np.dtype[np.float64]] = pipeline.predict_proba(
        frame[list(pipeline.feature_names_in_)]
    )[:, 1]
    return found


def _provenance(
    request: Request, frame: pd.DataFrame, split: Split, recipe: Recipe, schema: TableSchema
) -> Mapping[str, Evidence]:
    return {
        "environment": provenance.environment(),
        "data": provenance.data_fingerprint(
            dataset=request.dataset,
            version=request.dataset_version,
            digest=request.dataset_digest,
            frame=frame,
            split=split,
            recipe=recipe,
            schema=schema,
        ),
    }


def _write_scores(path: Path, split: Split, holdout: Holdout, cutoff: float) -> None:
    """The scored hold-out, one row each, by the position of the row in the dataset's file."""
    table = pd.DataFrame(
        {
            "row": split.test.index.to_numpy(),
            "label": holdout.label.astype(np.int8),
            "score": holdout.score.astype(np.float64),
            "decision": (holdout.score >= cutoff).astype(np.int8),
        }
    )
    table.to_parquet(path, compression="zstd", index=False)


def _track(request: Request, evidence: Evidence, folder: Path) -> tuple[str, str]:
    """The run's id, or why there is none: a tracking server that is away does not throw the training away."""
    if request.tracking is None:
        return "", ""
    _step(6)
    try:
        return log_run(request, evidence, folder), ""
    except NotLogged as error:
        return "", str(error)


def _tell(fitted: Fitted) -> None:
    rounds = f" in {fitted.iterations} iterations" if fitted.iterations else ""
    _log(f"Fitted{rounds}, {fitted.seconds:.1f} s.")
    for warning in fitted.warnings:
        _log(f"scikit-learn: {warning}")


def _step(number: int) -> None:
    _say({"step": STEPS[number], "done": number, "total": len(STEPS)})


def _log(line: str) -> None:
    _say({"log": line})


def _say(message: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _end_with_parent() -> None:
    """End this process when the pipe from the worker closes, however the worker ended."""

    def watch() -> None:
        while os.read(0, 1024):
            pass
        os._exit(1)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
