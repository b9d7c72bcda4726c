"""Each writer counts its entries and names its last committed one, through rollbacks, savepoints, threads and forks."""

from __future__ import annotations

import os
import threading

import orjson
import pytest
from django.db import connection, transaction

from audit import writer
from audit.actions import append, in_one_group
from audit.events import Action
from audit.models import Pending
from tests.audit.conftest import ALICE, CREDIT, happen

pytestmark = pytest.mark.django_db(transaction=True)


def links() -> list[tuple[int, int]]:
    """Number and previous number of every entry, in order."""
    payloads = Pending.objects.order_by("id").values_list("payload", flat=True)
    return [(fields["n"], fields["p"]) for fields in (orjson.loads(bytes(payload)) for payload in payloads)]


def happen_inside() -> None:
    append(Action.MODEL_UPDATE, by=ALICE, obj=CREDIT)


def test_the_first_entry_has_none_before_it() -> None:
    happen(3)

    assert links() == [(0, -1), (1, 0), (2, 1)]


def test_a_rolled_back_entry_is_not_named_as_the_one_before() -> None:
    happen()
    with transaction.atomic():
        happen_inside()
        transaction.set_rollback(True)
    happen()

    assert links() == [(0, -1), (2, 0)]


def test_entries_of_one_transaction_name_each_other() -> None:
    with transaction.atomic():
        happen_inside()
        happen_inside()

    assert links() == [(0, -1), (1, 0)]


def test_entries_of_a_group_name_each_other_and_none_that_was_undone() -> None:
    happen()
    with in_one_group():
        happen_inside()
        with transaction.atomic():
            happen_inside()
            transaction.set_rollback(True)
        with transaction.atomic():
            happen_inside()
        with in_one_group():
            happen_inside()
    happen()

    assert links() == [(0, -1), (1, 0), (3, 1), (4, 3), (5, 4)]


def happen_halfway() -> None:
    with in_one_group():
        happen_inside()
        raise ValueError("halfway")


def happen_elsewhere() -> None:
    happen()
    connection.close()


def test_a_group_that_is_undone_writes_nothing() -> None:
    with pytest.raises(ValueError, match="halfway"):
        happen_halfway()
    with in_one_group():
        happen_inside()
        transaction.set_rollback(True)
    happen()

    assert links() == [(2, -1)]


def test_two_threads_have_a_group_each() -> None:
    with in_one_group():
        happen_inside()
        if connection.vendor == "postgresql":  # SQLite would make it wait for the end of our transaction
            other = threading.Thread(target=happen_elsewhere)
            other.start()
            other.join()
            assert links() == [(0, -1)]

    assert len(links()) == (2 if connection.vendor == "postgresql" else 1)


def test_an_entry_of_a_savepoint_that_was_undone_is_not_named() -> None:
    with transaction.atomic():
        happen_inside()
        with transaction.atomic():
            happen_inside()
            transaction.set_rollback(True)
        happen_inside()
    happen()

    assert links() == [(0, -1), (2, 0), (3, 2)]


def test_a_thread_that_ends_hands_its_writer_on() -> None:
    names = list[str]()

    def work() -> None:
        names.append(writer.current().name)

    for _ in range(2):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    assert names[0] == names[1]


def test_two_threads_at_once_are_two_writers() -> None:
    names, both = list[str](), threading.Barrier(2)

    def work() -> None:
        names.append(writer.current().name)
        both.wait(10)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(names)) == 2


def test_a_forked_process_is_another_writer() -> None:
    mine = writer.current().name
    connection.close()
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write_end, writer.current().name.encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        theirs = pipe.read()

    assert len(theirs) == 16
    assert theirs != mine
    assert writer.current().name == mine
