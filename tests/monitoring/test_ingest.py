"""Predictions are counted exactly once, whatever is cut, killed or read twice."""

from __future__ import annotations

from datetime import timedelta

import pyarrow.parquet as pq
import pytest

from access.models import User
from access.principal import Principal
from audit.models import Pending
from foundation.refusals import Conflict, Forbidden
from monitoring import archive
from monitoring import ingest as room
from monitoring.ingest import ingest
from monitoring.models import Ingested, PredictionWindow, Thresholds
from serving.models import Deployment
from tests.conftest import as_
from tests.monitoring.conftest import NOON, Worker, people

TIMER = Principal.system("monitoring")


def total() -> int:
    return sum(PredictionWindow.objects.values_list("rows", flat=True))


def test_predictions_are_counted_into_windows_of_the_workers_clock(deployment: Deployment, worker: Worker) -> None:
    worker.answer(people(30), at=NOON)
    worker.answer(people(20), at=NOON + timedelta(minutes=59))
    worker.answer(people(10), at=NOON + timedelta(hours=1))

    taken = ingest(deployment, by=TIMER)

    assert (taken.rows, taken.unreadable) == (60, 0)
    assert list(PredictionWindow.objects.values_list("starts_at", "rows")) == [
        (NOON, 50),
        (NOON + timedelta(hours=1), 10),
    ]
    first = PredictionWindow.objects.get(rows=50)
    assert sum(first.features["age"]) == sum(first.features["sex"]) == sum(first.score) == 50
    assert first.callers == {"scorer": 50}


def test_reading_twice_counts_once(deployment: Deployment, worker: Worker) -> None:
    worker.answer(people(30))

    ingest(deployment, by=TIMER)
    again = ingest(deployment, by=TIMER)

    assert again.rows == 0
    assert total() == 30


def test_a_torn_line_is_counted_when_it_is_whole(deployment: Deployment, worker: Worker) -> None:
    whole = worker.lines(people(3))
    worker.segment.write_bytes(whole[:-40])
    ingest(deployment, by=TIMER)
    assert total() == 2

    worker.segment.write_bytes(whole)
    ingest(deployment, by=TIMER)

    assert total() == 3


@pytest.mark.parametrize("place", ["archive.write", "Ingested.objects.create", "append"])
def test_an_ingester_that_is_killed_anywhere_leaves_nothing_counted_twice(
    place: str, deployment: Deployment, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*args: object, **kwargs: object) -> None:
        raise Killed

    worker.answer(people(30))
    target = {
        "archive.write": (room, "_grow"),
        "Ingested.objects.create": (Ingested.objects, "create"),
        "append": (room, "append"),
    }
    with monkeypatch.context() as patched:
        patched.setattr(*target[place], die)
        with pytest.raises(Killed):
            ingest(deployment, by=TIMER)
    assert total() == 0
    orphans = set(archive.folder(deployment).glob("*.parquet"))
    assert len(orphans) == 1

    worker.answer(people(5))
    ingest(deployment, by=TIMER)

    assert total() == 35
    kept = {path.name for path in archive.folder(deployment).glob("*.parquet")}
    assert kept == set(Ingested.objects.values_list("archive", flat=True))


def test_of_two_ingesters_only_one_counts(deployment: Deployment, worker: Worker) -> None:
    path = worker.answer(people(30))
    chunk = next(room._chunks(deployment, path))
    mine, theirs = room._prepare(deployment, chunk), room._prepare(deployment, chunk)
    room._count(deployment, mine, by=TIMER)

    with pytest.raises(Conflict):
        room._count(deployment, theirs, by=TIMER)

    assert total() == 30


def test_rows_are_archived_so_that_outcomes_can_find_their_scores(deployment: Deployment, worker: Worker) -> None:
    worker.answer(people(3), scores=[0.1, 0.2, 0.3])
    ingest(deployment, by=TIMER)

    found = archive.find(deployment, {"p2", "p3", "nobody"})

    assert {name: one.score for name, one in found.items()} == {"p2": 0.2, "p3": 0.3}
    (listed,) = Ingested.objects.all()
    table = pq.read_table(archive.folder(deployment) / listed.archive)
    assert table.num_rows == 3
    assert '"age"' in table["row"][0].as_py()


def test_lines_of_unknown_versions_or_other_bytes_are_not_counted(deployment: Deployment, worker: Worker) -> None:
    worker.answer(people(5), version=77)
    worker.answer(people(5), digest="00" * 32)
    worker.answer(people(5))

    taken = ingest(deployment, by=TIMER)

    assert (taken.rows, taken.unreadable) == (5, 10)


def test_rows_that_lack_a_column_are_counted_as_incomplete(deployment: Deployment, worker: Worker) -> None:
    worker.answer(people(7).drop(columns="sex"))

    ingest(deployment, by=TIMER)

    window = PredictionWindow.objects.get()
    assert window.incomplete_rows == 7
    assert window.features["sex"][-1] == 7


def test_the_windows_length_is_the_deployments_own(deployment: Deployment, worker: Worker) -> None:
    Thresholds.objects.update(window_seconds=10)
    worker.answer(people(5), at=NOON)
    worker.answer(people(5), at=NOON + timedelta(seconds=11))

    ingest(deployment, by=TIMER)

    assert [one.seconds for one in PredictionWindow.objects.all()] == [10, 10]


def test_a_caller_cannot_fill_the_window_with_names(deployment: Deployment, worker: Worker) -> None:
    for number in range(30):
        worker.answer(people(1), caller=f"caller-{number}")

    ingest(deployment, by=TIMER)

    callers = PredictionWindow.objects.get().callers
    assert len(callers) == 21
    assert callers["(others)"] == 10


def test_what_was_counted_is_on_record(deployment: Deployment, worker: Worker) -> None:
    worker.answer(people(5))
    before = Pending.objects.count()

    ingest(deployment, by=TIMER)

    payload = bytes(Pending.objects.order_by("-pk")[0].payload)
    assert Pending.objects.count() == before + 1
    assert b'"action":"predictions.count"' in payload
    assert b'"kind":"system"' in payload


def test_nobody_counts_who_may_not_watch(deployment: Deployment, worker: Worker, scorer: User) -> None:
    worker.answer(people(5))

    with pytest.raises(Forbidden):
        ingest(deployment, by=as_(scorer))

    assert total() == 0
