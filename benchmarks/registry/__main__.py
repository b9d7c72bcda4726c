"""Measures the registry beside `mlflow server` and prints goal, figure, ratio: `python -m benchmarks.registry [--write FILE]`.

Both run on this machine at once, each with its own database of the same kind and the same number of versions; they are asked in turn,
one way after the other, round after round. A short run, to see what is slow: `--versions 1000 --clients 16 --database SQLite --seconds 1
--rounds 1 --only "set an alias"`.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Final

import httpx
import psycopg

from benchmarks.goals import Goal, between_marks, goal_table
from benchmarks.registry.figures import (
    AT,
    GATEWAY,
    PEER,
    PEER_ALONE,
    PORTAL,
    Measured,
    Place,
    Run,
    at_least,
    at_most,
    load_goals,
    load_table,
    short,
    times,
)
from benchmarks.registry.load import Load, Request, megabytes
from benchmarks.registry.loading import loaded
from benchmarks.registry.operations import downloads, operations, write_model
from benchmarks.registry.ours import Ours
from benchmarks.registry.peer import Peer
from benchmarks.registry.watching import watched
from tests import services

LARGE: Final = 100_000_000
WATCHERS: Final = ((100, 15), (1_000, 60))
BESIDES: Final = ("download", "load", "watch", "memory")
DATABASES: Final = ("SQLite", "PostgreSQL")


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be measured, and for how long."""

    clients: Sequence[int]
    seconds: int
    rounds: int
    only: Sequence[str]

    def wants(self, what: str) -> bool:
        """Whether this belongs to the run."""
        return not self.only or what in self.only


@dataclass(slots=True)
class Found:
    """What came out of it so far."""

    measured: list[Measured] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)


def main() -> int:
    """Measure, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", type=int, nargs="+", default=[1_000, 100_000])
    parser.add_argument("--clients", type=int, nargs="+", default=[1, AT, 64])
    parser.add_argument("--database", nargs="+", choices=DATABASES, default=DATABASES)
    parser.add_argument("--only", nargs="+", default=[], help=f"operations by name, or of: {', '.join(BESIDES)}")
    parser.add_argument("--seconds", type=int, default=2, help="of load in each round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--write", type=Path, help="put the tables between the marks of this file")
    given = parser.parse_args()
    asked, found, begun = Asked(given.clients, given.seconds, given.rounds, given.only), Found(), time.monotonic()
    for versions in sorted(given.versions):
        for database in given.database:
            _measure(Place(database, versions), asked, found, first=versions == min(given.versions))
            text = _text(asked, found, time.monotonic() - begun)
            if given.write:  # after each place: a long run that is broken off has told what it knows
                given.write.write_text(
                    between_marks(given.write.read_text("utf-8"), "registry", text), encoding="utf-8"
                )
    print(text)  # noqa: T201 - a command's output
    return 0


def _measure(place: Place, asked: Asked, found: Found, *, first: bool) -> None:
    """Everything at one place; what does not depend on the number of versions only where `first`."""
    with _both(place) as (ours, peer):
        load, large = Load(), 0
        requests = operations(ours, peer)
        for operation, ways in requests.items():
            if asked.wants(operation):
                found.measured += [
                    one
                    for clients in (asked.clients if first else [AT])
                    for one in _asked(place, operation, ways, clients, asked, load, ours, peer)
                ]
        if not first:
            return
        if asked.wants("memory"):
            found.goals += _memory(place, ours, peer)
        if place.database == "SQLite" and any(asked.wants(what) for what in ("download", "watch")):
            _say("a version of 100 MB")
            large = ours.tell("large", str(LARGE))["number"]
        if large and asked.wants("download"):
            found.goals += _downloads(load, ours, peer, large, asked)
        if place.database == "SQLite" and asked.wants("load"):
            found.goals += _loads(ours, peer)
        if large and asked.wants("watch"):
            found.goals += [_watches(ours, count, limit) for count, limit in WATCHERS]


@contextmanager
def _both(place: Place) -> Iterator[tuple[Ours, Peer]]:
    """Both sides, running, with the versions of the place and a model `credit` that is live."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="countersign-bench-")))
        url = stack.enter_context(services.postgres()) if place.database == "PostgreSQL" else ""
        _say(f"{place}: setting both sides up")
        ours = Ours(folder / "ours", url)
        stack.callback(ours.stop_all)
        peer = Peer(folder / "peer", _database_beside(url) if url else "")
        stack.callback(peer.stop)
        ours.tell("versions", str(place.versions))
        peer.seed(place.versions)
        ours.begin()
        peer.begin()
        ours.act("promote", str(ours.act("register")["number"]))
        _register_at(peer)
        yield ours, peer


def _database_beside(url: str) -> str:
    """A database for the peer on the same server."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE mlflow")
    return url.rpartition("/")[0] + "/mlflow"


def _register_at(peer: Peer) -> None:
    """The model `credit` with the files that ours has, by its alias."""
    write_model(peer.artifacts / "credit")
    origin = f"{peer.origins[PEER]}/api/2.0/mlflow"
    run = (
        httpx.post(f"{origin}/runs/create", json={"experiment_id": "0"}, timeout=60)
        .raise_for_status()
        .json()["run"]["info"]
    )
    folder = peer.artifacts / run["artifact_uri"].removeprefix("mlflow-artifacts:/") / "model"
    write_model(folder)
    made = {"name": "credit", "source": f"{run['artifact_uri']}/model", "run_id": run["run_id"]}
    for path, said in (
        ("registered-models/create", {"name": "credit"}),
        ("model-versions/create", made),
        ("registered-models/alias", {"name": "credit", "alias": "champion", "version": "1"}),
    ):
        httpx.post(f"{origin}/{path}", json=said, timeout=60).raise_for_status()


def _asked(
    place: Place,
    operation: str,
    ways: dict[str, Request],
    clients: int,
    asked: Asked,
    load: Load,
    ours: Ours,
    peer: Peer,
) -> list[Measured]:
    """One operation by each way, round after round in turn; mlflow with one worker only where goals are read."""
    origins, roots = ours.origins | peer.origins, ours.roots | peer.roots
    chosen = {way: request for way, request in ways.items() if way != PEER_ALONE or clients == AT}
    runs: dict[str, list[Run]] = {way: [] for way in chosen}
    for way, request in chosen.items():
        load.check(origins[way], request)
    for _ in range(asked.rounds):
        for way, request in chosen.items():
            runs[way].append(load.run(origins[way], request, clients=clients, seconds=asked.seconds, server=roots[way]))
    measured = [Measured(place, operation, way, clients, tuple(rounds)) for way, rounds in runs.items()]
    said = ", ".join(
        f"{one.way} {short(one.per_second)}" + (f" ({one.failed} failed)" if one.failed else "") for one in measured
    )
    _say(f"{place}: {operation}, {clients} clients: {said}")
    return measured


def _memory(place: Place, ours: Ours, peer: Peer) -> list[Goal]:
    """After the load: what answers reads and writes of the registry, without what both have in common, MLflow's own server."""
    own = {way: megabytes(root) for way, root in ours.roots.items()}
    theirs = {way: megabytes(root) for way, root in peer.roots.items()}
    beside = ", ".join(f"{way} {short(size)} MB" for way, size in (own | theirs).items())
    figure = times(own[GATEWAY] + own[PORTAL], theirs[PEER])
    return [at_most(f"memory of gateway and portal, {place.database}", figure, 0.1, beside=beside)]


def _downloads(load: Load, ours: Ours, peer: Peer, number: int, asked: Asked) -> list[Goal]:
    folder = peer.artifacts / "large"
    folder.mkdir()
    (folder / "model.skops").write_bytes(os.urandom(1_000_000) * 100)
    found = _asked(Place("SQLite", 0), "download", downloads(ours, number), 1, asked, load, ours, peer)
    by_way = {one.way: one for one in found}
    theirs = by_way[PEER]
    cpu = {way: one.cpu_us / 1e6 for way, one in by_way.items()}
    beside = ", ".join(
        f"{way} {short(one.megabytes_per_second)} MB/s, {cpu[way]:.3f} s CPU" for way, one in by_way.items()
    )
    return [
        at_least(
            "download 100 MB, portal: MB/s",
            times(by_way[PORTAL].megabytes_per_second, theirs.megabytes_per_second),
            3.5,
            beside=beside,
        ),
        at_most("download 100 MB, portal: CPU", times(cpu[PORTAL], cpu[PEER]), 0.08),
    ]


def _loads(ours: Ours, peer: Peer) -> list[Goal]:
    took = loaded(ours, peer)
    return [
        at_least(
            f"{what}, against `mlflow.pyfunc.load_model`",
            times(took[f"{key}_peer"], took[key]),
            limit,
            beside=f"{took[key] * 1e3:,.0f} ms, mlflow {took[f'{key}_peer'] * 1e3:,.0f} ms",
        )
        for what, key, limit in (
            ("pull again with verification, same process", "again", 15),
            ("first pull, new process", "first", 100),
        )
    ]


def _watches(ours: Ours, count: int, limit: float) -> Goal:
    told = watched(ours, count)
    beside = f"p50 {short(told['p50_ms'])} ms; {told['told']:.1%} of the events arrived"
    _say(f"watch, {count} watchers: p99 {short(told['p99_ms'])} ms, {beside}")
    return at_most(f"watch: commit to client, p99, {count:,} watchers", told["p99_ms"], limit, "ms", beside)


def _text(asked: Asked, found: Found, seconds: float) -> str:
    """The tables with their conditions."""
    head = (
        f"mlflow {version('mlflow')}, Django {version('django')}, Python {platform.python_version()}, {os.cpu_count()} cores "
        f"({platform.machine()}); wrk on the same cores, {asked.rounds} rounds of {asked.seconds} s, all in {seconds / 60:.0f} minutes. "
        f"Goals are read at {AT} clients, against {PEER}."
    )
    goals = load_goals(found.measured) + found.goals
    tables = [head, goal_table(goals)] if goals else [head]
    for place in dict.fromkeys(one.place for one in found.measured):
        tables += [
            f"{place}; answers a second at {', '.join(str(one) for one in asked.clients)} clients (× {PEER}); CPU and p99 at {AT}:",
            load_table([one for one in found.measured if one.place == place]),
        ]
    return "\n\n".join(tables)


def _say(what: str) -> None:
    print(time.strftime("%H:%M:%S"), what, file=sys.stderr, flush=True)  # noqa: T201 - progress for the person who waits


if __name__ == "__main__":
    sys.exit(main())
