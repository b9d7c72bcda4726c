"""Every write on training jobs: ask for one, repeat it with newer data, cancel, retry, and keep what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from access.permissions import Permission, permit
from access.principal import Principal
from audit.actions import append
from audit.events import Action
from audit.governed import governed
from countersign.proof.manifest import ManifestFile
from datasets.models import DatasetProfile, DatasetVersion, Recipe
from datasets.recipes import RecipeMistakes
from datasets.recipes import parse as parse_recipe
from datasets.store import read_table
from foundation.refusals import Conflict, Forbidden, Invalid
from jobs.actions import enqueue, request_cancel
from jobs.actions import retry as retry_job
from jobs.models import Job
from registry.actions import add_evidence, register_version
from registry.models import ModelVersion, RegisteredModel
from registry.queries import evidence_of
from training.algorithms import Algorithm, SettingMistakes, settings_for
from training.mitigation import MitigationMistake, Plan
from training.models import TrainingJob
from training.request import Answer
from training.splits import SplitMistake
from training.splits import check as check_split

TRAIN_JOB: Final = "training.train"
COMPARE_JOB: Final = "training.compare"
ATTEMPTS: Final = 2


@governed(Action.TRAINING_REQUEST)
def start_training(
    model: RegisteredModel,
    *,
    dataset_version: DatasetVersion,
    recipe: Recipe,
    by: Principal,
    algorithm: str = Algorithm.LOGISTIC_REGRESSION,
    parameters: Mapping[str, Any] | None = None,
    split: Mapping[str, Any] | None = None,
    seed: int = 0,
    cutoff: float = 0.5,
    mitigation: Mapping[str, Any] | None = None,
    retrain_of: ModelVersion | None = None,
    reason: str = "",
) -> TrainingJob:
    """Ask a worker to train `model` on `dataset_version` by `recipe` and to register what comes of it as a version with evidence.

    `split`: `{"train": [periods], "test": [periods]}` or `{"test_fraction": share}`; by default the newest period is held out.
    `mitigation`: see `training.mitigation.Plan.of`; by default nothing is done.
    Raises `Invalid` naming every mistake by field, `Conflict` for an archived model, `Forbidden`.
    """
    model = RegisteredModel.objects.locked(model.pk)
    permit(by, Permission.RUN_TRAINING)
    permit(by, Permission.REGISTER_VERSION, model)
    if by.user is None:
        raise Forbidden("Somebody has to be signed in to train, so that the record can say who did.")
    if model.archived_at is not None:
        raise Conflict(f"{model.name} is archived; nothing new is trained for it.", code="model-archived")
    split = split or default_split(dataset_version)
    settings, plan = _checked(
        model,
        dataset_version,
        recipe,
        algorithm,
        parameters or {},
        split=split,
        seed=seed,
        cutoff=cutoff,
        mitigation=mitigation or {},
        retrain_of=retrain_of,
    )
    job = enqueue(TRAIN_JOB, {"model": model.name}, by=by, max_attempts=ATTEMPTS)
    training = TrainingJob.objects.create(
        job=job,
        model=model,
        dataset_version=dataset_version,
        recipe=recipe,
        algorithm=algorithm,
        parameters=settings,
        split=dict(split),
        seed=seed,
        cutoff=cutoff,
        mitigation=plan.as_dict(),
        retrain_of=retrain_of,
        reason=reason,
        requested_by=by.user,
    )
    append(
        Action.TRAINING_REQUEST,
        by=by,
        obj=training.ledger_ref(),
        after={
            "data": str(dataset_version),
            "data_digest": dataset_version.digest,
            "recipe": str(recipe),
            "algorithm": str(algorithm),
            "mitigation": plan.method,
            "retrain_of": str(retrain_of or ""),
        },
    )
    return training


def retrain(
    version: ModelVersion,
    *,
    dataset_version: DatasetVersion,
    by: Principal,
    split: Mapping[str, Any] | None = None,
    reason: str = "",
) -> TrainingJob:
    """Train again as `version` was trained (recipe, algorithm, settings, seed, cut-off, mitigation), on a newer `dataset_version`.

    Raises `Conflict` when `version` was not trained here, so that nobody guesses what it was made of.
    """
    before = TrainingJob.objects.select_related("recipe", "model").filter(version=version).first()
    if before is None:
        raise Conflict(
            f"{version} was not trained here, so its recipe and settings are unknown. Start a new training instead.",
            code="not-trained-here",
        )
    return start_training(
        before.model,
        dataset_version=dataset_version,
        recipe=before.recipe,
        algorithm=before.algorithm,
        parameters=before.parameters,
        split=split,
        seed=before.seed,
        cutoff=before.cutoff,
        mitigation=before.mitigation,
        retrain_of=version,
        reason=reason,
        by=by,
    )


@governed(Action.TRAINING_CANCEL)
def cancel_training(training: TrainingJob, *, by: Principal) -> TrainingJob:
    """Stop it: a waiting job ends at once, a running one within a second or two. Nothing is registered."""
    _may_steer(training, by)
    training.job = request_cancel(training.job, by=by)
    append(Action.TRAINING_CANCEL, by=by, obj=training.ledger_ref(), after={"state": training.job.state})
    return training


@governed(Action.TRAINING_RETRY)
def retry_training(training: TrainingJob, *, by: Principal) -> TrainingJob:
    """Run a failed or cancelled training once more, as the same job: it can still register one version only."""
    _may_steer(training, by)
    training.job = retry_job(training.job, by=by)
    append(Action.TRAINING_RETRY, by=by, obj=training.ledger_ref(), after={"attempt": training.job.attempt + 1})
    return training


@governed(Action.TRAINING_START)
def note_start(training: TrainingJob, *, attempt: int, worker: str, by: Principal) -> None:
    """Put on record that a worker began with this attempt."""
    append(Action.TRAINING_START, by=by, obj=training.ledger_ref(), after={"attempt": attempt, "worker": worker})


@governed(Action.TRAINING_FINISH)
def keep_result(
    training: TrainingJob, files: Sequence[ManifestFile], answer: Answer, *, code_reference: str, by: Principal
) -> ModelVersion:
    """Register what was trained, once per job, with its evidence; the worker calls it inside its job's last transaction."""
    version = register_version(
        training.model,
        files,
        by=by,
        source=f"runs:/{answer.run_id}/model" if answer.run_id else "",
        run_id=answer.run_id,
        description=training.reason,
        dataset_version=training.dataset_version,
        recipe=training.recipe,
        retrain_of=training.retrain_of,
        trained_by=training.requested_by,
        code_reference=code_reference,
        job_uuid=training.job.uuid,
    )
    for kind, content in answer.evidence.items():
        add_evidence(version, kind, content, by=by, run_id=answer.run_id)
    training.version, training.run_id = version, answer.run_id
    training.save(update_fields=["version", "run_id"])
    append(
        Action.TRAINING_FINISH,
        by=by,
        obj=training.ledger_ref(),
        after={"version": version.number, "run": answer.run_id},
    )
    return version


@governed(Action.COMPARISON_REQUEST)
def compare_again(version: ModelVersion, *, by: Principal) -> Job:
    """Ask a worker to compare `version` with the version that is in production now, on the rows that `version` was judged on.

    Raises `Conflict` where there is nothing to compare: it was not trained here, nothing else is in production, or the newest
    comparison is with that version already; `Forbidden`.
    """
    model = RegisteredModel.objects.locked(version.model_id)
    permit(by, Permission.REGISTER_VERSION, model)
    if not TrainingJob.objects.filter(version=version).exists():
        raise Conflict(
            f"{version} was not trained here, so nobody knows which rows to compare it on.", code="not-trained-here"
        )
    champion = in_production(model)
    if champion is None or champion.pk == version.pk:
        raise Conflict("No other version is in production, so there is nothing to compare with.", code="no-champion")
    newest = evidence_of(version).get("comparison")
    if newest is not None and newest.content.get("against") == champion.number and newest.job_kind:
        raise Conflict(f"It has been compared with version {champion.number} already.", code="comparison-current")
    job = enqueue(COMPARE_JOB, {"version": version.pk, "champion": champion.pk}, by=by, max_attempts=ATTEMPTS)
    append(
        Action.COMPARISON_REQUEST,
        by=by,
        obj=version.ledger_ref(),
        after={"against": champion.number, "job": str(job.uuid)},
    )
    return job


def in_production(model: RegisteredModel) -> ModelVersion | None:
    """The version that production's alias points at."""
    alias = model.aliases.filter(stage__name="production").select_related("version__model").first()
    return alias.version if alias else None


def default_split(data: DatasetVersion) -> dict[str, Any]:
    """Train on all periods but the newest and hold that one out; a quarter of the rows where there are no periods."""
    known = _periods(data)
    return {"train": known[:-1], "test": known[-1:]} if len(known) > 1 else {"test_fraction": 0.25}


def _periods(data: DatasetVersion) -> list[int | str]:
    """The periods in the data, oldest first: from its profile, or from the column itself while a worker is still making that."""
    if not data.dataset.time_column:
        return []
    profile = DatasetProfile.objects.filter(version=data).first()
    if profile is not None:
        texts = [time["group"] for time in profile.content["times"]]
        return [int(text) if text.lstrip("-").isdigit() else text for text in texts]
    column = read_table(data, columns=[data.dataset.time_column])[data.dataset.time_column]
    return sorted(column.dropna().unique().tolist())


def _may_steer(training: TrainingJob, by: Principal) -> None:
    permit(by, Permission.RUN_TRAINING)
    permit(by, Permission.REGISTER_VERSION, training.model)


def _checked(
    model: RegisteredModel,
    data: DatasetVersion,
    recipe: Recipe,
    algorithm: str,
    parameters: Mapping[str, Any],
    *,
    split: Mapping[str, Any],
    seed: int,
    cutoff: float,
    mitigation: Mapping[str, Any],
    retrain_of: ModelVersion | None,
) -> tuple[dict[str, Any], Plan]:
    """The complete settings of the algorithm and the mitigation; raises `Invalid` with one sentence for each field that is wrong."""
    errors: dict[str, str] = {}
    settings: dict[str, Any] = {}
    plan = Plan()
    if recipe.dataset_id != data.dataset_id:
        errors["recipe"] = f"The recipe {recipe} belongs to another dataset than {data}."
    else:
        errors |= _recipe_mistakes(recipe)
    try:
        settings = settings_for(algorithm, parameters, seed=seed)
    except SettingMistakes as error:
        errors["parameters"] = str(error)
    try:
        check_split(split, time_column=data.dataset.time_column)
    except SplitMistake as error:
        errors["split"] = str(error)
    try:
        plan = Plan.of(mitigation, [attribute.name for attribute in data.dataset.declared_schema().protected])
    except MitigationMistake as error:
        errors["mitigation"] = str(error)
    if not 0 < cutoff < 1:
        errors["cutoff"] = "The cut-off must lie between 0 and 1."
    if retrain_of is not None and retrain_of.model_id != model.pk:
        errors["retrain_of"] = f"{retrain_of} is a version of another model."
    if errors:
        raise Invalid(" ".join(errors.values()), code="training-malformed", errors=errors)
    return settings, plan


def _recipe_mistakes(recipe: Recipe) -> dict[str, str]:
    """A recipe was checked when it was added; the dataset's schema may not have changed since, but nothing rests on that."""
    try:
        parse_recipe(recipe.content, recipe.dataset.declared_schema())
    except RecipeMistakes as error:
        return {"recipe": str(error)}
    return {}
