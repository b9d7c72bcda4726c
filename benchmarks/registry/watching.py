"""How long after the commit of a release each of many watchers hears of it, through the pull gateway."""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from typing import Any, Final
from urllib.parse import urlsplit

from benchmarks.registry.figures import GATEWAY
from benchmarks.registry.ours import Ours

MOVES: Final = 20
ALIAS: Final = "stable"


def watched(ours: Ours, watchers: int) -> dict[str, float]:
    """Median and 99th percentile in ms, over all watchers and moves of an alias, and the share of what was told."""
    arrived = list[float]()
    ready, loop = threading.Event(), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(_watch(ours, watchers, arrived, ready),))
    ours.tell("move", ALIAS, "1")
    thread.start()
    ready.wait(60)
    moments = ours.tell("move", ALIAS, str(MOVES + 1))["moments"][1:]
    time.sleep(1)
    loop.call_soon_threadsafe(lambda: [task.cancel() for task in asyncio.all_tasks(loop)])
    thread.join()
    waits = sorted(_waits(moments, arrived))
    return {
        "p50_ms": statistics.median(waits) * 1e3,
        "p99_ms": waits[int(len(waits) * 0.99)] * 1e3,
        "told": len(waits) / (len(moments) * watchers),
    }


def _waits(moments: list[float], arrived: list[float]) -> list[float]:
    """From the newest commit before it, for each event that came after the first commit."""
    waits, turn = [], -1
    for moment in sorted(arrived):
        while turn + 1 < len(moments) and moments[turn + 1] <= moment:
            turn += 1
        if turn >= 0:
            waits.append(moment - moments[turn])
    return waits


async def _watch(ours: Ours, watchers: int, arrived: list[float], ready: threading.Event) -> None:
    gone = asyncio.gather(*(_follow(ours, arrived) for _ in range(watchers)), return_exceptions=True)
    while len(arrived) < watchers:
        await asyncio.sleep(0.1)
    arrived.clear()  # what was told at first is how it stood
    ready.set()
    try:
        await gone
    except asyncio.CancelledError:
        return


async def _follow(ours: Ours, arrived: list[float]) -> None:
    address = urlsplit(ours.origins[GATEWAY])
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    head: list[Any] = [
        f"GET /api/v1/watch?ref=credit@{ALIAS} HTTP/1.1",
        f"Host: {address.netloc}",
        f"Authorization: Bearer {ours.tokens['pull']}",
    ]
    writer.write("\r\n".join([*head, "", ""]).encode())
    try:
        while line := await reader.readline():
            if line.startswith(b"event: release"):
                arrived.append(time.monotonic())
    finally:
        writer.close()
