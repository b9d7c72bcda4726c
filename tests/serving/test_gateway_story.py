"""The pull gateway as a real process beside the portal: whoever pulls and watches through it cannot tell it from the portal."""

from __future__ import annotations

import hashlib
import json
import signal
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.serving.installation import Installation, free_port

pytestmark = [pytest.mark.story, pytest.mark.timeout(300)]


class Beside(Installation):
    """With a gateway that listens on a port of its own."""

    gateway_port = 0

    @property
    def gateway(self) -> str:
        return f"http://127.0.0.1:{self.gateway_port}"

    def start_gateway(self) -> None:
        self.gateway_port = self.gateway_port or free_port()
        self.start("gateway", "manage.py", "pull_gateway", "--port", str(self.gateway_port))
        self.wait(f"{self.gateway}/healthz")

    def client(self, address: str) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.tokens['pull']}"}
        return httpx.Client(base_url=f"{address}/api/v1", headers=headers, timeout=10)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beside]:
    made = Beside(tmp_path_factory.mktemp("gateway-story"))
    try:
        made.start_portal()
        made.start_gateway()
        number = made.act("register")["number"]
        made.act("promote", str(number))
        yield made
    finally:
        made.stop_all()


def events(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The events of a stream, one after the other."""
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def test_a_pull_through_it_is_the_portal_s(installation: Beside) -> None:
    with installation.client(installation.gateway) as gateway, installation.client(installation.portal) as portal:
        document, same = (one.get("/models/credit/aliases/champion") for one in (gateway, portal))

        assert document.json() == same.json()
        assert document.headers["ETag"] == same.headers["ETag"]
        held = gateway.get("/models/credit/aliases/champion", headers={"If-None-Match": same.headers["ETag"]})
        assert (held.status_code, held.content) == (304, b"")
        for file in document.json()["files"]:
            for origin in (installation.gateway, installation.portal):
                content = gateway.get(f"{origin}{file['url']}").content
                assert hashlib.sha256(content).hexdigest() == file["sha256"]
            half = file["size"] // 2
            first = gateway.get(f"{installation.gateway}{file['url']}", headers={"Range": f"bytes=0-{half}"})
            rest = portal.get(f"{installation.portal}{file['url']}", headers={"Range": f"bytes={half + 1}-"})
            assert {first.status_code, rest.status_code} == {206}
            assert hashlib.sha256(first.content + rest.content).hexdigest() == file["sha256"]


def test_a_gateway_that_was_killed_goes_on_where_it_was(installation: Beside) -> None:
    installation.stop("gateway", signal.SIGKILL)
    installation.start_gateway()

    with installation.client(installation.gateway) as gateway:
        assert gateway.get("/models/credit/aliases/champion").json()["version"] == 1


@pytest.mark.parametrize("door", ["gateway", "portal"])
def test_a_promotion_and_its_end_are_told_within_a_second(installation: Beside, door: str) -> None:
    with (
        installation.client(getattr(installation, door)) as client,
        client.stream("GET", "/watch?ref=credit@production") as answer,
    ):
        told = events(answer.iter_lines())
        assert [next(told)[0] for _ in range(2)] in (["release", "status"], ["revoked", "status"])

        number = installation.act("register")["number"]
        installation.act("promote", str(number))
        name, said = next(told)
        assert (name, said["version"]) == ("release", number)

        at = installation.act("revoke", str(number))["at"]
        name, said = next(told)
        assert (name, said["version"]) == ("revoked", number)
        assert time.time() - at < 5  # the promise is one second; a busy machine that runs tests gets more


def test_it_ends_within_its_grace_and_lets_watchers_go(installation: Beside) -> None:
    with (
        installation.client(installation.gateway) as client,
        client.stream("GET", "/watch?ref=credit@production") as answer,
    ):
        lines = answer.iter_lines()
        next(events(lines))
        begun = time.monotonic()

        assert installation.stop("gateway") == -signal.SIGTERM  # uvicorn says by which signal it ended, in good order
        assert time.monotonic() - begun < 8
