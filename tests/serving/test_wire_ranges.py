"""MLflow's clients and everybody else get a registered file in ranges, or confirmed, over MLflow's artifact addresses too."""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import suppress
from typing import Any

import pytest
from anyio import CancelScope
from anyio.lowlevel import checkpoint
from starlette.types import Send

from access.models import User
from audit.queries import Filter, entries
from registry.models import ModelVersion
from registry.store import ArtifactStore
from serving.wire import Gate

pytestmark = pytest.mark.django_db(transaction=True)


def asked(token: str, path: str, *, method: str = "GET", **headers: Any) -> tuple[int, dict[str, str], bytes]:
    """What the wire answers, MLflow's own server left out."""
    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    ask(token, path, send, method=method, **headers)
    start, *bodies = messages
    assert [one.get("more_body", False) for one in bodies] == [True] * (len(bodies) - 1) + [False], "it ends once"
    said = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return start["status"], said, b"".join(one["body"] for one in bodies)


def ask(
    token: str,
    path: str,
    send: Send,
    *,
    method: str = "GET",
    scopes: list[CancelScope] | None = None,
    gone: asyncio.Event | None = None,
    **headers: str,
) -> None:
    """Let the wire answer to `send`; the scope in which it does so is added to `scopes`, so that it can be cancelled.

    `gone`: the server says that the client went away.
    """
    given = {"authorization": f"Bearer {token}"} | {name.replace("_", "-"): value for name, value in headers.items()}
    scope = {
        "type": "http",
        "method": method,
        "path": f"/api/2.0/mlflow-artifacts/artifacts/countersign/credit/1/{path}",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        "client": ("127.0.0.1", 4711),
    }

    async def receive() -> Any:
        await (gone.wait() if gone else asyncio.sleep(60))
        return {"type": "http.disconnect"}

    async def inner(*_: Any) -> None:
        raise AssertionError("MLflow's server was asked.")

    async def answer() -> None:
        with CancelScope() as cancelling:
            (scopes if scopes is not None else []).append(cancelling)
            await Gate(inner)(scope, receive, send)

    asyncio.run(answer())


def recorded() -> list[tuple[str, Any]]:
    """What of pulls and reads is on record, oldest first: the step or the answer, and how many bytes left."""
    found = [one.entry.after for one in entries(Filter(action="version."))[::-1]]
    return [(said.get("step") or said["answer"], said.get("bytes")) for said in found if {"step", "answer"} & set(said)]


def test_a_registered_file_leaves_in_ranges_and_is_confirmed(
    scorer_token: str, released: ModelVersion, scorer: User
) -> None:
    file = max(released.files, key=lambda one: one.size)
    content = ArtifactStore().path(file.sha256).read_bytes()

    whole = asked(scorer_token, file.path)
    part = asked(scorer_token, file.path, range="bytes=10-19", if_range=f'"{file.sha256}"')
    held = asked(scorer_token, file.path, if_none_match=f'"{file.sha256}"')
    outside = asked(scorer_token, file.path, range=f"bytes={file.size}-")

    assert (whole[0], whole[2], whole[1]["content-length"]) == (200, content, str(file.size))
    assert (part[0], part[2]) == (206, content[10:20])
    assert part[1]["content-range"] == f"bytes 10-19/{file.size}"
    assert (held[0], held[2]) == (304, b"")
    assert (outside[0], outside[1]["content-range"]) == (416, f"bytes */{file.size}")
    found = [one.entry.after for one in entries(Filter(action="version."))[::-1]]
    assert [one["step"] for one in found if "step" in one] == ["begun", "completed"] * 2
    assert [one["answer"] for one in found if "answer" in one] == ["304", "416"]


def test_every_answer_says_which_bytes_it_is_about_and_how_to_keep_them(
    scorer_token: str, released: ModelVersion
) -> None:
    file = released.files[0]
    tag = f'"{file.sha256}"'

    held = asked(scorer_token, file.path, if_none_match=tag)
    answers = [
        asked(scorer_token, file.path),
        asked(scorer_token, file.path, range="bytes=0-1"),
        asked(scorer_token, file.path, range=f"bytes={file.size}-"),
        held,
    ]

    assert [status for status, _, _ in answers] == [200, 206, 416, 304]
    for _, said, _ in answers:
        assert said["etag"] == tag
        assert said["repr-digest"] == f"sha-256=:{base64.b64encode(bytes.fromhex(file.sha256)).decode()}:"
        assert said["content-type"] == "application/octet-stream"
        assert said["x-content-type-options"] == "nosniff"
        assert said["content-disposition"] == f'attachment; filename="{file.path}"'
        assert said["cache-control"] == "private, no-cache"
        assert said["accept-ranges"] == "bytes"
    assert ("content-length" in held[1], held[2]) == (False, b"")


def test_mlflows_addresses_know_no_other_method_of_reading(scorer_token: str, released: ModelVersion) -> None:
    status, said, _ = asked(scorer_token, released.files[0].path, method="HEAD")

    assert (status, "etag" in said) == (404, False)
    assert recorded() == []


def test_whoever_names_no_credential_is_asked_for_one(released: ModelVersion) -> None:
    status, said, _ = asked("nothing", released.files[0].path)

    assert (status, said["www-authenticate"]) == (401, 'Basic realm="Countersign"')


def test_damaged_bytes_do_not_leave_and_nothing_is_begun(scorer_token: str, released: ModelVersion) -> None:
    file = released.files[0]
    stored = ArtifactStore().path(file.sha256)
    stored.chmod(0o600)
    stored.write_bytes(b"")

    status, said, content = asked(scorer_token, file.path)

    assert (status, "www-authenticate" in said) == (409, False)
    assert "missing or damaged" in json.loads(content)["message"]
    assert "etag" not in said
    assert recorded() == []


@pytest.mark.parametrize("how", ["breaks off", "is cancelled", "is told of it"])
def test_a_client_that_goes_away_is_on_record_with_what_left_until_then(
    scorer_token: str, released: ModelVersion, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The server says so by an error from `send`, by cancelling the task that answers, or, as uvicorn does, only to who asks."""
    monkeypatch.setattr("serving.wire.CHUNK_BYTES", 100)
    scopes: list[CancelScope] = []
    told = asyncio.Event()

    async def gone(message: Any) -> None:
        if message["type"] == "http.response.body":
            if how == "breaks off":
                raise BrokenPipeError
            if how == "is told of it":
                told.set()
                await asyncio.sleep(0.05)
            else:
                scopes[0].cancel()
                await checkpoint()

    with suppress(BrokenPipeError):
        ask(scorer_token, released.files[0].path, gone, scopes=scopes, gone=told if how == "is told of it" else None)

    assert recorded() == [("begun", 0), ("broken_off", 100)]
