"""The client's whole way with real processes: register, be told what is missing, wait for the release, pull, verify, learn of the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.installation import ROOT, Installation
from tests.serving.tiny_models import tiny

pytestmark = pytest.mark.story


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    found = Installation(tmp_path / "installation")
    try:
        yield found
    finally:
        found.stop_all()


class Person:
    """Somebody at a terminal of another machine: their own home, a token, the registry's keys."""

    def __init__(self, installation: Installation, token: str, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        keep = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "COUNTERSIGN_"))}
        self.environment = keep | {
            "HOME": str(folder),
            "COUNTERSIGN_URL": installation.portal,
            "COUNTERSIGN_TOKEN": token,
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "countersign", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        """The exit code, and everything that was said."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=120)
        assert "Traceback" not in err, err
        return process.returncode, out + err


def test_from_a_folder_to_a_verified_model_and_its_end(installation: Installation, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "manage.py", "audit", "init"], cwd=ROOT, env=installation.environment, check=True)
    installation.start_portal()
    installation.start_jobs()
    installation.start("sequencer", "manage.py", "audit", "sequencer")
    trainer = Person(installation, installation.tokens["register"], tmp_path / "trainer")
    service = Person(installation, installation.tokens["pull"], tmp_path / "service")
    for path, content in tiny().items():
        (trainer.folder / "build").mkdir(exist_ok=True)
        (trainer.folder / "build" / path).write_bytes(content)

    code, said = trainer.run("register", "credit", "build", "--json")
    assert code == 0, said
    number = str(json.loads(said)["number"])
    code, said = trainer.run("why", f"credit/{number}")
    assert (code, "cannot go to production yet" in said) == (3, True), said
    code, said = service.run("pull", "credit@production", "model", "--trust-on-first-use")
    assert code == 3, said

    waiting = service.start("watch", "credit@production", "--until", number, "--pull", "model", "--timeout", "90")
    promoted = installation.act("promote", number)
    out, err = waiting.communicate(timeout=120)
    assert waiting.returncode == 0, out + err
    assert f"credit version {number} for production" in out

    code, said = service.run("pull", "credit@production", "model", "--json")
    assert code == 0, said
    assert json.loads(said)["digest"] == promoted["digest"]
    assert len(json.loads(said)["sign_offs"]) == 2
    assert {file.name for file in (service.folder / "model").iterdir()} == {".countersign", *tiny()}

    watching = service.start("watch", "credit@production", "--timeout", "90", "--json")
    assert watching.stdout
    assert json.loads(watching.stdout.readline())["kind"] == "release"
    installation.act("revoke", number)
    kinds = [json.loads(watching.stdout.readline())["kind"] for _ in range(3)]
    watching.terminate()
    watching.communicate()
    assert "revoked" in kinds
    assert service.run("verify", "model")[0] == 0  # offline, by what this machine has seen so far
    code, said = service.run("verify", "model", "--refresh")
    assert (code, "revoked" in said) == (3, True), said

    installation.stop("portal", signal.SIGQUIT)
    assert service.run("pull", "credit@production", "model")[0] == 4
    (service.folder / "model" / "MLmodel").write_text("flavors: {}")
    code, said = service.run("verify", "model")
    assert (code, said.startswith("MLmodel was changed")) == (1, True), said
