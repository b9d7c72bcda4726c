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
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import skops.io
from skops.io.exceptions import UntrustedTypesFoundException

from datasets.profile import positive
from datasets.recipes import Recipe, RecipeMistakes, select_rows
from datasets.recipes import parse as parse_recipe
from datasets.schema import SchemaMistakes, TableSchema
from datasets.schema import parse as parse_schema
from registry.trusted_types import BEYOND_DEFAULT
from training import provenance
from training.algorithms import SettingMistakes
from training.evaluation import Holdout, compare, evaluate, summary
from training.importance import permutation_importance
from training.mitigation import (
    FOLD,
    Choice,
    MitigationMistake,
    Plan,
    choose_cutoff,
    joint_groups,
    row_weights,
    weight_table,
)
from training.mitigation import weights as reweigh
from training.packaging import UnknownTypes, write_model
from training.pipelines import CannotFit, Fitted, fit, scores
from training.request import MODEL_FOLDER, SCORES_FILE, STEPS, Answer, Champion, Request
from training.splits import Split, SplitMistake, divide
from training.tracking import NotLogged, log_run

REFUSALS: Final = (
    RecipeMistakes,
    SchemaMistakes,
    SettingMistakes,
    SplitMistake,
    MitigationMistake,
    CannotFit,
    UnknownTypes,
)
PACKAGES: Final = ("scikit-learn", "skops", "numpy", "scipy", "pandas", "mlflow")
Evidence = dict[str, Any]


def main(folder: Path) -> None:
    """Carry out the request in `folder`; a refusal is an answer too. Anything unforeseen leaves a traceback and a non-zero exit."""
    _end_with_parent()
    try:
        request = Request.read(folder)
        answer = recompare(request) if request.candidate else train(request, folder)
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
    plan = Plan.of(request.mitigation, [attribute.name for attribute in schema.protected])
    weights = row_weights(split.train, plan, schema)
    fitted = fit(recipe, split.train, request.algorithm, request.settings, seed=request.seed, weights=weights)
    _tell(fitted)
    choice = _choose_cutoff(request, plan, split, recipe, schema)
    cutoff = choice.chosen if choice else request.cutoff
    _step(2)
    score = scores(fitted.pipeline, split.test, recipe)
    holdout = Holdout.of(split.test, score, schema, _intersections(schema))
    evidence = evaluate(holdout, cutoff=cutoff, seed=request.seed)
    evidence["fairness"]["mitigation"] = _mitigation(request, plan, choice, fitted, holdout, split, recipe, schema)
    evidence["metrics"]["holdout"] = {
        "rows": len(split.test),
        "years": list(split.test_periods),
        "dataset": f"{request.dataset} v{request.dataset_version}",
    }
    evidence["metrics"]["training"] = {"algorithm": request.algorithm, "settings": dict(request.settings)}
    _step(3)
    evidence["importance"] = permutation_importance(
        fitted.pipeline, split.test, holdout.label, features=recipe.features, seed=request.seed
    )
    _step(4)
    remarks = list(fitted.warnings)
    comparison, remark = _compare(request, cutoff, split, holdout)
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
        cutoff=cutoff,
    )
    _write_scores(folder / SCORES_FILE, split, holdout, cutoff)
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


def _choose_cutoff(request: Request, plan: Plan, split: Split, recipe: Recipe, schema: TableSchema) -> Choice | None:
    """The cut-off chosen on a quarter of the training rows by a model that learned from the others; None where none is to be chosen."""
    if not plan.threshold:
        return None
    parts = divide(
        split.train, {"test_fraction": FOLD}, time_column=schema.time, target=recipe.target, seed=request.seed
    )
    weights = row_weights(parts.train, plan, schema)
    fitted = fit(recipe, parts.train, request.algorithm, request.settings, seed=request.seed, weights=weights)
    aside = Holdout.of(parts.test, scores(fitted.pipeline, parts.test, recipe), schema)
    choice = choose_cutoff(
        aside.label,
        aside.score,
        {name: aside.groups[name] for name in plan.threshold},
        asked=request.cutoff,
        max_accuracy_loss=plan.max_accuracy_loss,
    )
    _log(
        f"Cut-off {choice.chosen:.2f} chosen on {choice.rows:,} training rows set aside; asked for was {choice.asked:.2f}."
    )
    return choice


def _mitigation(
    request: Request,
    plan: Plan,
    choice: Choice | None,
    fitted: Fitted,
    holdout: Holdout,
    split: Split,
    recipe: Recipe,
    schema: TableSchema,
) -> Evidence:
    """What was done against unequal treatment, and the same held-out rows judged without it."""
    record: Evidence = {"method": plan.method, "attributes": plan.attributes, "parameters": plan.as_dict()}
    if plan.method == "none":
        return record
    plain = fitted
    if plan.reweighing:
        label, groups = positive(split.train[schema.label]), joint_groups(split.train, plan.reweighing, schema)
        record["weights"] = weight_table(label, groups, reweigh(label, groups))
        plain = fit(recipe, split.train, request.algorithm, request.settings, seed=request.seed)
    if choice:
        record["threshold"] = choice.as_dict()
    without = replace(holdout, score=scores(plain.pipeline, split.test, recipe))
    after = choice.chosen if choice else request.cutoff
    record["before"] = summary(without, cutoff=request.cutoff, seed=request.seed)
    record["after"] = summary(holdout, cutoff=after, seed=request.seed)
    return record


def recompare(request: Request) -> Answer:
    """Compare the candidate with the champion on the rows that the candidate was judged on: nothing is trained or written.

    Raises one of `REFUSALS` when either cannot score them.
    """
    candidate, champion = request.candidate, request.champion
    if candidate is None or champion is None:
        raise CannotFit("A comparison needs two versions.")
    _step(0)
    schema = parse_schema(request.schema)
    recipe = parse_recipe(request.recipe, schema)
    frame = select_rows(_read(Path(request.data_path)), recipe)
    split = divide(frame, request.split, time_column=schema.time, target=recipe.target, seed=request.seed)
    _step(2)
    try:
        score = _champion_scores(candidate, split.test)
    except UntrustedTypesFoundException as error:
        raise CannotFit(f"Version {candidate.number} holds types that are not loaded on trust.") from error
    except (KeyError, ValueError) as error:
        raise CannotFit(f"Version {candidate.number} cannot score these rows ({error}).") from error
    _step(4)
    comparison, remark = _compare(request, candidate.cutoff, split, Holdout.of(split.test, score, schema))
    if not comparison:
        raise CannotFit(remark)
    return Answer(evidence={"comparison": comparison})


def _compare(request: Request, cutoff: float, split: Split, holdout: Holdout) -> tuple[Evidence, str]:
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
    found = compare(holdout, theirs, cutoff=cutoff, other_cutoff=champion.cutoff, seed=request.seed)
    rows = {"dataset": f"{request.dataset} v{request.dataset_version}", "years": list(split.test_periods)}
    return {"against": champion.number, "against_digest": champion.digest, "holdout": rows, **found}, ""


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
