"""Whatever is written, undone and sequenced: what was committed is in the ledger, in order and once, and nothing raises an alarm."""

from __future__ import annotations

import os
import random
import threading

import pytest
from django.db import connection, transaction

from audit import keys, store
from audit.actions import append, append_alone
from audit.entries import Entry
from audit.events import Action, Obj
from audit.sequencer import Sequencer, initialise
from audit.tiles import TILE_WIDTH
from audit.verification import verify
from tests.audit.conftest import ALICE

STEPS = int(os.environ.get("COUNTERSIGN_WORKLOAD", "250"))


class _Undone(Exception):
    """This block is not to be committed."""


class Workload:
    """A random program of nested transactions, which knows what it committed."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.name = f"writer {seed}"
        self.committed: list[str] = []
        self._number = 0

    def transaction(self, depth: int = 0) -> list[str]:
        """One block with entries and blocks inside; the entries that stand when it ends."""
        stand: list[str] = []
        try:
            with transaction.atomic():
                for _ in range(self.chance.randint(0, 4)):
                    if depth < 4 and self.chance.random() < 0.35:
                        stand += self.transaction(depth + 1)
                    else:
                        stand.append(self.entry())
                if self.chance.random() < 0.25:
                    raise _Undone
        except _Undone:
            return []
        return stand

    def entry(self, *, alone: bool = False) -> str:
        """Append one entry; its name."""
        self._number += 1
        name = f"{self.name}, {self._number}"
        (append_alone if alone else append)(
            Action.MODEL_UPDATE, by=ALICE, obj=Obj("model", name), after={"n": self._number}
        )
        return name

    def step(self) -> None:
        """One transaction, or an entry that has one of its own."""
        self.committed += [self.entry(alone=True)] if self.chance.random() < 0.2 else self.transaction()


def logged() -> list[str]:
    bundles = range(-(-store.stored_size() // TILE_WIDTH))
    return [Entry.parse(payload).obj_id for n in bundles for payload in store.read_bundle(n)]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_random_program_of_transactions_raises_no_alarm(seed: int) -> None:
    initialise()
    workload, sequencer, verified = Workload(seed), Sequencer(keys.load_log_key()), 0
    sequencer.start()
    for _ in range(STEPS):
        workload.step()
        if workload.chance.random() < 0.1:
            sequencer.tick()
        if workload.chance.random() < 0.03:
            sequencer = Sequencer(keys.load_log_key())
            sequencer.start()
        if workload.chance.random() < 0.03:
            result = verify(verified)
            assert result.ok, result.problems
            verified = result.size
    sequencer.tick()

    assert logged() == workload.committed
    result = verify(deep=True)
    assert result.ok, result.problems
    assert result.size == len(workload.committed) > STEPS / 2


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_random_programs_side_by_side_raise_no_alarm() -> None:
    initialise()
    workloads, over = [Workload(seed) for seed in range(10, 14)], threading.Event()

    def run(workload: Workload) -> None:
        for _ in range(STEPS):
            workload.step()
        connection.close()

    def sequence() -> None:
        sequencer = Sequencer(keys.load_log_key())
        sequencer.start()
        while not over.is_set():
            sequencer.tick()
        sequencer.tick()
        connection.close()

    threads = [threading.Thread(target=run, args=(workload,)) for workload in workloads]
    sequencing = threading.Thread(target=sequence)
    for thread in (sequencing, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    over.set()
    sequencing.join()

    assert sorted(logged()) == sorted(name for workload in workloads for name in workload.committed)
    for workload in workloads:
        assert [name for name in logged() if name.startswith(f"{workload.name},")] == workload.committed
    result = verify(deep=True)
    assert result.ok, result.problems
