"""A training with its real process: what it registers, and what happens when it is cancelled, killed or overtaken."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pandas as pd
import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.utils import timezone

from access.models import User
from datasets import store as data_store
from datasets.models import DatasetVersion, Recipe
from jobs import work
from jobs.actions import enqueue, request_cancel
from jobs.models import Job
from registry.models import Evidence, ModelVersion, RegisteredModel
from registry.queries import evidence_of
from registry.store import ArtifactStore
from tests.conftest import as_
from tests.datasets.frames import RECIPE, loans
from tests.datasets.made import parquet, versioned
from training import tasks, worker
from training.actions import COMPARE_JOB, TRAIN_JOB, retrain, start_training
from training.models import TrainingJob

pytestmark = pytest.mark.django_db(transaction=True)

HANDLER = tasks.train  # importing it registers the handler


def finished(training: TrainingJob) -> TrainingJob:
    """The rows as they are now."""
    return TrainingJob.objects.with_everything_shown().get(pk=training.pk)


@contextmanager
def meanwhile(act: Callable[[], None], *, when: Callable[[], bool]) -> Iterator[None]:
    """Do `act` in another thread as soon as `when` holds, while the block runs."""

    def wait() -> None:
        deadline = time.monotonic() + 60
        try:
            while time.monotonic() < deadline and not when():
                time.sleep(0.05)
            act()
        finally:
            connection.close()

    thread = threading.Thread(target=wait)
    thread.start()
    yield
    thread.join()


def folders() -> list[Path]:
    return list((Path(django_settings.VAR_DIR) / "training").glob("*"))


def children() -> list[int]:
    """The training processes that this process has started and that still run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if (
                b"training.process" in path.read_bytes()
                and f"PPid:\t{os.getpid()}\n" in (path.parent / "status").read_text()
            ):
                found.append(int(path.parent.name))
        except OSError:  # it ended while we looked
            continue
    return found


def test_a_training_registers_one_version_with_all_its_evidence(training: TrainingJob, alice: User) -> None:
    abandoned = Path(django_settings.VAR_DIR) / "training" / f"{uuid4()}-2"  # by a worker that was lost for good
    abandoned.mkdir(parents=True)

    work.perform(training.job.uuid, worker="tests")

    done = finished(training)
    assert done.job.state == Job.State.SUCCEEDED, done.job.error
    version = done.version
    assert version is not None
    assert version.job_uuid == done.job.uuid
    assert (version.trained_by, version.dataset_version, version.recipe) == (alice, done.dataset_version, done.recipe)
    assert {file["path"] for file in version.manifest} >= {"MLmodel", "model.skops", "requirements.txt"}
    evidence = evidence_of(version)
    assert set(evidence) >= {
        "metrics",
        "curves",
        "calibration",
        "slices",
        "fairness",
        "importance",
        "environment",
        "data",
    }
    assert set(evidence["fairness"].content["attributes"]) == {"sex", "age"}
    assert evidence["data"].content["digest"] == done.dataset_version.digest
    assert evidence["metrics"].content["metrics"]["auc"]["value"] > 0.6
    assert folders() == [], "nothing is left of the attempt"


def test_the_scored_hold_out_is_kept_so_that_decisions_can_be_recounted(training: TrainingJob) -> None:
    work.perform(training.job.uuid, worker="tests")

    version = finished(training).version
    assert version is not None
    metrics = evidence_of(version)["metrics"].content
    with ArtifactStore().open(metrics["holdout"]["scores"]["digest"], verify=True) as file:
        scores = pd.read_parquet(file)
    frame = data_store.read_table(training.dataset_version)
    held_out = frame[frame["year"] == 2021]
    assert scores["row"].tolist() == held_out.index.tolist()
    assert scores["label"].tolist() == held_out["repaid"].tolist()
    confusion = metrics["confusion"]
    assert confusion["tp"] == int(((scores["label"] == 1) & (scores["decision"] == 1)).sum())


def test_a_retraining_is_compared_with_what_it_follows_on_the_same_rows(training: TrainingJob, alice: User) -> None:
    work.perform(training.job.uuid, worker="tests")
    before = finished(training).version
    assert before is not None
    newer = versioned(training.dataset_version.dataset, alice, seed=3, rows=2_500)

    again = retrain(
        before, dataset_version=newer, split={"train": [2020], "test": [2021]}, reason="Drift", by=as_(alice)
    )
    work.perform(again.job.uuid, worker="tests")

    version = finished(again).version
    assert version is not None
    assert (version.number, version.retrain_of) == (2, before)
    comparison = evidence_of(version)["comparison"].content
    assert comparison["against"] == 1
    assert comparison["decision_flips"]["rows"] == evidence_of(version)["metrics"].content["holdout"]["rows"]
    assert again.parameters == training.parameters


def test_cancelling_kills_the_process_in_the_middle_of_a_step_and_registers_nothing(
    model: RegisteredModel, data: DatasetVersion, recipe: Recipe, alice: User
) -> None:
    slow = {"max_iter": 2000, "max_leaf_nodes": 1024, "min_samples_leaf": 1}
    training = start_training(
        model,
        dataset_version=data,
        recipe=recipe,
        algorithm="hist_gradient_boosting",
        parameters=slow,
        split={"train": [2020], "test": [2021]},
        by=as_(alice),
    )

    def fitting() -> bool:
        return Job.objects.filter(pk=training.job.pk, step="Fit the pipeline").exists()

    with meanwhile(lambda: void(request_cancel(training.job, by=as_(alice))), when=fitting):
        work.perform(training.job.uuid, worker="tests")

    job = finished(training).job
    assert job.state == Job.State.CANCELLED
    assert job.step == "Fit the pipeline", "it did not wait for the fit to end"
    assert "Fitted" not in job.log
    assert children() == []
    assert folders() == []
    assert not ModelVersion.objects.exists()


def test_a_killed_process_is_said_and_registers_nothing(training: TrainingJob) -> None:
    with meanwhile(lambda: os.kill(children()[0], signal.SIGKILL), when=lambda: bool(children())):
        work.perform(training.job.uuid, worker="tests")

    job = finished(training).job
    assert job.state == Job.State.FAILED
    assert "was killed" in job.error
    assert not ModelVersion.objects.exists()


def test_a_worker_that_lost_its_lease_leaves_no_trace_and_the_next_attempt_registers_once(
    training: TrainingJob,
) -> None:
    """The first worker stalls, another claims the job: the first one's process is killed, and one version comes of it."""

    def overtake() -> None:
        Job.objects.filter(pk=training.job.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
        taken = work.claim(training.job.uuid, worker="second")
        assert taken is not None
        assert taken.attempt == 2

    with meanwhile(overtake, when=lambda: bool(children())):
        work.perform(training.job.uuid, worker="first")

    assert children() == []
    assert not ModelVersion.objects.exists()
    second = work.Work(Job.objects.get(pk=training.job.pk))
    version = worker.run(second)
    assert ModelVersion.objects.get() == version
    assert finished(training).job.state == Job.State.SUCCEEDED
    assert Evidence.objects.filter(version=version, kind="metrics").count() == 1


def test_what_cannot_be_fitted_fails_with_the_reason(
    model: RegisteredModel, data: DatasetVersion, recipe: Recipe, alice: User
) -> None:
    from datasets.actions import add_version

    frame = loans(400).assign(repaid=1)
    hopeless = add_version(data.dataset, parquet(frame), filename="loans.parquet", by=as_(alice))
    training = start_training(
        model, dataset_version=hopeless, recipe=recipe, split={"train": [2020], "test": [2021]}, by=as_(alice)
    )

    work.perform(training.job.uuid, worker="tests")

    job = finished(training).job
    assert job.state == Job.State.FAILED
    assert "same repaid" in job.error
    assert "Traceback" not in job.log


def test_damaged_data_are_noticed_before_anything_is_trained(training: TrainingJob) -> None:
    path = data_store.open_version(training.dataset_version)
    path.chmod(0o640)
    data = bytearray(path.read_bytes())
    data[50] ^= 1
    path.write_bytes(bytes(data))

    work.perform(training.job.uuid, worker="tests")

    assert "have changed since it was registered" in finished(training).job.error


def test_the_process_gets_no_secrets(training: TrainingJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERSIGN_SECRET_KEY", "do not tell")
    seen: list[bytes] = []

    def look() -> None:
        seen.append(Path(f"/proc/{children()[0]}/environ").read_bytes())
        os.kill(children()[0], signal.SIGKILL)

    with meanwhile(look, when=lambda: bool(children())):
        work.perform(training.job.uuid, worker="tests")

    assert seen
    assert b"do not tell" not in seen[0]
    assert b"COUNTERSIGN" not in seen[0]


def test_the_recipe_of_these_tests_holds_sex_back(recipe: Recipe) -> None:
    assert recipe.content["steps"][0] == RECIPE["steps"][0]


def void(value: object) -> None:
    """An action's answer that nobody needs."""


def test_a_version_is_compared_again_as_evidence_of_the_worker(training: TrainingJob, alice: User) -> None:
    work.perform(training.job.uuid, worker="tests")
    before = finished(training).version
    assert before is not None
    again = retrain(before, dataset_version=training.dataset_version, split=training.split, by=as_(alice))
    TrainingJob.objects.filter(pk=again.pk).update(parameters={**again.parameters, "C": 0.01}, retrain_of=None)
    work.perform(again.job.uuid, worker="tests")
    version = finished(again).version
    assert version is not None
    assert "comparison" not in evidence_of(version)

    job = enqueue(COMPARE_JOB, {"version": version.pk, "champion": before.pk}, by=as_(alice))
    work.perform(job.uuid, worker="tests")

    job.refresh_from_db()
    assert job.state == Job.State.SUCCEEDED, job.error
    comparison = evidence_of(version)["comparison"]
    assert comparison.job_kind == COMPARE_JOB
    assert comparison.produced_via == f"job:{job.uuid}"
    assert (comparison.content["against"], comparison.content["against_digest"]) == (1, before.digest)
    assert comparison.content["resamples"] >= 1_000
    assert folders() == []


def test_evidence_of_a_training_names_the_kind_of_job(training: TrainingJob) -> None:
    work.perform(training.job.uuid, worker="tests")

    version = finished(training).version
    assert version is not None
    assert {row.job_kind for row in evidence_of(version).values()} == {TRAIN_JOB}
