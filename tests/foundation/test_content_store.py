"""The content store: written once, whole or not at all, whatever happens on the way."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.http import UnreadablePostError

from foundation.content_store import ContentStore
from foundation.refusals import Invalid, NotFound, TooLarge, Unavailable

HOUSE = Path(__file__).resolve().parents[2]
ENOUGH = 10**9


@pytest.fixture
def store(tmp_path):
    return ContentStore(tmp_path / "store")


def everything_in(store: ContentStore) -> list[Path]:
    return [path for path in store.root.rglob("*") if path.is_file()]


def test_what_was_written_is_read_back_under_its_sha256(store):
    data = b"weights" * 1000

    stored = store.write(io.BytesIO(data), limit=ENOUGH)

    assert stored.digest == hashlib.sha256(data).hexdigest()
    assert stored.size == len(data)
    with store.open(stored.digest, verify=True) as file:
        assert file.read() == data


def test_a_stored_file_cannot_be_written_by_its_mode(store):
    stored = store.write(io.BytesIO(b"weights"), limit=ENOUGH)

    assert stat.S_IMODE(store.path(stored.digest).stat().st_mode) == 0o440


def test_bytes_can_be_looked_at_before_they_are_kept(store):
    with store.arriving(io.BytesIO(b"weights"), limit=ENOUGH) as (stored, path):
        assert path.read_bytes() == b"weights"
        assert not store.path(stored.digest).exists()

    assert everything_in(store) == [store.path(stored.digest)]


def test_bytes_that_do_not_please_leave_nothing(store):
    with pytest.raises(Invalid, match="no table"), store.arriving(io.BytesIO(b"weights"), limit=ENOUGH):
        raise Invalid("This is no table.")

    assert everything_in(store) == []


def test_a_size_is_known_of_what_is_kept_only(store):
    stored = store.write(io.BytesIO(b"weights"), limit=ENOUGH)

    assert store.size(stored.digest) == 7
    assert store.size("0" * 64) is None


def test_the_same_bytes_are_kept_once(store):
    first = store.write(io.BytesIO(b"weights"), limit=ENOUGH)
    inode = store.path(first.digest).stat().st_ino

    second = store.write(io.BytesIO(b"weights"), limit=ENOUGH)

    assert second == first
    assert store.path(first.digest).stat().st_ino == inode
    assert everything_in(store) == [store.path(first.digest)]


def test_one_byte_beyond_the_limit_is_too_large_and_leaves_nothing(store):
    with pytest.raises(TooLarge, match="at most 10 bytes"):
        store.write(io.BytesIO(b"x" * 11), limit=10)

    assert everything_in(store) == []


def test_exactly_the_limit_is_kept(store):
    assert store.write(io.BytesIO(b"x" * 10), limit=10).size == 10


def test_a_truncated_upload_says_how_much_arrived_and_leaves_nothing(store):
    with pytest.raises(Invalid, match="100 bytes were announced and 40 arrived") as refused:
        store.write(io.BytesIO(b"x" * 40), expected_size=100, limit=ENOUGH)

    assert refused.value.code == "upload-truncated"
    assert everything_in(store) == []


def test_a_wrong_digest_names_both_and_leaves_nothing(store):
    expected = hashlib.sha256(b"other").hexdigest()

    with pytest.raises(Invalid, match=expected) as refused:
        store.write(io.BytesIO(b"weights"), expected_digest=expected, limit=ENOUGH)

    assert refused.value.code == "digest-mismatch"
    assert hashlib.sha256(b"weights").hexdigest() in refused.value.detail
    assert everything_in(store) == []


class GoesAway:
    """An upload whose client hangs up after the first chunk."""

    def __init__(self) -> None:
        self.chunks = [b"x" * 1000]

    def read(self, size: int = -1, /) -> bytes:
        if self.chunks:
            return self.chunks.pop()
        raise UnreadablePostError("connection reset")


def test_a_client_that_hangs_up_leaves_nothing(store):
    with pytest.raises(Invalid, match="broke off after 1,000 bytes"):
        store.write(GoesAway(), limit=ENOUGH)

    assert everything_in(store) == []


def test_a_reader_that_fails_otherwise_leaves_nothing(store):
    class Broken:
        def read(self, size: int = -1, /) -> bytes:
            raise RuntimeError("a fault of ours")

    with pytest.raises(RuntimeError):
        store.write(Broken(), limit=ENOUGH)

    assert everything_in(store) == []


@pytest.mark.parametrize("digest", ["../../etc/passwd", "", "A" * 64, "0" * 63, "0" * 64 + "/", "%2e%2e"])
def test_what_is_no_digest_names_no_file(store, digest):
    with pytest.raises(NotFound):
        store.path(digest)


def test_an_unknown_digest_is_not_found(store):
    with pytest.raises(NotFound):
        store.open("0" * 64)


def test_a_damaged_file_is_noticed_and_not_handed_out(store):
    stored = store.write(io.BytesIO(b"weights"), limit=ENOUGH)
    path = store.path(stored.digest)
    path.chmod(0o640)
    path.write_bytes(b"weighty")

    with pytest.raises(Unavailable, match="damaged"):
        store.open(stored.digest, verify=True)


def test_writing_over_a_file_of_another_size_is_refused(store):
    stored = store.write(io.BytesIO(b"weights"), limit=ENOUGH)
    path = store.path(stored.digest)
    path.chmod(0o640)
    path.write_bytes(b"wei")

    with pytest.raises(Unavailable, match="damaged"):
        store.write(io.BytesIO(b"weights"), limit=ENOUGH)


FULL_DISK = """
import io, resource, signal, sys
from pathlib import Path
from foundation.content_store import ContentStore
from foundation.refusals import Unavailable
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    ContentStore(Path(sys.argv[1])).write(io.BytesIO(b"x" * 3_000_000), limit=10**9)
except Unavailable as refusal:
    print(refusal.code)
"""


def test_a_disk_that_takes_no_more_is_said_and_nothing_is_half_written(tmp_path):
    """The kernel refuses the write in the middle of the file, as it does when the disk is full."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], cwd=HOUSE, capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "store-full"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system takes root")
def test_a_full_file_system_is_said_and_nothing_is_half_written(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)],  # noqa: S607 - wherever the system keeps it
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip("this machine lets nobody mount a file system")
    try:
        store = ContentStore(small)
        with pytest.raises(Unavailable, match="no room left") as refused:
            store.write(io.BytesIO(os.urandom(3_000_000)), limit=ENOUGH)

        assert refused.value.code == "store-full"
        assert everything_in(store) == []
        assert store.write(io.BytesIO(b"small enough"), limit=ENOUGH).size == 12
    finally:
        subprocess.run(["umount", str(small)], check=True)  # noqa: S607 - as above


KILLED = """
import sys
from pathlib import Path
from foundation.content_store import ContentStore
class Slow:
    def read(self, size=-1, /):
        sys.stdout.write("x"); sys.stdout.flush()
        import time; time.sleep(0.02)
        return b"y" * 100_000
ContentStore(Path(sys.argv[1])).write(Slow(), limit=10**9)
"""


def test_a_killed_upload_leaves_no_file_under_a_digest_and_is_cleared_later(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], cwd=HOUSE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.read(5)
    store = ContentStore(tmp_path)
    assert store.clear_abandoned() == 0, "an upload under way is left alone"

    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()

    assert not (tmp_path / "sha256").exists()
    assert len(everything_in(store)) == 1
    assert store.clear_abandoned() == 1
    assert everything_in(store) == []


def test_uploads_of_the_same_bytes_at_once_give_one_file(store):
    from threading import Thread

    digests = []
    threads = [
        Thread(target=lambda: digests.append(store.write(io.BytesIO(b"z" * 3_000_000), limit=ENOUGH).digest))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 30
    for thread in threads:
        thread.join(deadline - time.monotonic())

    assert len(set(digests)) == 1
    assert len(digests) == 8
    assert len(everything_in(store)) == 1
