"""The command line: what it keeps, what it says, and with which code it ends."""

from __future__ import annotations

import io
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from countersign.cli import main
from countersign.credentials import find_access
from tests.client.standin import FILES, TOKEN, StandIn


@pytest.fixture
def logged_in(stand_in: StandIn, key_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Logged in to the stand-in with its key pinned."""
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n")
    assert main(["login", stand_in.url, "--token-file", str(token), "--key", str(key_file)]) == 0
    token.unlink()
    capsys.readouterr()
    return stand_in.url


def json_of(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_login_keeps_the_token_for_its_owner_only_and_never_shows_it(
    stand_in: StandIn, key_file: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(TOKEN))

    code = main(["login", stand_in.url, "--token-file", "-", "--key", str(key_file)])

    kept = home / "XDG_CONFIG_HOME" / "countersign" / "credentials.json"
    said = capsys.readouterr()
    assert code == 0
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert TOKEN in kept.read_text()
    assert TOKEN not in said.out + said.err
    assert "Logged in" in said.out
    assert TOKEN not in repr(find_access())


def test_credentials_that_others_can_read_are_not_used(
    logged_in: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "XDG_CONFIG_HOME" / "countersign" / "credentials.json").chmod(0o644)

    assert main(["status"]) == 2
    assert "chmod 600" in capsys.readouterr().err


def test_the_environment_s_token_counts_before_the_kept_one(logged_in: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERSIGN_TOKEN", "cs_other")

    assert main(["status", "--json"]) == 3


def test_login_with_a_wrong_token_keeps_nothing(
    stand_in: StandIn, key_file: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COUNTERSIGN_TOKEN", "cs_wrong")

    assert main(["login", stand_in.url, "--key", str(key_file)]) == 3
    assert "The token is unknown" in capsys.readouterr().err
    assert not (home / "XDG_CONFIG_HOME").exists()


def test_plain_http_to_another_machine_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COUNTERSIGN_TOKEN", TOKEN)

    assert main(["login", "http://models.example.org"]) == 2
    assert "anybody on the way reads your token" in capsys.readouterr().err


def test_logout_forgets_the_token(logged_in: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["logout"]) == 0
    assert main(["status"]) == 2
    assert main(["logout"]) == 2


def test_pull_verify_and_tampering(logged_in: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "model"

    assert main(["pull", "credit@production", str(folder), "--json"]) == 0
    assert json_of(capsys)["sign_offs"][0]["reviewer"] == "bob"
    assert main(["verify", str(folder)]) == 0
    assert "is what was signed" in capsys.readouterr().out
    (folder / "MLmodel").write_text("flavors: {python_function: evil}")
    assert main(["verify", str(folder), "--json"]) == 1
    said = json_of(capsys)
    assert (said["error"], said["exit_code"]) == ("files", 1)
    assert said["detail"].startswith("MLmodel was changed")


def test_the_folder_is_named_after_the_reference(
    logged_in: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert main(["pull", "models:/credit@production"]) == 0
    assert (tmp_path / "credit-production" / "model.skops").read_bytes() == FILES["model.skops"]


def test_each_kind_of_failure_has_its_code(
    logged_in: str, stand_in: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "file").write_text("mine")

    assert main(["pull", "credit", str(tmp_path / "model")]) == 2
    assert main(["verify", str(tmp_path / "plain")]) == 2
    assert main(["pull", "credit@production", str(tmp_path / "plain")]) == 5
    stand_in.failures = [404]
    assert main(["pull", "credit@production", str(tmp_path / "model")]) == 3
    stand_in.registry.counter = 3
    main(["pull", "credit@production", str(tmp_path / "model")])
    stand_in.registry.counter = 2
    assert main(["pull", "credit@production", str(tmp_path / "model")]) == 1
    stand_in.close()
    assert main(["pull", "credit@production", str(tmp_path / "model"), "--registry", "http://127.0.0.1:9"]) == 2
    assert main(["status"]) == 4


def test_a_folder_without_permission_is_told(logged_in: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pull", "credit@production", "/sys/model"]) == 5  # where not even root may make a folder
    assert "You may not make the folder" in capsys.readouterr().err


def test_a_file_in_the_way_is_told(logged_in: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("x")

    assert main(["pull", "credit@production", str(tmp_path / "file" / "model")]) == 5
    assert "in the way" in capsys.readouterr().err


def test_watch_ends_at_the_awaited_version_and_runs_a_command_without_the_token(
    logged_in: str, stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTERSIGN_TOKEN", TOKEN)
    said = {"ref": "credit@production", "model": "credit", "version": 3, "stage": "production", "digest": "ab"}
    stand_in.events = [f"id: 1\nevent: release\ndata: {json.dumps(said)}\n\n"]
    out = tmp_path / "out"
    run = f'env | grep ^COUNTERSIGN_ | sort > "{out}"'

    code = main(["watch", "credit@production", "--until", "3", "--run", run, "--pull", str(tmp_path / "model")])

    told = out.read_text()
    assert code == 0
    assert "COUNTERSIGN_VERSION=3" in told
    assert "COUNTERSIGN_KIND=release" in told
    assert TOKEN not in told
    assert (tmp_path / "model" / "MLmodel").exists()


def test_watch_says_when_its_time_is_over(logged_in: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "credit@production", "--until", "9", "--timeout", "0.3"]) == 4
    assert "version 9 was not seen" in capsys.readouterr().err


def test_status_tells_what_is_pinned(logged_in: str, stand_in: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status"]) == 0
    said = capsys.readouterr().out
    assert "scorer" in said
    assert stand_in.registry.signer.key_id in said
    assert main(["status", "credit@production", "--json"]) == 0
    assert json_of(capsys)["version"] == 3
