"""A model from the registry into use: `countersign pull`, verified, from the portal, beside `mlflow.pyfunc.load_model`; first and again."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from benchmarks.registry.figures import PEER, PORTAL
from benchmarks.registry.ours import Ours
from benchmarks.registry.peer import Peer

AGAIN: Final = 20
FIRST: Final = 3
PULL: Final = """
import statistics, sys, time
import countersign
with countersign.Registry(sys.argv[1], key=sys.argv[2], cache=sys.argv[3], state=sys.argv[4]) as registry:
    def once():
        started = time.perf_counter()
        registry.pull("credit/1", sys.argv[5])
        return time.perf_counter() - started
    first = once()
    print(statistics.median([once() for _ in range(int(sys.argv[6]))] or [first]))
"""
LOAD: Final = """
import statistics, sys, time, warnings
warnings.simplefilter("ignore")
import mlflow
def once():
    started = time.perf_counter()
    mlflow.pyfunc.load_model("models:/credit@champion")
    return time.perf_counter() - started
first = once()
print(statistics.median([once() for _ in range(int(sys.argv[1]))] or [first]))
"""


def loaded(ours: Ours, peer: Peer) -> dict[str, float]:
    """Seconds: `first` in a new process with nothing kept, `again` in one that has it; ours and the peer's in turn."""
    own, theirs = list[float](), list[float]()
    with tempfile.TemporaryDirectory(prefix="countersign-bench-") as name:
        folder = Path(name)
        key = folder / "registry.pub"
        key.write_text(ours.tell("keys")["text"])
        environment = ours.environment | {
            "HOME": name,
            "COUNTERSIGN_URL": ours.origins[PORTAL],
            "COUNTERSIGN_TOKEN": ours.tokens["pull"],
        }
        places = [f"{name}/cache", f"{name}/state", f"{name}/model"]
        for turn in range(FIRST):
            pull = [
                sys.executable,
                "-c",
                PULL,
                ours.origins[PORTAL],
                str(key),
                *(f"{one}-{turn}" for one in places),
                "0",
            ]
            own.append(_timed(pull, environment))
            theirs.append(_timed([sys.executable, "-c", LOAD, "0"], _environment(peer)))
        again = _said([sys.executable, "-c", PULL, ours.origins[PORTAL], str(key), *places, str(AGAIN)], environment)
        return {
            "first": statistics.median(own),
            "first_peer": statistics.median(theirs),
            "again": again,
            "again_peer": _said([sys.executable, "-c", LOAD, str(AGAIN)], _environment(peer)),
        }


def _environment(peer: Peer) -> dict[str, str]:
    return peer.environment | {"MLFLOW_TRACKING_URI": peer.origins[PEER], "TQDM_DISABLE": "1"}


def _timed(command: list[str], environment: Mapping[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return time.perf_counter() - started


def _said(command: list[str], environment: Mapping[str, str]) -> float:
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.splitlines()[-1])
