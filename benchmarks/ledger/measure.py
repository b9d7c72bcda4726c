"""Measures one database and prints the figures as JSON: `python -m benchmarks.ledger.measure EVENTS`, in the peers' environment."""

from __future__ import annotations

import json
import multiprocessing
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import django
import structlog

django.setup()

from django.conf import settings  # noqa: E402 - Django has to be set up first
from django.core.management import call_command  # noqa: E402 - as above
from django.db import connection, connections, transaction  # noqa: E402 - as above

from audit import keys, receipts  # noqa: E402 - as above
from audit.actions import append, in_one_group  # noqa: E402 - as above
from audit.events import Action, Actor, Obj  # noqa: E402 - as above
from audit.models import Bundle, Pending, Tile  # noqa: E402 - as above
from audit.sequencer import Sequencer, initialise  # noqa: E402 - as above
from audit.verification import verify  # noqa: E402 - as above
from benchmarks.ledger import models  # noqa: E402 - as above
from countersign.proof.merkle import leaf_hash, verify_inclusion  # noqa: E402 - as above

POSTGRES: Final = connection.vendor == "postgresql"
ROUNDS: Final = 600
WRITERS: Final = 16
SECONDS: Final = 2.0
BATCH: Final = 64
ALICE: Final = Actor(
    kind="person",
    id="5f0c2a9e8d7b4c61",
    via="session",
    request_id="01J9Z7E4M8T2",
    private={"ip": "192.0.2.7", "name": "alice.moreau", "agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/143.0"},
)
CREDIT: Final = Obj(kind="version", id="7f3a", name="credit-scorecard", version="12")


def main(events: int) -> None:
    """Everything, in an order in which nothing stands in the way of the next."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    call_command("migrate", verbosity=0)
    call_command("migrate", run_syncdb=True, verbosity=0)
    if POSTGRES:
        call_command("pgtrigger", "install", verbosity=0)
    initialise()
    models.ChainHead.objects.create(hash=bytes(32))
    figures: dict[str, Any] = {"added_us": added_to_a_write()}
    _drain()
    figures["writers"] = durable_writers()
    figures["grouped_per_second"] = grouped()
    _drain()
    figures["outside_ms"] = signed_outside()
    figures |= sequenced(events)
    figures |= verified()
    figures |= proven(events)
    figures |= stored()
    print(json.dumps(figures))  # noqa: T201 - read by the driver


def note(number: int) -> None:
    """One entry of about 510 bytes, in the transaction around it."""
    append(
        Action.VERSION_UPDATE,
        by=ALICE,
        obj=CREDIT,
        before={"state": "draft", "round": number},
        after={"state": "submitted", "round": number + 1},
    )


def added_to_a_write() -> dict[str, float]:
    """What each peer adds to a small Django write and its commit, without waiting for the disk: difference of the 10th percentiles, µs."""
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off" if POSTGRES else "PRAGMA synchronous = NORMAL")
    kinds = [models.Plain, models.Plain, models.Historical, models.Audited, models.EasyAudited]
    names = ["plain", "ledger", "simple-history", "auditlog", "easy-audit"]
    if POSTGRES:
        kinds.append(models.Tracked)
        names.append("pghistory")
    rows = [kind.objects.create(name="credit-scorecard", state="draft") for kind in kinds]
    taken: dict[str, list[float]] = {name: [] for name in names}
    order = list(zip(names, rows, strict=True))
    chance = random.Random(7)  # noqa: S311 - the same order in every run, no secret
    for number in range(ROUNDS):
        chance.shuffle(order)
        for name, row in order:
            started = time.perf_counter()
            with transaction.atomic():
                row.round, row.state = number, f"state {number}"
                row.save()
                if name == "ledger":
                    note(number)
            taken[name].append(time.perf_counter() - started)
    tenth = {name: statistics.quantiles(times[50:], n=10)[0] * 1e6 for name, times in taken.items()}
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = on" if POSTGRES else "PRAGMA synchronous = FULL")
    return {name: round(value - tenth["plain"], 1) for name, value in tenth.items() if name != "plain"}


def durable_writers() -> dict[str, float]:
    """Transactions a second of 16 writers that each wait for the disk: a plain row, the ledger, a hash chain; the median of three turns."""
    per_second: dict[str, list[float]] = {"plain": [], "ledger": [], "chain": []}
    for _ in range(3):
        for name, write in (("plain", _plain), ("ledger", _entry), ("chain", _link)):
            per_second[name].append(_race(write))
    return {name: round(statistics.median(figures)) for name, figures in per_second.items()}


def _race(write: Callable[[], None]) -> float:
    connections.close_all()
    fork = multiprocessing.get_context("fork")
    results: Any = fork.Queue()

    def live() -> None:
        count, end = 0, time.monotonic() + SECONDS
        while time.monotonic() < end:
            with transaction.atomic():
                write()
            count += 1
        results.put(count)

    processes = [fork.Process(target=live) for _ in range(WRITERS)]
    for process in processes:
        process.start()
    total = sum(results.get() for _ in processes)
    for process in processes:
        process.join()
    return float(total / SECONDS)


def _entry() -> None:
    note(1)


def _plain() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO ledger_narrow (mac, payload, private, prompt) VALUES (%s, %s, %s, %s) RETURNING id",
            ["1:" + "0" * 64, bytes(510), bytes(190), False],
        )
        cursor.fetchone()


def _link() -> None:
    lock = " FOR UPDATE" if POSTGRES else ""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id, hash FROM ledger_chainhead{lock}")  # noqa: S608 - a constant
        row, last = cursor.fetchone()
        digest = sha256(bytes(last) + bytes(510)).digest()
        cursor.execute("INSERT INTO ledger_chained (payload, hash) VALUES (%s, %s)", [bytes(510), digest])
        cursor.execute("UPDATE ledger_chainhead SET hash = %s WHERE id = %s", [digest, row])


def grouped() -> int:
    """Durable entries a second where one process writes groups of 64."""
    count, started = 0, time.monotonic()
    while time.monotonic() - started < SECONDS:
        with in_one_group():
            for number in range(BATCH):
                note(number)
        count += BATCH
    return round(count / (time.monotonic() - started))


def signed_outside() -> dict[str, float]:
    """From the commit of an entry for which somebody waits to the line that covers it in the state file, ms."""
    connections.close_all()
    stop = multiprocessing.get_context("fork").Event()
    process = multiprocessing.get_context("fork").Process(target=_sequence, args=(stop,))
    process.start()
    time.sleep(0.5)
    journal = Path(settings.AUDIT_STATE_FILE)
    start = _covered(journal)
    seen: list[tuple[float, int]] = []
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(journal, seen, done))
    watcher.start()
    committed, chance = list[float](), random.Random(7)  # noqa: S311 - the same order in every run, no secret
    for _ in range(300):
        with transaction.atomic():
            append(Action.SIGN_OFF_GIVE, by=ALICE, obj=CREDIT)
        committed.append(time.monotonic())
        time.sleep(chance.uniform(0.005, 0.06))
    time.sleep(1.0)
    done.set()
    watcher.join()
    stop.set()
    process.join()
    waits = [
        1e3 * (next(at for at, size in seen if size > start + position) - moment)
        for position, moment in enumerate(committed)
    ]
    return {"p50": round(statistics.median(waits), 1), "p99": round(statistics.quantiles(waits, n=100)[98], 1)}


def _sequence(stop: Any) -> None:
    sequencer = Sequencer(keys.load_log_key())
    over = threading.Event()

    def follow() -> None:
        stop.wait()
        over.set()

    threading.Thread(target=follow, daemon=True).start()
    sequencer.run(over)


def _watch(journal: Path, seen: list[tuple[float, int]], done: threading.Event) -> None:
    while not done.is_set():
        covered = _covered(journal)
        if not seen or covered > seen[-1][1]:
            seen.append((time.monotonic(), covered))
        time.sleep(0.001)


def _covered(journal: Path) -> int:
    *_, last = journal.read_bytes().rstrip(b"\n").rsplit(b"\n", 1)
    return int(json.loads(last)["size"])


def sequenced(events: int) -> dict[str, Any]:
    """Entries that one core orders, stores and signs in a second."""
    spent = 0.0
    for start in range(0, events, 20_000):
        with transaction.atomic():
            for number in range(start, min(start + 20_000, events)):
                note(number)
        before = time.process_time()
        _drain()
        spent += time.process_time() - before
    return {"sequencer_per_cpu_second": round(events / spent), "events": events}


_leader: list[Sequencer] = []


def _drain() -> None:
    if not _leader:
        _leader.append(Sequencer(keys.load_log_key()))
        _leader[0].start()
    while _leader[0].tick():
        pass
    if Pending.objects.exists():
        raise RuntimeError("the sequencer left something")


def verified() -> dict[str, Any]:
    """Entries that a CPU second verifies, and the time in which two processes verify all."""
    before = time.process_time()
    alone = verify()
    spent = time.process_time() - before
    together = verify(processes=2)
    if not (alone.ok and together.ok):
        raise RuntimeError(f"verification failed: {alone.problems or together.problems}")
    return {
        "verified_per_cpu_second": round(alone.size / spent),
        "verify_seconds_2_processes": round(together.seconds, 2),
        "size": alone.size,
    }


def proven(events: int) -> dict[str, float]:
    """A proof from cached tiles, one with nothing cached, and its check, µs; pymerkle's on a tree in memory beside them."""
    size = int(Bundle.objects.order_by("-n", "-w").values_list("n", flat=True)[0]) * 256
    chance = random.Random(7)  # noqa: S311 - the same entries in every run, no secret
    cold, warm, checks = list[float](), list[float](), list[float]()
    for _ in range(200):
        seq = chance.randrange(size)
        receipts.forget_tiles()
        cold.append(_timed(partial(receipts.inclusion_path, seq, size)))
        warm.append(_timed(partial(receipts.inclusion_path, seq, size)))
    leaf, path = leaf_hash(b"x"), receipts.inclusion_path(size - 1, size)
    for _ in range(200):
        checks.append(_timed(partial(verify_inclusion, leaf, size - 1, size, path, bytes(32))))
    peer = _pymerkle(min(events, 50_000))
    figures = {"proof_cold_us": cold, "proof_warm_us": warm, "proof_check_us": checks, **peer}
    return {name: round(statistics.median(times) * 1e6, 1) for name, times in figures.items()}


def _pymerkle(size: int) -> dict[str, list[float]]:
    from pymerkle import InmemoryTree
    from pymerkle import verify_inclusion as check

    tree = InmemoryTree(algorithm="sha256")
    for number in range(size):
        tree.append(b"%d" % number)
    proofs = [_timed(partial(tree.prove_inclusion, index, size)) for index in range(1, size, size // 50)]
    proof, root, leaf = tree.prove_inclusion(1, size), tree.get_state(size), tree.get_leaf(1)
    return {
        "pymerkle_proof_us": proofs,
        "pymerkle_check_us": [_timed(partial(check, leaf, root, proof)) for _ in range(50)],
    }


def _timed(act: Callable[[], Any]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def stored() -> dict[str, float]:
    """Bytes of evidence for each entry, and what a plain row with its indexes takes."""
    from django.db.models import Sum
    from django.db.models.functions import Length
    from django.utils import timezone

    size = int(Bundle.objects.order_by("-n", "-w").values_list("n", flat=True)[0]) * 256
    evidence = sum(
        int(found.annotate(bytes=Length(column)).aggregate(total=Sum("bytes"))["total"] or 0)
        for found, column in ((Bundle.objects.all(), "entries"), (Tile.objects.all(), "hashes"))
    )
    count = 20_000
    before = _database_bytes()
    fields = {
        "name": "credit-scorecard",
        "before": {"state": "draft"},
        "after": {"state": "submitted"},
        "ip": "192.0.2.7",
    }
    models.Wide.objects.bulk_create(
        (
            models.Wide(
                t=timezone.now(),
                action="version.update",
                actor=sha256(b"%d" % number).hexdigest()[:16],
                obj=f"credit-scorecard {number}",
                outcome="ok",
                payload={
                    **fields,
                    "request": sha256(b"r%d" % number).hexdigest(),
                    "agent": "Mozilla/5.0 (X11; Linux x86_64)",
                },
            )
            for number in range(count)
        ),
        batch_size=1_000,
    )
    return {
        "evidence_bytes": round(evidence / size, 1),
        "plain_row_bytes": round((_database_bytes() - before) / count, 1),
    }


def _database_bytes() -> int:
    with connection.cursor() as cursor:
        if POSTGRES:
            cursor.execute("SELECT pg_total_relation_size('ledger_wide')")
        else:
            cursor.execute("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
        return int(cursor.fetchone()[0])


if __name__ == "__main__":
    main(int(sys.argv[1]))
