"""Portal and scoring worker as real processes: from nothing approved to serving, paused, swapped, revoked within two seconds."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.serving.installation import Installation
from tests.serving.tiny_models import ROWS

pytestmark = [pytest.mark.story, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    made = Installation(tmp_path_factory.mktemp("serving-story"))
    try:
        made.start_portal()
        yield made
    finally:
        made.stop_all()


def score(installation: Installation, token: str = "score") -> httpx.Response:
    headers = {"Authorization": f"Bearer {installation.tokens[token]}"}
    return httpx.post(f"{installation.scoring}/score/credit-live", json={"rows": ROWS}, headers=headers, timeout=10)


def until(installation: Installation, status: int, seconds: float = 30) -> float:
    """Ask until the worker answers with `status`; returns how many seconds that took."""
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        if score(installation).status_code == status:
            return time.monotonic() - begun
        time.sleep(0.02)
    raise AssertionError(f"{score(installation).text}\n{installation.log('worker')}\n{installation.log('portal')}")


def until_reported(installation: Installation, state: str) -> None:
    """Wait until the portal knows that the worker is in `state`."""
    deadline = time.monotonic() + 10
    while (found := installation.act("deployment")["state"]) != state:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def get(installation: Installation, path: str, token: str = "pull") -> httpx.Response:
    return httpx.get(
        f"{installation.portal}/api/v1{path}",
        headers={"Authorization": f"Bearer {installation.tokens[token]}"},
        timeout=10,
    )


class Meanwhile:
    """Keeps asking in a thread, and counts what it got."""

    def __init__(self, installation: Installation) -> None:
        self.installation, self.answers, self._stop = installation, Counter[Any](), threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Meanwhile:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._stop.is_set():
            answer = score(self.installation)
            self.answers[answer.status_code, answer.json().get("version")] += 1


def test_the_whole_story(installation: Installation) -> None:
    # nothing is approved: the worker runs, and answers nothing
    installation.act("register")
    installation.start_worker()
    refused = score(installation)
    assert refused.status_code == 503
    assert get(installation, "/models/credit/versions/1/download").status_code == 409

    # signed and promoted: it serves, without being restarted
    signed = installation.act("promote", "1")
    until(installation, 200)
    answer = score(installation).json()
    assert (answer["model"], answer["version"], answer["digest"]) == ("credit", 1, signed["digest"])
    assert [one["decision"] for one in answer["predictions"]] == [0, 1, 0, 1]
    assert score(installation, "pull").status_code == 403
    until_reported(installation, "serving")

    # each answer is on record
    logs = list((installation.folder / "var" / "predictions" / "credit-live").glob("*.log"))
    lines = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
    assert {one["id"] for one in answer["predictions"]} <= {line["id"] for line in lines}

    # the kill switch
    installation.act("pause")
    assert until(installation, 503) < 2
    assert "Complaints." in score(installation).json()["detail"]
    installation.act("resume")
    assert until(installation, 200) < 2

    # a second version takes over, and no request is dropped
    installation.act("register")
    with Meanwhile(installation) as meanwhile:
        installation.act("promote", "2")
        deadline = time.monotonic() + 20
        while (200, 2) not in meanwhile.answers and time.monotonic() < deadline:
            time.sleep(0.05)
    assert {status for status, _ in meanwhile.answers} == {200}
    assert {version for _, version in meanwhile.answers} == {1, 2}

    # revoked: within two seconds of the commit, and the link that worked is refused at once
    assert get(installation, "/models/credit/versions/2/download").status_code == 200
    committed = installation.act("revoke", "2")["at"]
    until(installation, 410)
    assert time.time() - committed < 2
    assert get(installation, "/models/credit/versions/2/download").status_code == 409
    assert "was revoked" in score(installation).json()["detail"]

    # a worker that starts now serves nothing, whatever it served before
    installation.stop("worker")
    assert installation.act("deployment") == {
        "state": "stopped",
        "detail": "The worker was shut down.",
        "version": None,
    }
    installation.start_worker()
    assert score(installation).status_code == 503
    until_reported(installation, "stopped")


def test_a_worker_whose_token_is_revoked_stops(installation: Installation) -> None:
    installation.act("register")
    installation.act("promote", "3")
    until(installation, 200)

    installation.act("revoke_token", installation.tokens["pull"])

    until(installation, 503)
    assert "does not let this worker serve" in score(installation).json()["detail"]
