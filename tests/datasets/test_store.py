"""The store of dataset files: whole or not at all, with a name that is only a name."""

from __future__ import annotations

import errno
import hashlib
import io
import os
from pathlib import Path
from typing import BinaryIO

import pytest
from pytest_django import Settings

from datasets import store
from foundation.refusals import Invalid, TooLarge, Unavailable
from tests.datasets.frames import loans
from tests.datasets.made import parquet


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_file_is_kept_under_its_sha256_and_cannot_be_written(settings: Settings) -> None:
    data = parquet(loans(50)).getvalue()

    stored = store.receive(io.BytesIO(data), filename="loans.parquet")

    path = Path(settings.DATASET_DIR) / stored.digest[:2] / stored.digest
    assert store.path_of(stored.digest) == path
    assert stored.digest == hashlib.sha256(data).hexdigest()
    assert path.read_bytes() == data
    assert path.stat().st_mode & 0o777 == 0o440
    assert (stored.rows, stored.size) == (50, len(data))
    assert files_in(Path(settings.DATASET_DIR)) == [path]


def test_the_same_bytes_are_kept_once(settings: Settings) -> None:
    data = parquet(loans(50)).getvalue()

    first, second = (store.receive(io.BytesIO(data), filename="a.parquet") for _ in range(2))

    assert first.digest == second.digest
    assert len(files_in(Path(settings.DATASET_DIR))) == 1


def test_a_damaged_file_is_noticed_when_its_bytes_come_again() -> None:
    data = parquet(loans(50)).getvalue()
    path = store.path_of(store.receive(io.BytesIO(data), filename="a.parquet").digest)
    path.chmod(0o640)
    path.write_bytes(data[:-1])

    with pytest.raises(Unavailable, match="damaged") as refused:
        store.receive(io.BytesIO(data), filename="a.parquet")

    assert refused.value.code == "data-file-damaged"


@pytest.mark.parametrize(
    "name",
    [
        "../loans.parquet",
        "a/b.parquet",
        "..parquet",
        "a..b.parquet",
        ".hidden.parquet",
        "a\x00.parquet",
        "a\n.csv",
        "",
        "x" * 200 + ".csv",
        "C:\\a.csv",
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match="file name"):
        store.receive(io.BytesIO(b""), filename=name)


@pytest.mark.parametrize("name", ["loans.xlsx", "loans", "loans.parquet.exe", "loans.pkl"])
def test_other_formats_are_refused(name: str) -> None:
    with pytest.raises(Invalid, match=r"neither \.parquet nor \.csv"):
        store.receive(io.BytesIO(b"x"), filename=name)


@pytest.mark.parametrize("cut", [1, 8, 200, 2_000])
def test_a_truncated_parquet_file_is_refused_and_leaves_nothing(cut: int, settings: Settings) -> None:
    data = parquet(loans(500)).getvalue()

    with pytest.raises(Invalid, match="cut off") as caught:
        store.receive(io.BytesIO(data[:-cut]), filename="loans.parquet")

    assert caught.value.code == "file-format"
    assert files_in(Path(settings.DATASET_DIR)) == []


def test_pages_that_the_footer_promises_are_read_before_the_file_is_kept(settings: Settings) -> None:
    data = bytearray(parquet(loans(5_000)).getvalue())
    data[200:2_000] = bytes(1_800)

    with pytest.raises(Invalid):
        store.receive(io.BytesIO(bytes(data)), filename="loans.parquet")

    assert files_in(Path(settings.DATASET_DIR)) == []


def test_an_oversized_file_is_refused_before_it_is_read_to_its_end(settings: Settings) -> None:
    class Endless:
        given = 0

        def read(self, size: int = -1, /) -> bytes:
            self.given += size
            return b"x" * size

    endless = Endless()

    with pytest.raises(TooLarge, match="at most 5,000,000 bytes"):
        store.receive(endless, filename="loans.csv", limit=5_000_000)

    assert endless.given < 8_000_000
    assert files_in(Path(settings.DATASET_DIR)) == []


def test_a_full_disk_is_said_and_leaves_nothing(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(Unavailable, match="disk is full") as refused:
        store.receive(parquet(loans(50)), filename="loans.parquet")

    assert refused.value.code == "disk-full"
    assert files_in(Path(settings.DATASET_DIR)) == []


def test_an_upload_that_breaks_off_is_said_and_leaves_nothing(settings: Settings) -> None:
    class Broken:
        left = 2

        def read(self, size: int = -1, /) -> bytes:
            self.left -= 1
            if not self.left:
                raise OSError("the client went away")
            return b"a,b\n"

    with pytest.raises(Invalid, match="broke off after 4 bytes") as refused:
        store.receive(Broken(), filename="loans.csv")

    assert refused.value.code == "file-truncated"
    assert files_in(Path(settings.DATASET_DIR)) == []


def test_csv_is_read_like_parquet() -> None:
    frame = loans(40)

    stored = store.receive(io.BytesIO(frame.to_csv(index=False).encode()), filename="loans.csv")

    again = store.read_file(store.path_of(stored.digest), ["age", "repaid"])
    assert stored.rows == 40
    assert again["age"].tolist() == frame["age"].tolist()
    assert list(again.columns) == ["age", "repaid"]


@pytest.mark.parametrize("text", [b"", b"a,b\n1,2\n3\n", b"\xff\xfe\x00,\x01"])
def test_a_ragged_or_empty_csv_is_refused(text: bytes) -> None:
    with pytest.raises(Invalid):
        store.receive(io.BytesIO(text), filename="loans.csv")


def test_a_table_without_rows_is_refused() -> None:
    with pytest.raises(Invalid, match="no rows"):
        store.receive(parquet(loans(10).head(0)), filename="loans.parquet")


def test_django_uploads_are_read_in_chunks(tmp_path: Path) -> None:
    path = tmp_path / "loans.parquet"
    path.write_bytes(parquet(loans(30)).getvalue())

    def opened() -> BinaryIO:
        return path.open("rb")

    with opened() as file:
        assert store.receive(file, filename="loans.parquet").rows == 30
