"""`countersign wait`: a pipeline goes on when the version is released, stops when it never will be, and gives up in time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from countersign import Misused, NotReached, Refused, Registry
from countersign.cli import main
from countersign.refs import Ref
from countersign.waiting import await_release
from tests.client.standin import TOKEN, StandIn

VERSION = Ref("credit", "", 3)
RELEASE = 'event: release\ndata: {"ref": "credit/3", "model": "credit", "version": 3, "stage": "production"}\n\n'
REVOKED = 'event: revoked\ndata: {"ref": "credit/3", "model": "credit", "version": 3, "stage": "production"}\n\n'


@pytest.fixture
def patient(registry: Registry, stand_in: StandIn) -> StandIn:
    """The stand-in for somebody who waits: the version is in review."""
    stand_in.state = "in_review"
    return stand_in


def test_it_is_over_at_once_where_the_version_is_released(registry: Registry) -> None:
    found = await_release(registry, VERSION, stage="production", seconds=0)

    assert (found.verified.release.version, found.verified.release.stage) == (3, "production")


def test_it_is_over_as_soon_as_the_release_is_told(registry: Registry, patient: StandIn) -> None:
    patient.events = [REVOKED, ": heartbeat\n\n", RELEASE]

    found = await_release(registry, VERSION, stage="production", seconds=30)

    assert found.verified.release.version == 3
    assert patient.events == []
    assert len(patient.requests("/versions/3/")) == 1


def test_while_it_is_in_review_nothing_is_asked_that_would_be_refused(registry: Registry, patient: StandIn) -> None:
    with pytest.raises(NotReached, match="countersign why credit/3") as over:
        await_release(registry, VERSION, stage="production", seconds=0.3, every=0.1)

    assert (over.value.reason, over.value.exit_code) == ("not-released-yet", 4)
    assert not [path for path, _ in patient.asked if path.endswith("/versions/3?stage=production")]


def test_a_rejection_is_noticed_without_an_event(registry: Registry, patient: StandIn) -> None:
    asked = patient.asked

    class Rejecting(list[Any]):
        """Rejects the version while somebody watches it."""

        def append(self, item: Any) -> None:
            super().append(item)
            if "/watch" in item[0]:
                patient.state = "rejected"

    patient.asked = Rejecting(asked)
    with pytest.raises(Refused, match="credit/3 was rejected") as ended:
        await_release(registry, VERSION, stage="production", seconds=30, every=0.1)

    assert ended.value.exit_code == 3


@pytest.mark.parametrize("state", ["rejected", "revoked", "retired", "expired"])
def test_what_will_not_be_released_is_not_waited_for(registry: Registry, stand_in: StandIn, state: str) -> None:
    stand_in.state = state

    with pytest.raises(Refused) as ended:
        await_release(registry, VERSION, stage="production", seconds=30)

    assert ended.value.reason == state
    assert not stand_in.requests("/watch")


def test_a_version_that_is_live_elsewhere_is_waited_for(registry: Registry, stand_in: StandIn, monkeypatch) -> None:
    answers = iter([Refused("Not for this stage.", reason="not-approved"), registry.resolve(VERSION)])

    def resolve(ref: Ref, *, stage: str = "") -> Any:
        answer = next(answers)
        if isinstance(answer, Refused):
            raise answer
        return answer

    monkeypatch.setattr(registry, "resolve", resolve)
    stand_in.events = [RELEASE]

    assert await_release(registry, VERSION, stage="production", seconds=30).verified.release.version == 3


def test_another_refusal_ends_it(registry: Registry, monkeypatch) -> None:
    def resolve(ref: Ref, *, stage: str = "") -> Any:
        raise Refused("You may not.", reason="forbidden", status=403)

    monkeypatch.setattr(registry, "resolve", resolve)

    with pytest.raises(Refused, match="You may not"):
        await_release(registry, VERSION, stage="production", seconds=30)


def test_an_alias_is_nothing_to_wait_for(registry: Registry) -> None:
    with pytest.raises(Misused, match="by its number"):
        await_release(registry, Ref("credit", "production"), stage="production", seconds=0)


def test_on_the_command_line(
    stand_in: StandIn, key_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTERSIGN_URL", stand_in.url)
    monkeypatch.setenv("COUNTERSIGN_TOKEN", TOKEN)
    key = ["--key", str(key_file)]

    assert main(["wait", "credit/3", *key]) == 0
    assert "credit version 3 for production" in capsys.readouterr().out
    assert main(["wait", "credit/3", "--json", *key]) == 0
    assert json.loads(capsys.readouterr().out)["version"] == 3
    stand_in.state = "in_review"
    assert main(["wait", "credit/3", "--timeout", "0", *key]) == 4
    stand_in.state = "rejected"
    assert main(["wait", "credit/3", *key]) == 3
