"""The artifact store: where artifacts lie, how large one may be, and its own words; the rest is `foundation.content_store`."""

from __future__ import annotations

import errno
import hashlib
import io
import os
from pathlib import Path

import pytest

from foundation.refusals import NotFound, TooLarge, Unavailable
from registry.store import ArtifactStore


def everything_in(store: ArtifactStore) -> list[Path]:
    return [path for path in store.root.rglob("*") if path.is_file()]


def test_artifacts_lie_in_the_artifact_folder_under_their_sha256(settings):
    digest = hashlib.sha256(b"weights").hexdigest()

    stored = ArtifactStore().write(io.BytesIO(b"weights"))

    assert (stored.digest, stored.size) == (digest, 7)
    assert everything_in(ArtifactStore()) == [Path(settings.ARTIFACT_DIR) / "sha256" / digest[:2] / digest]


def test_one_byte_beyond_the_products_limit_is_too_large_and_leaves_nothing(settings):
    settings.MAX_FILE_BYTES = 10

    assert ArtifactStore().write(io.BytesIO(b"x" * 10)).size == 10
    with pytest.raises(TooLarge, match="at most 10 bytes"):
        ArtifactStore().write(io.BytesIO(b"x" * 11))

    assert len(everything_in(ArtifactStore())) == 1


def test_a_limit_of_ones_own_goes_before_the_products():
    with pytest.raises(TooLarge, match="at most 5 bytes"):
        ArtifactStore().write(io.BytesIO(b"x" * 6), limit=5)


def test_an_unknown_artifact_is_not_found():
    with pytest.raises(NotFound, match="not in the artifact store"):
        ArtifactStore().open("0" * 64)


@pytest.mark.parametrize("damage", [b"weighty", b"wei"])
def test_a_damaged_artifact_has_a_code_of_its_own(damage):
    store = ArtifactStore()
    stored = store.write(io.BytesIO(b"weights"))
    path = store.path(stored.digest)
    path.chmod(0o640)
    path.write_bytes(damage)

    with pytest.raises(Unavailable, match="damaged") as refused:
        store.open(stored.digest, verify=True)

    assert refused.value.code == "artifact-damaged"


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path, monkeypatch):
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    store = ArtifactStore(tmp_path)
    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(Unavailable, match="artifact store has no room left") as refused:
        store.write(io.BytesIO(b"weights"))

    assert refused.value.code == "store-full"
    assert everything_in(store) == []


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(Unavailable, match="artifact store cannot be written") as refused:
        ArtifactStore(tmp_path / "file").write(io.BytesIO(b"weights"))

    assert refused.value.code == "store-unavailable"
