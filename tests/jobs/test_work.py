"""A job is performed once, by whoever holds it, whatever is killed in between."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import OperationalError, connection, connections
from django.utils import timezone

from access.models import User
from foundation.refusals import Conflict, Invalid
from jobs import work
from jobs.actions import enqueue, request_cancel, retry
from jobs.models import Job
from tests.conftest import as_


@pytest.fixture
def effects(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What handlers of the kind `test.count` did; the registry of handlers is put back afterwards."""
    done: list[str] = []
    monkeypatch.setattr(work, "_handlers", {})

    @work.handles("test.count")
    def count(attempt: work.Work) -> None:
        attempt.progress("counting", 1, 2)
        with attempt.finishing() as job:
            done.append(f"attempt {attempt.attempt}")
            job.result = {"counted": len(done)}

    return done


def lose_the_worker(job: Job) -> None:
    """What is left behind when a worker dies: a running row whose lease runs out."""
    Job.objects.filter(pk=job.pk).update(lease_until=timezone.now() - timedelta(seconds=1))


@pytest.mark.django_db(transaction=True)
def test_a_job_is_performed_and_says_so(alice: User, effects: list[str]) -> None:
    job = enqueue("test.count", {}, by=as_(alice))

    work.perform(job.uuid, worker="one")

    job.refresh_from_db()
    assert (job.state, job.result, job.fraction) == (Job.State.SUCCEEDED, {"counted": 1}, 1.0)
    assert "counting" in job.log


@pytest.mark.django_db(transaction=True)
def test_a_second_delivery_of_the_same_id_does_nothing(alice: User, effects: list[str]) -> None:
    job = enqueue("test.count", {}, by=as_(alice))
    work.perform(job.uuid, worker="one")

    work.perform(job.uuid, worker="two")

    assert effects == ["attempt 1"]


@pytest.mark.django_db(transaction=True)
def test_a_lost_worker_s_job_is_claimed_again_and_the_old_attempt_leaves_no_trace(
    alice: User, effects: list[str]
) -> None:
    job = enqueue("test.count", {}, by=as_(alice))
    slow = work.claim(job.uuid, worker="slow")
    assert slow is not None
    lose_the_worker(job)

    work.perform(job.uuid, worker="quick")

    with pytest.raises(work.LeaseLost), slow.finishing():
        pytest.fail("the lost attempt must not get this far")
    assert effects == ["attempt 2"]


@pytest.mark.django_db(transaction=True)
def test_a_job_without_attempts_left_fails_with_a_sentence_and_can_be_retried(alice: User, effects: list[str]) -> None:
    job = enqueue("test.count", {}, by=as_(alice), max_attempts=1)
    work.claim(job.uuid, worker="lost")
    lose_the_worker(job)

    work.sweep()

    job.refresh_from_db()
    assert job.state == Job.State.FAILED
    assert job.error == "The worker was lost and no attempt is left. Press Retry to run it again."
    work.perform(retry(job, by=as_(alice)).uuid, worker="two")
    assert effects == ["attempt 2"]


@pytest.mark.django_db(transaction=True)
def test_sweeping_publishes_what_the_broker_lost_once_a_while(
    alice: User, effects: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    published: list[object] = []
    monkeypatch.setattr(work, "publish", published.append)
    job = enqueue("test.count", {}, by=as_(alice))
    Job.objects.filter(pk=job.pk).update(published_at=timezone.now() - timedelta(minutes=1))

    work.sweep()
    work.sweep()

    assert published == [job.uuid]


@pytest.mark.django_db(transaction=True)
def test_cancelling_queued_work_ends_it_and_running_work_stops_at_its_next_check(
    alice: User, effects: list[str]
) -> None:
    queued = enqueue("test.count", {}, by=as_(alice))
    running = enqueue("test.count", {}, by=as_(alice))
    attempt = work.claim(running.uuid, worker="one")
    assert attempt is not None

    request_cancel(queued, by=as_(alice))
    request_cancel(running, by=as_(alice))

    queued.refresh_from_db()
    assert queued.state == Job.State.CANCELLED
    with pytest.raises(work.Cancelled):
        attempt.check()


@pytest.mark.django_db(transaction=True)
def test_finished_work_can_be_neither_cancelled_nor_repeated(alice: User, effects: list[str]) -> None:
    job = enqueue("test.count", {}, by=as_(alice))
    work.perform(job.uuid, worker="one")
    job.refresh_from_db()

    for ask in (request_cancel, retry):
        with pytest.raises(Conflict):
            ask(job, by=as_(alice))


@pytest.mark.django_db(transaction=True)
def test_a_refusal_inside_a_job_is_its_error_and_rolls_its_effects_back(
    alice: User, effects: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    @work.handles("test.refuses")
    def refuses(attempt: work.Work) -> None:
        with attempt.finishing():
            User.objects.filter(pk=alice.pk).update(description="half done")
            raise Invalid("Column `age` is missing from the data.")

    job = enqueue("test.refuses", {}, by=as_(alice))
    work.perform(job.uuid, worker="one")

    job.refresh_from_db()
    alice.refresh_from_db()
    assert (job.state, job.error) == (Job.State.FAILED, "Column `age` is missing from the data.")
    assert alice.description == ""


@pytest.mark.django_db(transaction=True)
def test_only_the_newest_lines_of_the_log_are_kept(alice: User, effects: list[str]) -> None:
    job = enqueue("test.count", {}, by=as_(alice))
    attempt = work.claim(job.uuid, worker="one")
    assert attempt is not None

    for number in range(30):
        attempt.log(f"line {number} " + "x" * 1000)

    job.refresh_from_db()
    assert len(job.log) == work.LOG_TAIL_CHARACTERS
    assert "line 29" in job.log
    assert "line 3 " not in job.log


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_of_eight_workers_at_once_exactly_one_gets_the_job(alice: User, effects: list[str]) -> None:
    assert connection.vendor == "postgresql"
    job = enqueue("test.count", {}, by=as_(alice))
    barrier = threading.Barrier(8)

    def try_it() -> None:
        barrier.wait()
        work.perform(job.uuid, worker=threading.current_thread().name)
        connections.close_all()

    threads = [threading.Thread(target=try_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert effects == ["attempt 1"]


@pytest.mark.django_db(transaction=True)
def test_a_beat_that_a_busy_database_refused_is_followed_by_another(
    alice: User, effects: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    renew, beats, renewed = work.Work.beat, [0], threading.Event()
    monkeypatch.setattr(work, "HEARTBEAT_SECONDS", 0.05)

    def beat(attempt: work.Work) -> bool:
        beats[0] += 1
        if beats[0] == 1:
            raise OperationalError("database is locked")
        renewed.set()
        return renew(attempt)

    monkeypatch.setattr(work.Work, "beat", beat)

    @work.handles("test.wait")
    def wait(attempt: work.Work) -> None:
        effects.append("renewed" if renewed.wait(10) else "lost")

    job = enqueue("test.wait", {}, by=as_(alice))
    work.perform(job.uuid, worker="one")

    assert effects == ["renewed"]
