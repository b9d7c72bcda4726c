"""`model.sig`, checked by the OpenSSF model-signing tool itself: it accepts exactly the files that were approved, by exactly our key."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from django.conf import settings
from django.test import Client
from rest_framework.test import APIClient

from access.models import User
from audit.queries import Filter, entries
from countersign.proof.model_sig import PREDICATE_TYPE, BadModelSig, check_bundle, sign_bundle
from foundation.keys import model_signing_key, public_pem
from registry.models import ModelVersion
from registry.store import ArtifactStore
from tests.serving.conftest import withdraw_approval

pytestmark = pytest.mark.django_db

MODEL_SIG = "/api/v1/models/credit/versions/1/model.sig"


@pytest.fixture
def scorer_api(api_for: Callable[[User | str], APIClient], scorer_token: str) -> APIClient:
    return api_for(scorer_token)


class Folder:
    """What an outsider has: the files as they were pulled, `model.sig`, the public key, and the tool."""

    def __init__(self, where: Path, version: ModelVersion, bundle: bytes, key: str) -> None:
        self.model, self.bundle, self.key = where / "model", where / "model" / ".countersign" / "model.sig", where / "k"
        self.bundle.parent.mkdir(parents=True)
        self.bundle.write_bytes(bundle)
        (self.bundle.parent / "pull.json").write_text("{}")
        self.key.write_text(key)
        for file in version.files:
            path = self.model / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            with ArtifactStore().open(file.sha256) as stored:
                path.write_bytes(stored.read())

    def checked(self, *options: str) -> tuple[int, str]:
        """The exit code of `model_signing verify key` and what it says, with the options that docs/guides/deploy.md gives.

        The tool prints a Python list, whose quotes are escaped where another text in it holds the other kind.
        """
        command = [sys.executable, "-m", "model_signing", "verify", "key", str(self.model), "--signature"]
        command += [str(self.bundle), "--public_key", str(self.key), "--no-ignore-git-paths", *options]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        return ended.returncode, (ended.stdout + ended.stderr).replace("\\'", "'")


@pytest.fixture
def folder(scorer_api: APIClient, client: Client, released: ModelVersion, tmp_path: Path) -> Folder:
    bundle, key = scorer_api.get(MODEL_SIG), client.get("/verify/model-signing.pub")
    assert (bundle.status_code, key.status_code) == (200, 200)
    return Folder(tmp_path, released, bundle.content, key.content.decode())


def test_the_tool_accepts_what_was_approved(folder: Folder) -> None:
    assert folder.checked() == (0, "Verification succeeded\n")


GUIDE: Final = settings.BASE_DIR / "docs" / "guides" / "deploy.md"


def test_the_guide_s_python_does_what_its_command_does(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    snippet = GUIDE.read_text().partition("```python\n")[2].partition("```")[0]
    here = folder.model.parent
    monkeypatch.chdir(here)
    model = shutil.copytree(folder.model, here / "models" / "credit")
    shutil.copy(folder.key, here / "model-signing.pub")
    run = [sys.executable, "-c", snippet]

    assert subprocess.run(run, capture_output=True, check=False).returncode == 0
    (model / ".gitignore").write_text("")
    assert b"Extra files found" in subprocess.run(run, capture_output=True, check=False).stderr


def _change_a_byte(folder: Folder) -> None:
    path = folder.model / "MLmodel"
    path.write_bytes(path.read_bytes()[:-1] + b"#")


def _add_a_git_folder(folder: Folder) -> None:
    (folder.model / ".git").mkdir()
    (folder.model / ".git" / "config").write_text("")


TAMPERED: dict[str, tuple[Callable[[Folder], Any], str]] = {
    "a changed byte": (_change_a_byte, "Hash mismatch for 'MLmodel'"),
    "an added file": (lambda one: (one.model / "extra.py").write_text(""), "Extra files found"),
    "an added file in a git folder": (_add_a_git_folder, "Extra files found"),
    "a removed file": (lambda one: (one.model / "MLmodel").unlink(), "Missing files"),
    "a link": (lambda one: (one.model / "link").symlink_to("MLmodel"), "link"),
    "a model.sig among the files": (lambda one: (one.model / "model.sig").write_text("{}"), "Extra files found"),
    "another key": (
        lambda one: one.key.write_text(public_pem(ec.generate_private_key(ec.SECP256R1()).public_key())),
        "Key mismatch",
    ),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_the_tool_refuses(folder: Folder, how: str) -> None:
    tamper, told = TAMPERED[how]

    tamper(folder)

    code, said = folder.checked()
    assert code == 1
    assert told in said


def test_the_tool_refuses_a_statement_that_was_changed_after_it_was_signed(folder: Folder) -> None:
    bundle = json.loads(folder.bundle.read_bytes())
    said = b64decode(bundle["dsseEnvelope"]["payload"])
    bundle["dsseEnvelope"]["payload"] = b64encode(said.replace(b'"credit/1"', b'"credit/2"')).decode()
    folder.bundle.write_text(json.dumps(bundle))

    code, said_of_it = folder.checked()

    assert code == 1
    assert "Verification failed" in said_of_it


def test_a_stranger_s_signature_that_claims_our_key_is_refused(folder: Folder) -> None:
    bundle = json.loads(folder.bundle.read_bytes())
    statement = json.loads(b64decode(bundle["dsseEnvelope"]["payload"]))
    forged = json.loads(sign_bundle(statement, ec.generate_private_key(ec.SECP256R1())))
    forged["verificationMaterial"] = bundle["verificationMaterial"]
    folder.bundle.write_text(json.dumps(forged))

    assert folder.checked()[0] == 1


def test_it_says_which_release_it_stands_for(folder: Folder, released: ModelVersion) -> None:
    statement = json.loads(b64decode(json.loads(folder.bundle.read_bytes())["dsseEnvelope"]["payload"]))

    assert statement["predicateType"] == PREDICATE_TYPE
    about = statement["predicate"]["countersign"]
    assert (about["model"], about["version"], about["stage"]) == ("credit", 1, "production")
    assert about["digest"] == released.digest


def test_what_speaks_of_other_files_is_no_model_sig_of_these(folder: Folder, released: ModelVersion) -> None:
    content = folder.bundle.read_bytes()

    check_bundle(content, released.files)
    with pytest.raises(BadModelSig, match="other files"):
        check_bundle(content, released.files[1:])
    for nonsense in (b"", b"[]", b'{"dsseEnvelope": {"payload": "e30="}}', b'{"dsseEnvelope": {"payload": "%"}}'):
        with pytest.raises(BadModelSig, match="no bundle"):
            check_bundle(nonsense, released.files)


def test_where_a_pull_is_refused_so_is_model_sig(
    scorer_api: APIClient, dave: User, released: ModelVersion, carol: User, api_for: Callable[[User | str], APIClient]
) -> None:
    assert scorer_api.get(MODEL_SIG).status_code == 200
    assert scorer_api.get(f"{MODEL_SIG}?stage=staging").status_code == 409
    assert api_for(dave).get(MODEL_SIG).status_code == 403  # an auditor gets the proof, not what comes with the bytes

    withdraw_approval(released, carol)

    assert scorer_api.get(MODEL_SIG).status_code == 409


def test_an_unreviewed_version_has_none(scorer_api: APIClient, candidate: ModelVersion) -> None:
    assert scorer_api.get(MODEL_SIG).json()["type"] == "urn:countersign:refusal:not-approved"


def test_who_took_it_is_on_record(scorer_api: APIClient, released: ModelVersion) -> None:
    answer = scorer_api.get(MODEL_SIG)
    scorer_api.get(f"{MODEL_SIG}?stage=staging")

    refused, taken = (one.entry for one in entries(Filter(action="version."))[:2])
    assert (taken.action, taken.outcome, taken.after["form"]) == ("version.attest", "ok", "model.sig")
    assert (refused.action, refused.outcome) == ("version.pull", "denied")
    assert answer["Countersign-Ledger-Entry"] == f"{taken.writer}/{taken.n}"
    assert answer["Content-Disposition"] == 'attachment; filename="model.sig"'


def test_without_its_key_the_registry_says_what_to_do(
    scorer_api: APIClient, client: Client, released: ModelVersion, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(settings, "MODEL_SIGNING_KEY_FILE", tmp_path / "missing.pem")

    answer = scorer_api.get(MODEL_SIG)

    assert (answer.status_code, "manage.py setup" in answer.json()["detail"]) == (503, True)
    assert client.get("/verify/model-signing.pub").status_code == 503


def test_another_kind_of_key_is_not_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    shutil.copy(settings.REGISTRY_KEY_FILE, path)
    monkeypatch.setattr(settings, "MODEL_SIGNING_KEY_FILE", path)

    with pytest.raises(ValueError, match=r"key\.pem holds no EC P-256 key"):
        model_signing_key()
