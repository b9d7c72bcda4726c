"""Prepares the peers' environment, measures on SQLite and on PostgreSQL in turn, and prints goal, figure and ratio.

`python -m benchmarks.ledger [--events 1000000] [--write docs/benchmarks.md]`; `make bench-ledger` runs it. The peers come from
`requirements/bench.txt` and live in `var/bench/ledger`; the ledger runs beside them, in the same process.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from benchmarks.goals import Goal, between_marks, goal_table
from tests import services

ROOT: Final = Path(__file__).resolve().parents[2]
HOME: Final = ROOT / "var" / "bench" / "ledger"


def main() -> int:
    """Measure, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--write", type=Path, help="put the table between the marks of this file")
    asked = parser.parse_args()
    python = _environment()
    sqlite = _measure(python, asked.events, "")
    with services.postgres() as url:
        parts = urlsplit(url)
        postgres = _measure(python, asked.events, f"{parts.hostname} {parts.port} {parts.username} {parts.path[1:]}")
    table = _table(_goals(sqlite, postgres), asked.events)
    print(table)  # noqa: T201 - a command's output
    if asked.write:
        text = asked.write.read_text(encoding="utf-8")
        asked.write.write_text(between_marks(text, "ledger", table), encoding="utf-8")
    return 0


def _environment() -> Path:
    """An environment with the peers, above the product's own packages."""
    python = HOME / "bin" / "python"
    uv = Path(sys.executable).with_name("uv")
    wanted = ROOT / "requirements" / "bench.txt"
    if not python.exists():
        subprocess.run([uv, "venv", "-q", HOME, "--python", sys.executable], check=True)
    subprocess.run([uv, "pip", "install", "-q", "--python", python, "-r", wanted], check=True)
    site = next((HOME / "lib").glob("python*/site-packages"))
    (site / "product.pth").write_text(f"{sysconfig.get_path('purelib')}\n{ROOT / 'client'}\n")
    return python


def _measure(python: Path, events: int, postgres: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="countersign-bench-") as folder:
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "benchmarks.ledger.settings",
            "BENCH_FOLDER": folder,
            "BENCH_POSTGRES": postgres,
        }
        command = [str(python), "-m", "benchmarks.ledger.measure", str(events)]
        done = subprocess.run(command, env=environment, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _goals(sqlite: dict[str, Any], postgres: dict[str, Any]) -> list[Goal]:
    def peers(figures: dict[str, float]) -> str:
        own = figures["ledger"]
        return ", ".join(
            f"{name} {value:,.0f} ({value / own:.1f} ×)" for name, value in figures.items() if name != "ledger"
        )

    def most(what: str, figure: float, goal: float, unit: str, beside: str = "") -> Goal:
        return Goal(what, f"≤ {goal:g} {unit}", f"{figure:,g} {unit}", figure <= goal, beside)

    def least(what: str, figure: float, goal: float, unit: str, beside: str = "") -> Goal:
        return Goal(what, f"≥ {goal:,g} {unit}", f"{figure:,g} {unit}", figure >= goal, beside)

    goals = [
        most("added to a Django write, SQLite, p10", sqlite["added_us"]["ledger"], 40, "µs", peers(sqlite["added_us"])),
        most(
            "added to a Django write, PostgreSQL, p10",
            postgres["added_us"]["ledger"],
            180,
            "µs",
            peers(postgres["added_us"]),
        ),
    ]
    for name, figures in (("PostgreSQL", postgres), ("SQLite", sqlite)):
        writers = figures["writers"]
        ratio, chain = writers["ledger"] / writers["plain"], writers["chain"] / writers["plain"]
        what = f"16 durable writers on {name}, against a plain row"
        goals.append(
            least(what, round(ratio, 2), 0.97 if name == "PostgreSQL" else 0, "×", f"hash chain {chain:.2f} ×")
        )
    for name, figures, grouped in (("SQLite", sqlite, 25_000), ("PostgreSQL", postgres, 15_000)):
        goals += [
            least(f"grouped durable entries, {name}", figures["grouped_per_second"], grouped, "/s"),
            least(f"sequencer, one core, {name}", figures["sequencer_per_cpu_second"], 100_000, "/s"),
            most(
                f"commit to signed outside, p99, {name}",
                figures["outside_ms"]["p99"],
                120,
                "ms",
                f"p50 {figures['outside_ms']['p50']} ms",
            ),
            least(f"verified in a CPU second, {name}", figures["verified_per_cpu_second"], 500_000, "entries"),
            most(
                f"verify {figures['size']:,} entries with 2 processes, {name}",
                figures["verify_seconds_2_processes"],
                round(max(figures["size"] / 1_000_000, 0.1), 2),
                "s",
            ),
        ]
    warm, cold, check = (sqlite[f"proof_{kind}_us"] for kind in ("warm", "cold", "check"))
    peer, peer_check = sqlite["pymerkle_proof_us"], sqlite["pymerkle_check_us"]
    return [
        *goals,
        most("inclusion proof, tiles cached", warm, 15, "µs", f"pymerkle {peer:,.0f} ({peer / warm:.0f} ×)"),
        most("inclusion proof, nothing cached", cold, 150, "µs"),
        most("check of a proof", check, 16, "µs", f"pymerkle {peer_check:,.0f} ({peer_check / check:.1f} ×)"),
        most(
            "evidence for an entry",
            sqlite["evidence_bytes"],
            175,
            "bytes",
            f"plain row {sqlite['plain_row_bytes']:,.0f}",
        ),
    ]


def _table(goals: list[Goal], events: int) -> str:
    head = (
        f"{events:,} entries; {os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}. Added cost is measured "
        "without waiting for the disk (`synchronous` NORMAL, `synchronous_commit` off), durable figures with it."
    )
    return f"{head}\n\n{goal_table(goals)}"


if __name__ == "__main__":
    sys.exit(main())
