"""A bucket with object lock takes each checkpoint once and keeps it; the bucket is moto's, on the loopback."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from audit.anchors.configured import state_journal
from audit.anchors.protocol import SinkFailed, SinkMisconfigured
from audit.anchors.s3 import S3Sink
from audit.journal import Line
from audit.sequencer import Sequencer
from tests.buckets import client_of, s3_server

KEY = "ledger/countersign.test/ledger/00000000000000000600"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture
def s3(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    return client_of(endpoint, monkeypatch)


@pytest.fixture
def sink(s3: Any, endpoint: str, request: pytest.FixtureRequest, ledger: Sequencer) -> S3Sink:
    bucket = f"anchors-{abs(hash(request.node.name)) % 10**12}"
    s3.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    return S3Sink.of("s3", {"bucket": bucket, "endpoint": endpoint, "days": "30"})


def newest() -> Line:
    return state_journal().lines()[-1]


def test_a_checkpoint_is_put_locked_and_read_back(sink: S3Sink, s3: Any) -> None:
    receipt = sink.publish(newest())

    there = s3.head_object(Bucket=sink.bucket, Key=KEY)
    assert there["ObjectLockMode"] == "COMPLIANCE"
    assert there["ObjectLockRetainUntilDate"] > datetime.now(UTC) + timedelta(days=29)
    assert KEY in receipt
    assert [(line.size, line.note) for line in sink.held()] == [(600, newest().note)]


def test_the_same_checkpoint_again_is_harmless_and_makes_no_new_version(sink: S3Sink) -> None:
    first = sink.publish(newest())

    assert sink.publish(newest()) == first
    assert len(sink.held()) == 1


def test_another_checkpoint_over_as_many_entries_is_refused(sink: S3Sink) -> None:
    sink.publish(newest())
    other = Line(1, 600, newest().note + "— another signature\n")

    with pytest.raises(SinkFailed, match="holds another checkpoint over 600 entries"):
        sink.publish(other)


def test_what_a_delete_marker_or_a_newer_version_hides_is_read_all_the_same(sink: S3Sink, s3: Any) -> None:
    sink.publish(newest())
    s3.put_object(Bucket=sink.bucket, Key=KEY, Body=b"something else")
    s3.delete_object(Bucket=sink.bucket, Key=KEY)

    assert {line.note for line in sink.held()} == {newest().note, "something else"}


def test_a_bucket_that_does_not_lock_is_refused(s3: Any, endpoint: str, ledger: Sequencer) -> None:
    s3.create_bucket(Bucket="unlocked")
    sink = S3Sink.of("s3", {"bucket": "unlocked", "endpoint": endpoint})

    with pytest.raises(SinkFailed, match="unlocked"):
        sink.publish(newest())


def test_a_bucket_that_is_not_there_or_not_reachable_is_a_failure_that_may_pass(
    s3: Any, endpoint: str, ledger: Sequencer
) -> None:
    for options in ({"bucket": "nowhere", "endpoint": endpoint}, {"bucket": "a", "endpoint": "http://127.0.0.1:9"}):
        sink = S3Sink.of("s3", options)
        with pytest.raises(SinkFailed):
            sink.publish(newest())
        with pytest.raises(SinkFailed):
            sink.held()


@pytest.mark.parametrize("days", ["0", "-1", "ten", "1.5"])
def test_days_are_a_whole_number_above_zero(days: str) -> None:
    with pytest.raises(SinkMisconfigured, match="whole number above zero"):
        S3Sink.of("s3", {"bucket": "b", "days": days})


def test_an_object_that_lies_there_without_a_lock_does_not_count(sink: S3Sink, s3: Any) -> None:
    s3.put_object(Bucket=sink.bucket, Key=KEY, Body=newest().note.encode())

    with pytest.raises(SinkFailed, match="without locking it"):
        sink.publish(newest())
