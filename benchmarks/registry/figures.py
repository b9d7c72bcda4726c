"""What was measured, the goals it is held against, and the tables that say both. Pure."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.goals import Goal

PEER: Final = "mlflow, 4 workers"
PEER_ALONE: Final = "mlflow, 1 worker"
GATEWAY, PORTAL, WIRE = "gateway", "portal", "MLflow wire"
AT: Final = 16
"""At how many clients goals are read."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the load generator: answers a second, waits in ms, the server's CPU a request in µs, and what failed."""

    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    megabytes_per_second: float
    requests: int
    failed: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a figure was taken: on which database with how many versions."""

    database: str
    versions: int

    def __str__(self) -> str:
        return f"{self.database}, {self.versions:,} versions"


@dataclass(frozen=True, slots=True)
class Measured:
    """All rounds of one operation by one way at one number of clients."""

    place: Place
    operation: str
    way: str
    clients: int
    runs: tuple[Run, ...]

    @property
    def per_second(self) -> float:
        """Answers a second, the median of the rounds; an answer that refuses is none."""
        return statistics.median(run.per_second for run in self.runs)

    @property
    def cpu_us(self) -> float:
        """The server's CPU for a request."""
        return statistics.median(run.cpu_us for run in self.runs)

    @property
    def megabytes_per_second(self) -> float:
        """Bytes that arrived."""
        return statistics.median(run.megabytes_per_second for run in self.runs)

    @property
    def p99_ms(self) -> float:
        """The 99th percentile of the wait."""
        return statistics.median(run.p99_ms for run in self.runs)

    @property
    def failed(self) -> int:
        """Requests that were refused or lost, in all rounds together."""
        return sum(run.failed for run in self.runs)


def parse_run(output: str, cpu_seconds: float) -> Run:
    """What load.lua printed; raises `ValueError` where it printed nothing."""
    line = next((line for line in output.splitlines() if line.startswith("FIGURES ")), None)
    if line is None:
        raise ValueError(f"The load generator gave no figures: {output[-500:]}")
    said: dict[str, float] = json.loads(line.removeprefix("FIGURES "))
    answered = max(said["requests"] - said["refused"], 0)
    return Run(
        per_second=answered / said["seconds"],
        p50_ms=said["p50_ms"],
        p99_ms=said["p99_ms"],
        cpu_us=cpu_seconds * 1e6 / max(said["requests"], 1),
        megabytes_per_second=said["bytes"] / said["seconds"] / 1e6,
        requests=int(said["requests"]),
        failed=int(said["refused"] + said["lost"]),
    )


def times(own: float, peer: float) -> float:
    """How many times as much `own` is; nothing of a peer's counts as infinitely more."""
    return own / peer if peer else float("inf") if own else 0.0


def short(value: float) -> str:
    """A figure with as many digits as it is worth."""
    if value == float("inf"):
        return "∞"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def at_least(what: str, figure: float, goal: float, unit: str = "×", beside: str = "", *, also: bool = True) -> Goal:
    """A goal that more is better for; `also` is what else has to hold."""
    return Goal(what, f"≥ {goal:g} {unit}", f"{short(figure)} {unit}", figure >= goal and also, beside)


def at_most(what: str, figure: float, goal: float, unit: str = "×", beside: str = "") -> Goal:
    """A goal that less is better for."""
    return Goal(what, f"≤ {goal:g} {unit}", f"{short(figure)} {unit}", figure <= goal, beside)


GOALS: Final[Sequence[tuple[str, str, Mapping[str, float]]]] = (
    ("resolve an alias", GATEWAY, {"": 150}),
    ("resolve an alias", PORTAL, {"": 7}),
    ("resolve an alias", WIRE, {"": 1.5}),
    ("create a version", PORTAL, {"SQLite": 6, "PostgreSQL": 4}),
    ("set an alias", PORTAL, {"": 10}),
    ("search by name", WIRE, {"": 5}),
    ("search by tag", WIRE, {"": 5}),
    ("list 50 models", PORTAL, {"": 10}),
)
GROWTH: Final = (("resolve an alias", GATEWAY, 1.2), ("resolve an alias", PORTAL, 1.2), ("search by tag", WIRE, 1.5))


def load_goals(measured: Iterable[Measured]) -> list[Goal]:
    """What the rounds under load say about the goals, for each database with the fewest versions, and how they grow with the most."""
    by_key = {(one.place, one.operation, one.way): one for one in measured if one.clients == AT}
    goals, databases = list[Goal](), dict[str, list[int]]()
    for place, _, _ in by_key:
        sizes = databases.setdefault(place.database, [])
        sizes += [] if place.versions in sizes else [place.versions]
    for database, sizes in databases.items():
        few, many = Place(database, min(sizes)), Place(database, max(sizes))
        for operation, way, limits in GOALS:
            own, peer = by_key.get((few, operation, way)), by_key.get((few, operation, PEER))
            if own is not None and peer is not None:
                goals.append(_beside_peer(own, peer, by_key.get((few, operation, PEER_ALONE)), limits))
        for operation, way, limit in GROWTH if few != many else ():
            then, now = by_key.get((few, operation, way)), by_key.get((many, operation, way))
            if then is not None and now is not None:
                goals.append(_grown(then, now, by_key, limit))
    return goals


def _beside_peer(own: Measured, peer: Measured, alone: Measured | None, limits: Mapping[str, float]) -> Goal:
    limit = limits.get("", 0) or limits[own.place.database]
    beside = f"{short(own.per_second)} /s, {PEER} {short(peer.per_second)} /s"
    if alone is not None:
        beside += f" ({short(times(own.per_second, alone.per_second))} × {PEER_ALONE})"
    if own.failed or peer.failed:
        beside += f"; failed: {own.failed} here, {peer.failed} there"
    what = f"{own.operation}, {own.way}, {own.place.database}"
    return at_least(what, times(own.per_second, peer.per_second), limit, beside=beside, also=not own.failed)


def _grown(then: Measured, now: Measured, by_key: Mapping[tuple[Place, str, str], Measured], limit: float) -> Goal:
    peers = [by_key.get((one.place, one.operation, PEER)) for one in (then, now)]
    beside = ""
    if peers[0] is not None and peers[1] is not None:
        beside = f"{PEER} {short(times(peers[0].per_second, peers[1].per_second))} ×"
    what = f"{then.operation}, {then.way}, {then.place.database}: {now.place.versions:,} against {then.place.versions:,} versions"
    return at_most(what, times(then.per_second, now.per_second), limit, beside=beside)


def load_table(measured: Sequence[Measured]) -> str:
    """Every figure under load at one place as Markdown: answers a second (times the peer's), and the CPU of a request at 16 clients."""
    clients = sorted({one.clients for one in measured})
    by_key = {(one.operation, one.way, one.clients): one for one in measured}
    head = "".join(f" {one} |" for one in clients)
    lines = [f"| | by |{head} CPU µs | p99 ms |", "|---|---|" + "---|" * (len(clients) + 2)]
    for operation, way in dict.fromkeys((one.operation, one.way) for one in measured):
        cells = [_cell(by_key, operation, way, one) for one in clients]
        shown = by_key.get((operation, way, AT)) or next(
            one for one in measured if (one.operation, one.way) == (operation, way)
        )
        lines.append(f"| {operation} | {way} | {' | '.join(cells)} | {short(shown.cpu_us)} | {short(shown.p99_ms)} |")
    return "\n".join(lines)


def _cell(by_key: Mapping[tuple[str, str, int], Measured], operation: str, way: str, clients: int) -> str:
    own, peer = by_key.get((operation, way, clients)), by_key.get((operation, PEER, clients))
    if own is None:
        return ""
    failed = f", {own.failed} failed" if own.failed else ""
    if peer is None or way in {PEER, PEER_ALONE}:
        return short(own.per_second) + failed
    return f"{short(own.per_second)} ({short(times(own.per_second, peer.per_second))} ×){failed}"
