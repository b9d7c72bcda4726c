"""Fetches the files of a version into the cache: several at once, each going on where it stopped, stopping all when one is wrong."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import httpx

from countersign.cache import Cache, Partial
from countersign.errors import NotProven, NotReached
from countersign.proof.manifest import ManifestFile
from countersign.session import Session

WORKERS: Final = 8
_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,19})-\d{1,19}/(?:\d{1,19}|\*)", re.ASCII)

Tell = Callable[[int], None]
"""Is told how many more bytes are here; negative where some had to be thrown away."""


def fetch_all(
    files: Sequence[ManifestFile],
    urls: Mapping[str, str],
    *,
    session: Session,
    cache: Cache,
    tell: Tell,
    purpose: str = "",
    workers: int = WORKERS,
) -> None:
    """Have every file in the cache; `urls` by SHA-256. The first error ends all transfers and is raised; what is here is kept."""
    wanted = {file.sha256: file for file in files}
    fetching = _Fetching(session, cache, tell, {"X-Purpose": purpose[:200]} if purpose else {})
    with ThreadPoolExecutor(max_workers=max(1, min(workers, len(wanted))), thread_name_prefix="pull") as pool:
        running = [pool.submit(fetching.fetch, file, urls[digest]) for digest, file in wanted.items()]
        try:
            for one in running:
                one.result()
        except BaseException:
            fetching.stop.set()
            for one in running:
                one.cancel()
            raise


class _Stopped(Exception):
    """Another file has failed, so this one is not needed any more."""


class _Fetching:
    """One pull's transfers."""

    def __init__(self, session: Session, cache: Cache, tell: Tell, headers: Mapping[str, str]) -> None:
        self._session, self._cache, self._tell, self._headers = session, cache, tell, headers
        self.stop = threading.Event()

    def fetch(self, file: ManifestFile, url: str) -> None:
        """Have `file` in the cache."""
        if self._cache.holds(file):
            self._tell(file.size)
            return
        told = [0]  # bytes that were counted: an attempt that goes on counts none of them twice
        self._session.patiently(lambda: self._attempt(file, url, told))

    def _attempt(self, file: ManifestFile, url: str, told: list[int]) -> None:
        with self._cache.filling(file) as partial:
            if partial is None:
                self._count(told, file.size)
                return
            self._count(told, partial.size)
            went_on = partial.size > 0
            self._transfer(file, url, partial, told)
            if went_on and not partial.holds(file):  # what was kept of an earlier pull was damaged since
                partial.restart()
                self._transfer(file, url, partial, told)

    def _transfer(self, file: ManifestFile, url: str, partial: Partial, told: list[int]) -> None:
        if partial.size == file.size:
            return
        etag = f'"{file.sha256}"'
        headers = {**self._headers, "Accept": "*/*", "Accept-Encoding": "identity"}
        if partial.size:
            headers |= {"Range": f"bytes={partial.size}-", "If-Range": etag}
        with self._session.stream(url, headers=headers) as answer:
            if not _goes_on(answer, partial.size):
                partial.restart()
            if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise NotReached(
                    f"{file.path}: the registry could not go on where the transfer stopped.", reason="range"
                )
            for chunk in answer.iter_bytes():
                if self.stop.is_set():
                    raise _Stopped
                partial.append(chunk)
                self._count(told, partial.size)
                if partial.size > file.size:
                    partial.restart()
                    raise NotProven(f"{file.path}: the registry delivers more bytes than were signed.", reason="bytes")
        if partial.size < file.size:
            raise NotReached(f"{file.path}: the transfer broke off after {partial.size:,} bytes.", reason="broken-off")

    def _count(self, told: list[int], size: int) -> None:
        self._tell(size - told[0])
        told[0] = size


def _goes_on(answer: httpx.Response, size: int) -> bool:
    """Whether the answer begins where the transfer stopped; the whole file begins at 0."""
    if answer.status_code != httpx.codes.PARTIAL_CONTENT:
        return size == 0
    found = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    if found is None or int(found[1]) != size:
        raise NotReached("The registry answered with another part of the file than was asked for.", reason="range")
    return True
