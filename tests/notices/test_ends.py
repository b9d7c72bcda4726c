"""Whoever asked for long work is told when it is over."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from access.models import User
from config.celery import app
from datasets.actions import PROFILE_JOB
from jobs import work as jobs_work
from jobs.actions import enqueue, request_cancel, retry
from jobs.models import Job
from jobs.work import Work, handles, perform, sweep
from notices import ends
from notices.ends import Words, in_words
from notices.models import Notification
from registry.models import RegisteredModel
from tests.conftest import as_
from training.actions import TRAIN_JOB

KIND, SILENT, ABOUT = "tests.notices", "tests.notices.silent", "tests.notices.about"


@pytest.fixture
def kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two kinds of work: one is put into words, one is not."""
    monkeypatch.setattr(jobs_work, "_handlers", dict(jobs_work._handlers))
    monkeypatch.setattr(ends, "_words", dict(ends._words))

    def handler(work: Work) -> None:
        if work.payload.get("fails"):
            raise RuntimeError("no data")
        if work.payload.get("what") == "cancelled":
            request_cancel(work.job, by=work.principal)
            work.check()

    handles(KIND)(handler)
    handles(SILENT)(handler)
    handles(ABOUT)(handler)
    in_words(KIND)(lambda job: Words(f"Counting {job.payload['what']}", "/datasets/"))


def done(kind: str, alice: User, **payload: object) -> Job:
    job = enqueue(kind, {"what": "beans", **payload}, by=as_(alice), max_attempts=1)
    perform(job.uuid, worker="tests")
    job.refresh_from_db()
    return job


@pytest.mark.usefixtures("kinds")
def test_success_is_told_with_the_page(alice: User) -> None:
    job = done(KIND, alice)

    only = Notification.objects.get()
    assert (only.person, only.title, only.link) == (alice, "Counting beans is done", "/datasets/")
    assert only.event == f"job:{job.uuid}:1"


@pytest.mark.usefixtures("kinds")
def test_failure_is_told_with_the_reason_and_again_when_it_is_tried_again(alice: User) -> None:
    job = done(KIND, alice, fails=True)
    retry(job, by=as_(alice))
    perform(job.uuid, worker="tests")

    assert list(Notification.objects.values_list("title", flat=True)) == ["Counting beans failed"] * 2
    assert "no data" in Notification.objects.latest("pk").body


@pytest.mark.usefixtures("kinds")
def test_work_whose_worker_was_lost_is_told_too(alice: User) -> None:
    job = enqueue(KIND, {"what": "beans"}, by=as_(alice), max_attempts=1)
    Job.objects.filter(pk=job.pk).update(
        state=Job.State.RUNNING, attempt=1, lease_until=timezone.now() - timedelta(minutes=1)
    )

    sweep()

    assert "worker was lost" in Notification.objects.get().body


@pytest.mark.usefixtures("kinds")
def test_whoever_may_not_see_the_model_any_more_is_told_nothing(model: RegisteredModel, alice: User, bob: User) -> None:
    in_words(ABOUT)(lambda job: Words("Training of credit", "/training/", about=model))
    bob.role_assignments.all().delete()

    done(ABOUT, bob)
    done(ABOUT, alice)

    assert [one.person for one in Notification.objects.all()] == [alice]


@pytest.mark.usefixtures("kinds")
def test_whoever_cancels_knows(alice: User) -> None:
    waiting, running = (enqueue(KIND, {"what": what}, by=as_(alice)) for what in ("beans", "cancelled"))
    request_cancel(waiting, by=as_(alice))
    perform(running.uuid, worker="tests")

    running.refresh_from_db()
    assert running.state == Job.State.CANCELLED
    assert not Notification.objects.exists()


@pytest.mark.usefixtures("kinds")
def test_work_that_nobody_waits_for_is_not_told_of(alice: User) -> None:
    done(SILENT, alice)

    assert not Notification.objects.exists()


def test_trainings_and_profiles_are_put_into_words() -> None:
    app.loader.import_default_modules()

    assert {PROFILE_JOB, TRAIN_JOB} <= set(ends._words)
