"""MLflow's clients and everybody else get a registered file in ranges, or confirmed, over MLflow's artifact addresses too."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from access.models import User
from audit.queries import Filter, entries
from registry.models import ModelVersion
from registry.store import ArtifactStore
from serving.wire import Gate

pytestmark = pytest.mark.django_db(transaction=True)


def asked(token: str, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """What the wire answers, MLflow's own server left out."""
    given = {"authorization": f"Bearer {token}"} | {name.replace("_", "-"): value for name, value in headers.items()}
    scope = {
        "type": "http",
        "method": "GET",
        "path": f"/api/2.0/mlflow-artifacts/artifacts/countersign/credit/1/{path}",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        "client": ("127.0.0.1", 4711),
    }
    messages: list[Any] = []

    async def receive() -> Any:
        await asyncio.sleep(60)

    async def send(message: Any) -> None:
        messages.append(message)

    async def inner(*_: Any) -> None:
        raise AssertionError("MLflow's server was asked.")

    asyncio.run(Gate(inner)(scope, receive, send))
    start, *bodies = messages
    said = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return start["status"], said, b"".join(one["body"] for one in bodies)


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
