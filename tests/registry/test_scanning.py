"""The scan runs in a process of its own: a crash, a time-out or too much memory is a refusal."""

from __future__ import annotations

import sys

import pytest

from registry.manifest import Limits
from registry.scanning import scan_files
from registry.store import ArtifactStore
from tests.factories import store_files, stored_tiny_model, tiny_model_files


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path / "store")


def test_the_process_gives_the_verdict(store):
    result = scan_files(stored_tiny_model(store), store, Limits())

    assert result.admitted
    assert result.servable


def test_a_scan_that_takes_too_long_refuses(store):
    result = scan_files(stored_tiny_model(store), store, Limits(), seconds=0.01)

    assert result.codes == ["scan-timeout"]
    assert not result.admitted


def test_a_scan_without_memory_refuses(store):
    greedy = tiny_model_files() | {"input_example.json": b"[" + b"0.5," * 3_000_000 + b"1]"}

    result = scan_files(store_files(greedy, store), store, Limits(), memory=64 * 1024**2)

    assert result.codes == ["scan-crashed"]
    assert not result.admitted


def test_a_scan_that_cannot_read_a_file_refuses(store):
    files = stored_tiny_model(store)
    store.path(files[0].sha256).unlink()

    assert scan_files(files, store, Limits()).codes == ["scan-crashed"]


def test_a_scan_that_answers_nonsense_refuses(store, monkeypatch, tmp_path):
    silly = tmp_path / "silly"
    silly.write_text('#!/bin/sh\ncat > /dev/null\necho \'{"verdict": "sure"}\'\n')
    silly.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(silly))

    assert scan_files(stored_tiny_model(store), store, Limits()).codes == ["scan-crashed"]
