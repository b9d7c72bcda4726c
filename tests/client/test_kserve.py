"""`countersign kserve-init`: what KServe's server finds was verified against the pinned key, or nothing is there and it does not start."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from countersign import LocalTrouble, NotProven, verify
from countersign.cli import main
from countersign.kserve import INCOMING, fetch
from tests.client.standin import TOKEN, StandIn

URI = "countersign://credit@production"


@pytest.fixture
def pod(stand_in: StandIn, key_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """What KServe gives the container: its environment, and an empty folder that is mounted."""
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))
    monkeypatch.setenv("COUNTERSIGN_URL", stand_in.url)
    monkeypatch.setenv("COUNTERSIGN_TOKEN", TOKEN)
    monkeypatch.setenv("COUNTERSIGN_KEY", str(key_file))
    models = tmp_path / "mnt" / "models"
    models.mkdir(parents=True)
    return models


def names(folder: Path) -> set[str]:
    return {one.name for one in folder.iterdir()}


def test_a_verified_model_is_where_the_server_looks(pod: Path, key_file: Path, tmp_path: Path) -> None:
    mounted = pod.stat().st_ino

    assert main(["kserve-init", URI, str(pod)]) == 0

    assert names(pod) == {"MLmodel", "model.skops", "data", ".countersign"}
    assert pod.stat().st_ino == mounted  # the mount itself stays: it cannot be exchanged
    assert verify(pod, key=key_file).release.version == 3
    assert names(tmp_path) == {"mnt", "registry.pub"}  # nothing was written anywhere else


def test_several_models_at_once(pod: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "mnt" / "other"

    assert main(["kserve-init", "--json", URI, str(pod), "countersign://credit/3", str(other)]) == 0

    assert [one["folder"] for one in json.loads(capsys.readouterr().out)] == [str(pod), str(other)]
    assert names(pod) == names(other)


def test_without_a_pinned_key_nothing_is_believed(pod: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COUNTERSIGN_KEY")

    assert main(["kserve-init", URI, str(pod)]) == 2
    assert names(pod) == set()


def test_another_registry_s_key_is_refused(pod: Path, key_file: Path) -> None:
    other = StandIn()
    key_file.write_text(other.key_file)
    other.close()

    assert main(["kserve-init", URI, str(pod)]) == 1
    assert names(pod) == set()


def test_bytes_that_nobody_signed_are_refused(pod: Path, stand_in: StandIn) -> None:
    stand_in.blob = lambda content: content[:-1] + b"#"

    with pytest.raises(NotProven):
        fetch(URI, pod)

    assert names(pod) == set()


def test_it_is_held_to_the_stage_that_the_cluster_names(
    pod: Path, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTERSIGN_STAGE", "staging")

    assert main(["kserve-init", "countersign://credit/3", str(pod)]) == 1
    assert any("stage=staging" in path for path, _ in stand_in.asked)
    assert names(pod) == set()


@pytest.mark.parametrize("uri", ["s3://bucket/model", "countersign://credit", "credit@production"])
def test_what_names_no_version_of_this_registry_is_refused(pod: Path, uri: str) -> None:
    assert main(["kserve-init", uri, str(pod)]) == 2


def test_a_source_without_a_folder_is_refused(pod: Path) -> None:
    assert main(["kserve-init", URI, str(pod), URI]) == 2
    assert names(pod) == set()


def test_a_container_that_starts_again_replaces_what_the_first_start_left(pod: Path, stand_in: StandIn) -> None:
    fetch(URI, pod)
    stand_in.files = {"MLmodel": b"flavors: {}\n# another one\n"}

    fetch(URI, pod)

    assert names(pod) == {"MLmodel", ".countersign"}


@pytest.mark.parametrize("left", ["on the way", "while moving"])
def test_a_container_that_was_killed_begins_again(pod: Path, left: str) -> None:
    if left == "while moving":
        fetch(URI, pod)
        (pod / "MLmodel").unlink()
    (pod / INCOMING / "model").mkdir(parents=True)
    (pod / INCOMING / "model" / "MLmodel").write_text("half of it")

    fetch(URI, pod)

    assert names(pod) == {"MLmodel", "model.skops", "data", ".countersign"}


def test_a_folder_of_somebody_else_is_left_alone(pod: Path) -> None:
    (pod / "theirs").write_text("kept")

    with pytest.raises(LocalTrouble, match="would be lost"):
        fetch(URI, pod)

    assert names(pod) == {"theirs"}


def test_volumes_keep_what_was_fetched_and_seen(pod: Path, tmp_path: Path, monkeypatch, stand_in: StandIn) -> None:
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "volume"))
    fetch(URI, pod)
    fetched = len(stand_in.requests("/blobs/"))
    shutil.rmtree(pod)

    fetch(URI, pod)

    assert len(stand_in.requests("/blobs/")) == fetched
    stand_in.registry.counter -= 1
    with pytest.raises(NotProven) as refused:
        fetch(URI, pod)
    assert refused.value.reason == "rollback"


def test_the_entry_point_says_so_where_it_refuses(
    pod: Path, stand_in: StandIn, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTERSIGN_TOKEN", "cs_other")

    assert main(["kserve-init", URI, str(pod)]) == 3
    assert capsys.readouterr().err == "The token is unknown.\n"
