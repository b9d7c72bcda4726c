"""A Celery worker that is killed in the middle of a training: another one does the job again, once, and nothing is there twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from celery import Celery
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from audit.models import Pending
from jobs import work
from jobs.models import Job
from registry.models import Evidence, ModelVersion
from tests.training.conftest import _no_tracking, data, recipe, training
from training.models import TrainingJob

__all__ = ["_no_tracking", "data", "recipe", "training"]

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE_SECONDS = 90.0


class Workers:
    """Starts real Celery workers on the test's database, and puts jobs where they look for them."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        queue = folder / "queue"
        queue.mkdir()
        told = {
            "database": connection.settings_dict["NAME"],
            "artifacts": str(settings.ARTIFACT_DIR),
            "datasets": str(settings.DATASET_DIR),
            "queue": str(queue),
        }
        self.folder, self.started = folder, list[subprocess.Popen[bytes]]()
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.flows.worker_settings",
            "WORKER_OF_A_TEST": json.dumps(told),
        }
        self.broker = Celery(
            broker="filesystem://",
        )
        self.broker.conf.broker_transport_options = {
            "data_folder_in": str(queue),
            "data_folder_out": str(queue),
            "control_folder": f"{queue}-control",
        }

    def start(self) -> subprocess.Popen[bytes]:
        """One more worker."""
        with (self.folder / f"worker-{len(self.started)}.log").open("wb") as log:
            process = subprocess.Popen(
                [*(sys.executable, "-m", "celery", "-A", "config.celery", "worker"), "--pool=solo", "--loglevel=INFO"],
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        self.started.append(process)
        return process

    def publish(self, uuid: object) -> None:
        """As `jobs.publishing` does, to the test's broker."""
        self.broker.send_task("jobs.perform", args=[str(uuid)])

    def stop(self) -> None:
        """End what still runs, and close the broker."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait()
        self.broker.close()


@pytest.fixture
def workers(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workers]:
    made = Workers(settings, tmp_path)
    monkeypatch.setattr("jobs.work.publish", made.publish)
    yield made
    made.stop()


def wait_for(condition: Callable[[], bool], workers: Workers, what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        logs = "\n".join(path.read_text() for path in workers.folder.glob("worker-*.log"))
        assert time.monotonic() < deadline, f"{what} did not come about.\n{logs}"
        time.sleep(0.01)


def a_minute_later(job: Job) -> None:
    """Nobody has renewed the lease since the worker died, and the sweeper comes by."""
    past = timezone.now() - timedelta(minutes=1)
    Job.objects.filter(pk=job.pk).update(lease_until=past, published_at=past)
    work.sweep()


def kill_in_the_middle(workers: Workers, job: Job) -> None:
    """Start a worker and SIGKILL it as soon as its training process has taken a step."""
    process = workers.start()
    under_way = Job.objects.filter(pk=job.pk, state=Job.State.RUNNING).exclude(step="")
    wait_for(lambda: under_way.all().exists(), workers, "The training's first step")
    process.send_signal(signal.SIGKILL)
    process.wait()
    Job.objects.filter(pk=job.pk).update(step="")


def test_a_killed_worker_s_training_is_done_again_once_and_nothing_is_there_twice(
    training: TrainingJob, workers: Workers
) -> None:
    job = training.job
    workers.publish(job.uuid)

    kill_in_the_middle(workers, job)

    assert Job.objects.get(pk=job.pk).state == Job.State.RUNNING, "its row still says so, until the lease has run out"
    assert not ModelVersion.objects.exists()
    a_minute_later(job)
    workers.start()
    wait_for(lambda: Job.objects.get(pk=job.pk).is_finished, workers, "The end of the job")
    ended = Job.objects.get(pk=job.pk)
    assert (ended.state, ended.attempt) == (Job.State.SUCCEEDED, 2), ended.error
    version = ModelVersion.objects.get()
    assert version.number == 1
    assert version.job_uuid == job.uuid
    kinds = list(Evidence.objects.filter(version=version).values_list("kind", flat=True))
    assert len(kinds) == len(set(kinds))
    registered = [row for row in Pending.objects.all() if b'"version.register"' in bytes(row.payload)]
    assert len(registered) == 1


def test_a_training_that_loses_two_workers_ends_with_a_sentence(training: TrainingJob, workers: Workers) -> None:
    job = training.job
    workers.publish(job.uuid)
    kill_in_the_middle(workers, job)
    a_minute_later(job)
    kill_in_the_middle(workers, job)

    a_minute_later(job)

    ended = Job.objects.get(pk=job.pk)
    assert (ended.state, ended.attempt) == (Job.State.FAILED, 2)
    assert "no attempt is left" in ended.error
    assert not ModelVersion.objects.exists()
