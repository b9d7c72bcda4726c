"""Files by digest: whole, in ranges, or confirmed; each byte that leaves is the signed one, and on record."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from pytest_django.fixtures import Settings
from rest_framework.test import APIClient

from access.models import User
from audit.queries import Filter, entries
from countersign.proof.manifest import ManifestFile
from foundation.refusals import Unavailable
from registry.models import ModelVersion
from registry.store import ArtifactStore
from serving.byte_ranges import choose
from serving.pulls import Pull, PulledFile
from tests.conftest import as_
from tests.serving.conftest import withdraw_approval
from tests.serving.test_api import body

pytestmark = pytest.mark.django_db


@pytest.fixture
def scorer_api(api_for: Callable[[User | str], APIClient], scorer_token: str) -> APIClient:
    return api_for(scorer_token)


@pytest.fixture
def file(released: ModelVersion) -> ManifestFile:
    """The largest file of the version."""
    return max(released.files, key=lambda one: one.size)


@pytest.fixture
def content(file: ManifestFile) -> bytes:
    return ArtifactStore().path(file.sha256).read_bytes()


@pytest.fixture
def address(file: ManifestFile) -> str:
    return f"/api/v1/models/credit/versions/1/blobs/{file.sha256}"


def recorded() -> list[tuple[str, str, Any, Any]]:
    """What of pulls and reads is on record, oldest first: action, step or answer, bytes, range."""
    found = []
    for one in entries(Filter(action="version."))[::-1]:
        said = one.entry.after
        if one.entry.action in {"version.pull", "version.view"}:
            found.append((one.entry.action, said.get("step") or said["answer"], said.get("bytes"), said.get("range")))
    return found


def test_a_file_leaves_by_its_digest(scorer_api: APIClient, address: str, file: ManifestFile, content: bytes) -> None:
    answer = scorer_api.get(address)

    assert body(answer) == content
    assert answer["ETag"] == f'"{file.sha256}"'
    assert answer["Repr-Digest"] == f"sha-256=:{base64.b64encode(bytes.fromhex(file.sha256)).decode()}:"
    assert (answer["Content-Length"], answer["Accept-Ranges"]) == (str(file.size), "bytes")
    assert recorded() == [("version.pull", "begun", 0, None), ("version.pull", "completed", file.size, None)]


def test_a_pull_goes_on_where_it_broke_off(
    scorer_api: APIClient, address: str, file: ManifestFile, content: bytes
) -> None:
    held = content[:100]

    rest = scorer_api.get(address, headers={"Range": "bytes=100-", "If-Range": f'"{file.sha256}"'})

    assert rest.status_code == 206
    assert rest["Content-Range"] == f"bytes 100-{file.size - 1}/{file.size}"
    assert held + body(rest) == content
    length = file.size - 100
    whole = f"bytes=100-{file.size - 1}"
    assert recorded() == [("version.pull", "begun", 0, whole), ("version.pull", "completed", length, whole)]


def test_several_ranges_leave_as_parts(scorer_api: APIClient, address: str, file: ManifestFile, content: bytes) -> None:
    answer = scorer_api.get(address, headers={"Range": "bytes=0-9,20-29,-5"})

    said = body(answer)
    boundary = answer["Content-Type"].removeprefix("multipart/byteranges; boundary=")
    assert (answer.status_code, len(said)) == (206, int(answer["Content-Length"]))
    first, *parts, end = said.split(f"--{boundary}".encode())
    assert (first, end) == (b"\r\n", b"--\r\n")
    found = [re.fullmatch(rb"\r\n.*?Content-Range: (.*?)\r\n\r\n(.*)\r\n", part, re.DOTALL) for part in parts]
    assert [(one[1].decode(), one[2]) for one in found if one] == [
        (f"bytes 0-9/{file.size}", content[:10]),
        (f"bytes 20-29/{file.size}", content[20:30]),
        (f"bytes {file.size - 5}-{file.size - 1}/{file.size}", content[-5:]),
    ]
    assert recorded()[-1][:3] == ("version.pull", "completed", 25)


def test_another_copy_than_the_one_held_in_part_leaves_whole(
    scorer_api: APIClient, address: str, content: bytes
) -> None:
    answer = scorer_api.get(address, headers={"Range": "bytes=100-", "If-Range": '"another"'})

    assert (answer.status_code, body(answer)) == (200, content)


def test_what_lies_outside_the_file_is_refused_with_its_size(
    scorer_api: APIClient, address: str, file: ManifestFile
) -> None:
    answer = scorer_api.get(address, headers={"Range": f"bytes={file.size}-"})

    assert (answer.status_code, answer["Content-Range"]) == (416, f"bytes */{file.size}")
    assert recorded() == [("version.view", "416", None, None)]


def test_asking_and_confirming_are_reads(scorer_api: APIClient, address: str, file: ManifestFile) -> None:
    asked = scorer_api.head(address)
    confirmed = scorer_api.get(address, headers={"If-None-Match": f'"{file.sha256}"'})
    refused = scorer_api.get(address, headers={"If-Match": '"another"'})

    assert (asked.status_code, asked["Content-Length"]) == (200, str(file.size))
    assert (confirmed.status_code, confirmed["ETag"]) == (304, f'"{file.sha256}"')
    assert refused.status_code == 412
    assert recorded() == [("version.view", answer, None, None) for answer in ("200", "304", "412")]
    assert {one.entry.after["method"] for one in entries(Filter(action="version.view"))} == {"HEAD", "GET"}


def test_only_digests_of_the_manifest_can_be_asked_for(
    scorer_api: APIClient, released: ModelVersion, address: str
) -> None:
    other = ArtifactStore().write(BytesIO(b"another version's bytes"))

    for digest in (other.digest, "0" * 64, "..", "MLmodel", address[-64:].upper()):
        assert scorer_api.get(f"/api/v1/models/credit/versions/1/blobs/{digest}").status_code == 404, digest


def test_no_range_is_had_after_a_revocation(
    scorer_api: APIClient, address: str, file: ManifestFile, released: ModelVersion, carol: User
) -> None:
    withdraw_approval(released, carol)

    for headers in ({"Range": "bytes=0-1"}, {"If-None-Match": f'"{file.sha256}"'}):
        assert scorer_api.get(address, headers=headers).status_code == 409
    assert scorer_api.head(address).status_code == 409


def test_the_proxy_in_front_sends_the_bytes_where_that_is_configured(
    scorer_api: APIClient, address: str, file: ManifestFile, content: bytes, settings: Settings
) -> None:
    settings.ACCEL_PREFIX = "/_artifacts/"

    answer = scorer_api.get(address)

    assert answer["X-Accel-Redirect"] == f"/_artifacts/{file.sha256[:2]}/{file.sha256}"
    assert (answer.content, answer["ETag"]) == (b"", f'"{file.sha256}"')
    assert recorded() == [("version.pull", "handed_over", file.size, None)]
    assert body(scorer_api.get(address, headers={"Range": "bytes=0-9"})) == content[:10]


def test_damaged_bytes_are_neither_sent_nor_handed_to_the_proxy(
    scorer_api: APIClient, address: str, file: ManifestFile, settings: Settings
) -> None:
    path = ArtifactStore().path(file.sha256)
    path.chmod(0o640)
    path.write_bytes(b"cut short")

    assert scorer_api.get(address).status_code == scorer_api.head(address).status_code == 503
    settings.ACCEL_PREFIX = "/_artifacts/"
    assert scorer_api.get(address).status_code == 503


class TestSendfile:
    """A server that sends an open file past `read` says by `seek` how far it came."""

    def begun(self, released: ModelVersion, file: ManifestFile, scorer: User, header: str = "") -> PulledFile:
        chosen = choose(file.size, '""', {"Range": header} if header else {})
        return PulledFile(Pull(released, file.path, as_(scorer)), file, chosen)

    def test_all_of_it(self, released: ModelVersion, file: ManifestFile, scorer: User) -> None:
        with self.begun(released, file, scorer) as pulled:
            assert pulled.fileno() > 0
            pulled.seek(file.size)

        assert recorded()[-1][:3] == ("version.pull", "completed", file.size)

    def test_a_part_of_it(self, released: ModelVersion, file: ManifestFile, scorer: User) -> None:
        with self.begun(released, file, scorer, "bytes=10-19") as pulled:
            pulled.seek(15)

        assert recorded()[-1][:3] == ("version.pull", "broken_off", 5)

    def test_not_where_the_body_has_several_parts(
        self, released: ModelVersion, file: ManifestFile, scorer: User
    ) -> None:
        with (
            self.begun(released, file, scorer, "bytes=0-1,5-6") as pulled,
            pytest.raises(OSError, match="several parts"),
        ):
            pulled.fileno()

    def test_a_file_that_was_cut_short_meanwhile_is_broken_off(
        self, released: ModelVersion, file: ManifestFile, scorer: User
    ) -> None:
        with self.begun(released, file, scorer) as pulled:
            path = ArtifactStore().path(file.sha256)
            path.chmod(0o640)
            with path.open("r+b") as stored:
                stored.truncate(7)
            assert len(b"".join(pulled)) == 7

        assert recorded()[-1][:3] == ("version.pull", "broken_off", 7)


def test_nothing_is_begun_for_a_file_that_is_not_there(released: ModelVersion, scorer: User) -> None:
    missing = ManifestFile("model.skops", 3, "0" * 64)

    with pytest.raises(Unavailable):
        PulledFile(Pull(released, missing.path, as_(scorer)), missing)

    assert recorded() == []
