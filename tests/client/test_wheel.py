"""The client as somebody installs it: one wheel beside httpx and cryptography, nothing of the registry."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
from importlib import metadata
from pathlib import Path

import pytest

from countersign import Registry
from tests.client.standin import StandIn

pytestmark = pytest.mark.story
CLIENT = Path(__file__).resolve().parents[2] / "client"


def closure(*names: str) -> set[str]:
    """The distributions that these need on this machine, themselves included."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in found:
            continue
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # for another Python or platform
            continue
        found.add(name)
        waiting += [match[0] for one in needs if "extra ==" not in one and (match := re.match(r"[\w.-]+", one))]
    return found


def install(python: Path, wheel: Path) -> None:
    """The wheel, and links to what it needs: as a package index would give it, without asking one."""
    subprocess.run(
        [
            sys.executable,
            "-m",
            "uv",
            "pip",
            "install",
            "-q",
            "--python",
            str(python),
            "--no-deps",
            "--no-index",
            str(wheel),
        ],
        check=True,
    )
    site = next(python.parents[1].glob("lib/python*/site-packages"))
    for name in closure("httpx", "cryptography"):
        distribution = metadata.distribution(name)
        tops = {
            file.parts[0]
            for file in distribution.files or []
            if ".." not in file.parts and file.parts[0] != "__pycache__"
        }
        for top in tops:
            (site / top).symlink_to(Path(str(distribution.locate_file(top))))


def test_the_wheel_alone_verifies_a_pulled_folder(
    registry: Registry, stand_in: StandIn, key_file: Path, tmp_path: Path
) -> None:
    registry.pull("credit@production", tmp_path / "model")
    stand_in.close()
    sources = shutil.copytree(
        CLIENT, tmp_path / "client", ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    )
    build = [
        sys.executable,
        "-m",
        "uv",
        "build",
        "-q",
        "--wheel",
        "--no-build-isolation",
        "--out-dir",
        str(tmp_path / "dist"),
    ]
    subprocess.run([*build, str(sources)], check=True)
    venv.create(tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    install(python, next((tmp_path / "dist").glob("*.whl")))
    clean = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "elsewhere")}

    verified = subprocess.run(
        [tmp_path / "venv" / "bin" / "countersign", "verify", tmp_path / "model", "--key", key_file],
        cwd=tmp_path,
        env=clean,
        capture_output=True,
        text=True,
        check=False,
    )
    modules = subprocess.run(
        [python, "-c", "import countersign.cli, sys; print(*sorted(m.partition('.')[0] for m in sys.modules))"],
        cwd=tmp_path,
        env=clean,
        capture_output=True,
        text=True,
        check=True,
    )

    assert (verified.returncode, verified.stderr) == (0, "")
    assert "is what was signed" in verified.stdout
    assert not {"django", "foundation", "mlflow", "rfc8785"} & set(modules.stdout.split())
