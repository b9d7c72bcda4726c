"""`countersign pull --model-sig`: the bundle for the OpenSSF model-signing tool lies beside the proof and disturbs nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from countersign import NotProven, Registry, verify
from countersign.cli import main
from tests.client.standin import TOKEN, StandIn


def test_it_lies_beside_the_proof_and_is_no_file_of_the_model(
    registry: Registry, key_file: Path, tmp_path: Path
) -> None:
    registry.pull("credit@production", tmp_path / "model", model_sig=True)

    assert {one.name for one in (tmp_path / "model" / ".countersign").iterdir()} == {"pull.json", "model.sig"}
    assert verify(tmp_path / "model", key=key_file).release.version == 3


def test_it_is_asked_for_only_where_somebody_wants_it(registry: Registry, stand_in: StandIn, tmp_path: Path) -> None:
    registry.pull("credit@production", tmp_path / "model")

    assert not stand_in.requests("model.sig")
    assert not (tmp_path / "model" / ".countersign" / "model.sig").exists()


def test_it_comes_to_files_that_are_there_already(registry: Registry, stand_in: StandIn, tmp_path: Path) -> None:
    registry.pull("credit@production", tmp_path / "model")
    files = len(stand_in.requests("/blobs/"))

    registry.pull("credit@production", tmp_path / "model", model_sig=True)

    assert (tmp_path / "model" / ".countersign" / "model.sig").is_file()
    assert len(stand_in.requests("/blobs/")) == files


def test_one_about_other_files_is_refused_and_nothing_is_put_into_place(
    registry: Registry, stand_in: StandIn, tmp_path: Path
) -> None:
    stand_in.signed_files = stand_in.files | {"MLmodel": b"flavors: {evil: {}}\n"}

    with pytest.raises(NotProven, match="about other files") as refused:
        registry.pull("credit@production", tmp_path / "model", model_sig=True)

    assert refused.value.reason == "model-sig"
    assert not (tmp_path / "model").exists()


def test_the_command_line_takes_it(stand_in: StandIn, key_file: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("COUNTERSIGN_URL", stand_in.url)
    monkeypatch.setenv("COUNTERSIGN_TOKEN", TOKEN)

    code = main(["pull", "credit/3", str(tmp_path / "model"), "--key", str(key_file), "--model-sig"])

    assert code == 0
    assert (tmp_path / "model" / ".countersign" / "model.sig").is_file()
