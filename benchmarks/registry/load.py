"""Puts load on a server with `wrk`, and reads from /proc what the server's processes spent on it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

from benchmarks.registry.figures import Run, parse_run
from tests import services

SCRIPT: Final = Path(__file__).with_name("load.lua")
TICKS: Final = os.sysconf("SC_CLK_TCK")
ANSWER_SECONDS: Final = 30


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks; for the marks in `target` and `body` see load.lua."""

    method: str
    target: str
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


def find_wrk() -> str:
    """The load generator, installed where it is missing and may be."""
    found = shutil.which("wrk")
    if found is None and services.apt_install("wrk"):
        found = shutil.which("wrk")
    if found is None:
        raise services.Missing("The load generator is missing: install Debian's package `wrk` and run this again.")
    return found


class Load:
    """One run after the other; no two of them send the same number in place of @N@."""

    def __init__(self) -> None:
        self._next = 0

    def check(self, origin: str, request: Request) -> None:
        """Ask once; raises `httpx.HTTPStatusError` where it is refused, so that no speed of refusals is measured."""
        number = str(self._next)
        marks = {"@N@": number, "@D@": number[-1], "@T@": "1"}
        target, body = request.target, request.body
        for mark, value in marks.items():
            target, body = target.replace(mark, value), body.replace(mark, value)
        headers = dict(request.headers)
        httpx.request(
            request.method, origin + target, content=body, headers=headers, timeout=ANSWER_SECONDS
        ).raise_for_status()
        self._next += 1

    def run(self, origin: str, request: Request, *, clients: int, seconds: int, server: int) -> Run:
        """Ask for so long with so many connections, each of which waits for its answer; `server` is the process that answers."""
        command = [
            *(find_wrk(), "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", f"{ANSWER_SECONDS}s"),
            *("-s", str(SCRIPT), origin),
        ]
        environment = os.environ | {
            "METHOD": request.method,
            "TARGET": request.target,
            "BODY": request.body,
            "HEADERS": "\n".join(f"{name}: {value}" for name, value in request.headers.items()),
            "FIRST": str(self._next),
        }
        before = cpu_seconds(server)
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        found = parse_run(done.stdout, cpu_seconds(server) - before)
        if "@N@" in request.target + request.body:
            self._next += found.requests + 2 * clients
        return found


def tree(root: int) -> list[int]:
    """The process and everything that descends from it."""
    parents = dict[int, list[int]]()
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(entry.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended in the meantime
        parents.setdefault(parent, []).append(int(entry.parent.name))
    found = [root]
    for pid in found:
        found += parents.get(pid, [])
    return found


def cpu_seconds(root: int) -> float:
    """What the process and its descendants have used so far, in user and kernel mode."""
    ticks = 0
    for pid in tree(root):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS


def megabytes(root: int) -> float:
    """Memory of the process and its descendants; what they share counts once (PSS)."""
    kilobytes = 0
    for pid in tree(root):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        kilobytes += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kilobytes / 1024
