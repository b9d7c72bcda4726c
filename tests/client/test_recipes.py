"""docs/recipes: each file says what its reader takes (KServe, GitHub, GitLab), and each command in it does its work against a registry."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from countersign.version import VERSION
from foundation.keys import public_pem
from tests.serving.installation import ROOT, Installation
from tests.serving.tiny_models import tiny

RECIPES = ROOT / "docs" / "recipes"
INSTALL = f"pip install countersign-client=={VERSION}"
PATIENCE = 300  # seconds for a step of a pipeline on a machine that is busy with other tests
EXPRESSION = re.compile(r"\$\{\{ ([\w.]+) \}\}")


def read(name: str) -> Any:
    return yaml.safe_load((RECIPES / name).read_text())


def storage_container() -> dict[str, Any]:
    found: dict[str, Any] = read("kserve/storage-container.yaml")
    return found


def inference_service() -> tuple[dict[str, Any], dict[str, Any]]:
    """The secret, and the service that needs it."""
    secret, service = yaml.safe_load_all((RECIPES / "kserve" / "inference-service.yaml").read_text())
    return secret, service


def entry_point() -> list[str]:
    """What the image runs."""
    line = next(one for one in (RECIPES / "kserve" / "Dockerfile").read_text().splitlines() if "ENTRYPOINT" in one)
    found: list[str] = json.loads(line.removeprefix("ENTRYPOINT "))
    return found


def test_the_storage_container_has_the_fields_of_kserve_s_v1alpha1() -> None:
    found = storage_container()

    assert (found["apiVersion"], found["kind"]) == ("serving.kserve.io/v1alpha1", "ClusterStorageContainer")
    assert set(found) == {"apiVersion", "kind", "metadata", "spec"}
    spec = found["spec"]
    assert set(spec) == {"container", "supportedUriFormats", "workloadType", "supportsMultiModelDownload"}
    assert spec["supportedUriFormats"] == [{"prefix": "countersign://"}]
    assert spec["workloadType"] == "initContainer"
    assert spec["container"]["name"] == "storage-initializer"  # otherwise KServe injects a second one
    assert {"args", "command"}.isdisjoint(spec["container"])  # the pairs of source and folder come from KServe


def test_the_service_s_model_is_delivered_by_that_container_with_that_secret() -> None:
    secret, service = inference_service()
    spec = storage_container()["spec"]

    assert (service["apiVersion"], service["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    uri = service["spec"]["predictor"]["model"]["storageUri"]
    assert uri.startswith(spec["supportedUriFormats"][0]["prefix"])
    wanted = [one["valueFrom"]["secretKeyRef"] for one in spec["container"]["env"] if "valueFrom" in one]
    assert wanted == [{"name": secret["metadata"]["name"], "key": next(iter(secret["stringData"]))}]


def test_the_image_pins_the_keys_that_are_built_into_it() -> None:
    lines = (RECIPES / "kserve" / "Dockerfile").read_text().splitlines()

    assert "COPY keys.pub /etc/countersign/keys.pub" in lines
    assert "ENV COUNTERSIGN_KEY=/etc/countersign/keys.pub" in lines
    assert "USER 1000" in lines
    assert "trust-on-first-use" not in "\n".join(lines)


def test_no_step_has_an_expression_inside_its_shell() -> None:
    steps = [step for job in read("github-actions.yml")["jobs"].values() for step in job["steps"]]

    assert not [step for step in steps if "${{" in step.get("run", "")]  # what is filled in there could be a command


def test_every_recipe_installs_the_client_of_this_repository() -> None:
    steps = [step for job in read("github-actions.yml")["jobs"].values() for step in job["steps"]]

    assert [step["run"] for step in steps if step.get("name") == "Install the client"] == [INSTALL] * 2
    assert read("gitlab-ci.yml")["default"]["before_script"] == [INSTALL]


class Runner:
    """A machine that runs the steps of a pipeline: a checkout, an environment, nothing else."""

    def __init__(self, installation: Installation, folder: Path) -> None:
        self.installation, self.checkout = installation, folder / "checkout"
        (self.checkout / "countersign").mkdir(parents=True)
        with httpx.Client(base_url=installation.portal) as portal:
            keys = [portal.get(f"/verify/{name}.pub").text for name in ("registry", "ledger")]
        (self.checkout / "countersign" / "keys.pub").write_text("".join(keys))
        self._script("train", "mkdir -p $1\n" + "".join(f"cp {folder}/trained/{name} $1/\n" for name in tiny()))
        self._script("deploy", "cp -r $1 deployed\n")
        (folder / "trained").mkdir()
        for name, content in tiny().items():
            (folder / "trained" / name).write_bytes(content)
        keep = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "COUNTERSIGN_"))}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = keep | {"HOME": str(folder), "PATH": path}

    def _script(self, name: str, text: str) -> None:
        path = self.checkout / name
        path.write_text(f"#!/bin/sh\nset -e\n{text}")
        path.chmod(0o755)

    def start(self, script: str, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["/bin/bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=self.checkout,
            env=self.environment | more,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, script: str, **more: str) -> tuple[int, str]:
        """The exit code of a script, and what it said."""
        process = self.start(script, **more)
        said, _ = process.communicate(timeout=PATIENCE)
        return process.returncode, said

    def job(self, steps: Sequence[tuple[str, Mapping[str, str]]], *, promote: str = "") -> tuple[int, str]:
        """Run steps (a script and its environment) until one fails; the first one that waits is waited for while people `promote`."""
        said = ""
        for script, environment in steps:
            process = self.start(script, **environment)
            if promote and "countersign wait" in script:
                with pytest.raises(subprocess.TimeoutExpired):
                    process.wait(timeout=3)  # nobody has signed: the pipeline stands
                self.installation.act("promote", promote)
            out, _ = process.communicate(timeout=PATIENCE)
            said += out
            if process.returncode:
                return process.returncode, said
        return 0, said

    @property
    def deployed(self) -> set[str]:
        """The files that `./deploy` was given."""
        folder = self.checkout / "deployed"
        return {one.name for one in folder.iterdir()} if folder.exists() else set()


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    found = Installation(tmp_path_factory.mktemp("recipes") / "installation")
    try:
        init = [sys.executable, "manage.py", "audit", "init"]
        subprocess.run(init, cwd=ROOT, env=found.environment, check=True)
        found.start_portal()
        found.start_jobs()
        found.start("sequencer", "manage.py", "audit", "sequencer")
        yield found
    finally:
        found.stop_all()


@pytest.fixture
def runner(installation: Installation, tmp_path: Path) -> Runner:
    return Runner(installation, tmp_path)


def github_steps(job: str, runner: Runner, values: Mapping[str, str]) -> list[tuple[str, dict[str, str]]]:
    """The scripts of a job with their environment as GitHub fills it in; a value that the recipe does not announce is a `KeyError`."""
    workflow = read("github-actions.yml")
    given = {"GITHUB_SHA": "c0ffee", "GITHUB_OUTPUT": "output", "GITHUB_STEP_SUMMARY": "summary"}
    found = []
    for step in workflow["jobs"][job]["steps"]:
        named = workflow["env"] | workflow["jobs"][job].get("env", {}) | step.get("env", {})
        filled = {name: EXPRESSION.sub(lambda one: values[one[1]], str(value)) for name, value in named.items()}
        if "run" in step and step["name"] != "Install the client":
            found.append((step["run"], given | filled))
    return found


@pytest.mark.story
@pytest.mark.timeout(900)
def test_github_deploys_what_was_signed_and_nothing_before(installation: Installation, runner: Runner) -> None:
    values = {
        "vars.COUNTERSIGN_URL": installation.portal,
        "secrets.COUNTERSIGN_REGISTER_TOKEN": installation.tokens["register"],
        "secrets.COUNTERSIGN_PULL_TOKEN": installation.tokens["pull"],
    }

    code, said = runner.job(github_steps("register", runner, values))
    assert code == 0, said
    name, _, version = (runner.checkout / "output").read_text().strip().partition("=")
    assert (name, runner.deployed) == ("version", set())
    assert f"/models/credit/v/{version}/" in (runner.checkout / "summary").read_text()

    deploy = github_steps("deploy", runner, values | {"needs.register.outputs.version": version})
    code, said = runner.job(deploy, promote=version)
    assert code == 0, said
    assert runner.deployed == {".countersign", *tiny()}

    installation.act("revoke", version)
    code, said = runner.job(deploy)
    assert (code, "was revoked" in said) == (3, True), said


@pytest.mark.story
@pytest.mark.timeout(900)
def test_gitlab_deploys_what_was_signed_and_nothing_before(installation: Installation, runner: Runner) -> None:
    pipeline = read("gitlab-ci.yml")
    assert list(pipeline["stages"]) == ["register", "deploy"]
    given = {
        **pipeline["variables"],
        "CI_COMMIT_SHA": "c0ffee",
        "COUNTERSIGN_URL": installation.portal,
        "COUNTERSIGN_REGISTER_TOKEN": installation.tokens["register"],
        "COUNTERSIGN_PULL_TOKEN": installation.tokens["pull"],
    }

    code, said = runner.run("\n".join(pipeline["register"]["script"]), **given)
    assert code == 0, said
    dotenv = (runner.checkout / pipeline["register"]["artifacts"]["reports"]["dotenv"]).read_text()
    name, _, version = dotenv.strip().partition("=")
    assert (name, runner.deployed) == ("VERSION", set())

    script = "\n".join(pipeline["deploy"]["script"])
    short = re.sub(r"--timeout \d+", "--timeout 1", script)
    code, said = runner.run(short, VERSION=version, **given)
    assert (code, runner.deployed) == (pipeline["deploy"]["retry"]["exit_codes"], set()), said
    code, said = runner.job([(script, given | {name: version})], promote=version)
    assert code == 0, said
    assert runner.deployed == {".countersign", *tiny()}


@pytest.mark.story
@pytest.mark.timeout(900)
def test_kserve_gets_a_verified_model_or_none(installation: Installation, runner: Runner, tmp_path: Path) -> None:
    number = str(installation.act("register")["number"])
    promoted = installation.act("promote", number)
    values = {"COUNTERSIGN_URL": installation.portal, "COUNTERSIGN_TOKEN": installation.tokens["pull"]}
    container = storage_container()["spec"]["container"]
    environment = {one["name"]: values.get(one["name"], one.get("value", "")) for one in container["env"]}
    environment["COUNTERSIGN_KEY"] = str(runner.checkout / "countersign" / "keys.pub")
    uri = inference_service()[1]["spec"]["predictor"]["model"]["storageUri"].rpartition("/")[0]

    def init(source: str, to: Path, **more: str) -> tuple[int, str]:
        to.mkdir()
        return runner.run(shlex.join([*entry_point(), source, str(to)]), **(environment | more))

    for n, source in enumerate([f"{uri}/{number}", "countersign://credit@production"]):
        code, said = init(source, tmp_path / f"models-{n}")
        assert (code, promoted["digest"][:12] in said) == (0, True), said
        assert {one.name for one in (tmp_path / f"models-{n}").iterdir()} == {".countersign", *tiny()}

    stranger = tmp_path / "stranger.pub"
    stranger.write_text(public_pem(Ed25519PrivateKey.generate().public_key()))
    code, said = init(f"{uri}/{number}", tmp_path / "refused", COUNTERSIGN_KEY=str(stranger))
    assert code == 1, said
    code, said = init(f"{uri}/{number}", tmp_path / "unpinned", COUNTERSIGN_KEY="")
    assert code == 2, said
    code, said = init(f"{uri}/{number}", tmp_path / "elsewhere", COUNTERSIGN_STAGE="staging")
    assert code == 3, said
    installation.act("revoke", number)
    code, said = init(f"{uri}/{number}", tmp_path / "revoked")
    assert (code, "was revoked" in said) == (3, True), said
    for name in ("refused", "unpinned", "elsewhere", "revoked"):
        assert not list((tmp_path / name).iterdir())
