"""Watching what is live: the present first, each change within a second, and nothing missed by who comes back."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, connections
from django.utils import timezone
from rest_framework.test import APIClient

from access.models import ServiceToken, User
from audit.queries import Filter, entries
from countersign.proof.dsse import envelope_digest
from foundation.refusals import Invalid
from registry.models import ModelVersion
from serving import api, watching
from serving.changes import Changes, change_mark
from serving.watching import HEARTBEAT, RETRY, Present, Ref, State, parse_refs
from tests.reviews.conftest import MakeCandidate
from tests.serving.conftest import release, withdraw_approval

on_both = pytest.mark.postgres if connection.vendor == "postgresql" else pytest.mark.timeout(300)
"""Where PostgreSQL is given these tests are its too."""

CHAMPION = "/api/v1/watch?ref=credit@production"
Event = tuple[str, str, dict[str, Any]]


def events(said: bytes) -> list[Event]:
    """The events of a piece of a stream: id, name, data."""
    found = []
    for block in said.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and not line.startswith(":"))
        if "event" in fields:
            found.append((fields.get("id", ""), fields["event"], json.loads(fields["data"])))
    return found


@pytest.fixture
def scorer_api(api_for: Callable[[User | str], APIClient], scorer_token: str) -> APIClient:
    return api_for(scorer_token)


@pytest.fixture
def no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody else watches already, so that each answer says the present and ends."""
    monkeypatch.setattr(api, "WATCHERS", threading.BoundedSemaphore(1))
    api.WATCHERS.acquire()


class TestRefs:
    """What can be watched."""

    def test_a_stage_an_alias_or_a_number(self) -> None:
        assert parse_refs(["credit@production", "a/b/3", "credit@production"]) == (
            Ref("credit@production", "credit", alias="production"),
            Ref("a/b/3", "a/b", number=3),
        )

    @pytest.mark.parametrize("text", ["", "credit", "credit@", "@production", "credit/", "credit/x", "/3", "credit/0"])
    def test_nothing_else(self, text: str) -> None:
        with pytest.raises(Invalid, match="names nothing to watch"):
            parse_refs([text])

    def test_neither_none_nor_endless_ones(self) -> None:
        for texts in ([], [f"credit/{n}" for n in range(1, 52)]):
            with pytest.raises(Invalid, match="1 to 50 times"):
                parse_refs(texts)


class TestResuming:
    """What an id says of what its holder knows."""

    first, second = (
        State(Ref("a@p", "a", "p"), 1, "p", "d1", "r1"),
        State(Ref("b/2", "b", number=2), 2, why="Not yet.", code="none"),
    )

    def test_who_knows_nothing_is_told_everything(self) -> None:
        present = Present(7, (self.first, self.second))

        told = events(b"".join(present.since()))

        assert [(identity, name) for identity, name, _ in told] == [
            ("", "release"),
            ("", "revoked"),
            (present.id, "status"),
        ]

    def test_who_knows_it_is_told_nothing(self) -> None:
        present = Present(7, (self.first, self.second))

        assert present.since(present.id) == []

    def test_only_what_is_different_is_told(self) -> None:
        before = Present(7, (self.first, self.second))
        now = Present(8, (self.first, State(self.second.ref, 2, "p", "d2", "r2")))

        assert [name for _, name, _ in events(b"".join(now.since(before.id)))] == ["release", "status"]

    @pytest.mark.parametrize("last", ["7", "7.", "7.00", "x", "7." + "0" * 8, "7." + "0" * 24, "٧." + "0" * 16])
    def test_an_id_of_something_else_counts_for_nothing(self, last: str) -> None:
        assert len(Present(7, (self.first, self.second)).since(last)) == 3

    def test_what_ended_says_what_it_was(self) -> None:
        ended = Present(7, (State(self.first.ref, why="It was revoked.", code="alias-unknown"),))

        (_, name, data), *_ = events(b"".join(ended.after(Present(7, (self.first,))).since()))

        assert (name, data["version"], data["stage"]) == ("revoked", 1, "p")


@pytest.mark.django_db
@pytest.mark.usefixtures("no_place")
class TestTheFirstAnswer:
    """What the view says before anything changes."""

    def told(self, api: APIClient, address: str = CHAMPION, last: str = "") -> bytes:
        answer = api.get(address, headers={"Last-Event-ID": last} if last else {}, HTTP_ACCEPT="text/event-stream")
        assert answer["Content-Type"] == "text/event-stream"
        return b"".join(answer.streaming_content)  # type: ignore[attr-defined]  # a streaming response of the test client

    def test_says_the_present(self, scorer_api: APIClient, released: ModelVersion) -> None:
        said = self.told(scorer_api, CHAMPION + "&ref=credit/1&ref=credit@challenger&ref=credit@champion")

        told = events(said)
        assert said.startswith(RETRY)
        assert [name for _, name, _ in told] == ["release", "release", "revoked", "release", "status"]
        digest = envelope_digest(released.promotions.get().release)
        assert told[0][2] == {
            "ref": "credit@production",
            "model": "credit",
            "version": 1,
            "stage": "production",
            "digest": released.digest,
            "release": digest,
        }
        assert told[2][2]["code"] == "alias-unknown"

    def test_is_on_record_once_and_only_where_something_was_told(
        self, scorer_api: APIClient, released: ModelVersion
    ) -> None:
        (*_, (identity, _, _)) = events(self.told(scorer_api))

        assert self.told(scorer_api, last=identity) == RETRY + HEARTBEAT

        (entry,) = entries(Filter(action="version.watch"))
        assert (entry.entry.obj_name, entry.entry.after) == ("credit", {"refs": ["credit@production"]})

    def test_says_what_was_missed(self, scorer_api: APIClient, released: ModelVersion, carol: User) -> None:
        (*_, (identity, _, _)) = events(self.told(scorer_api))
        withdraw_approval(released, carol)

        told = events(self.told(scorer_api, last=identity))

        assert [name for _, name, _ in told] == ["revoked", "status"]

    def test_is_refused_to_who_may_not_pull(
        self, api_for: Callable[[User | str], APIClient], released: ModelVersion, dave: User, root: User
    ) -> None:
        assert api_for(dave).get(CHAMPION, HTTP_ACCEPT="text/event-stream").status_code == 403
        assert api_for(root).get(CHAMPION, HTTP_ACCEPT="text/event-stream").status_code == 404
        assert APIClient().get(CHAMPION).status_code == 401
        assert [(one.entry.outcome, one.entry.why) for one in entries(Filter(action="version.watch"))][::-1] == [
            ("denied", "forbidden"),
            ("denied", "not-found"),
        ]

    def test_is_refused_for_refs_that_name_nothing(self, scorer_api: APIClient, released: ModelVersion) -> None:
        answer = scorer_api.get("/api/v1/watch?ref=credit", HTTP_ACCEPT="text/event-stream")

        assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")
        assert "names nothing to watch" in answer.json()["detail"]


@pytest.mark.django_db(transaction=True)
class TestAStream:
    """What a stream says while it lasts."""

    @pytest.fixture
    def stream(self, scorer_api: APIClient, released: ModelVersion) -> Iterator[Callable[[], list[Event]]]:
        """The stream of `scorer`; each call gives the next events, and fails after five seconds without any."""
        answer = scorer_api.get(CHAMPION, HTTP_ACCEPT="text/event-stream")
        chunks = iter(answer.streaming_content)  # type: ignore[attr-defined]  # a streaming response of the test client

        def following() -> list[Event]:
            begun = time.monotonic()
            while time.monotonic() - begun < 20:
                if found := events(next(chunks, b"")):
                    return found
            raise AssertionError("Nothing was told.")

        yield following
        answer.close()

    def test_tells_of_a_promotion_and_of_a_revocation(
        self,
        stream: Callable[[], list[Event]],
        make_candidate: MakeCandidate,
        alice: User,
        bob: User,
        carol: User,
        rita: User,
    ) -> None:
        assert [name for _, name, _ in stream()] == ["release", "status"]

        second = release(make_candidate(), by=alice, validator=bob, risk=carol, promoter=rita)
        (_, name, data), *_ = stream()
        assert (name, data["version"], data["digest"]) == ("release", 2, second.digest)

        withdraw_approval(second, carol)
        told = stream()
        assert [name for _, name, _ in told] == ["revoked", "status"]
        assert (told[0][2]["version"], told[0][2]["stage"]) == (2, "production")

    def test_ends_when_its_token_is_revoked(self, stream: Callable[[], list[Event]], scorer: User) -> None:
        stream()

        ServiceToken.objects.filter(user=scorer).update(revoked_at=timezone.now())

        ((_, name, data),) = stream()
        assert (name, data["code"]) == ("denied", "bad-token")

    def test_gives_its_place_back_even_where_nobody_reads_it(
        self, scorer_api: APIClient, released: ModelVersion, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(api, "WATCHERS", threading.BoundedSemaphore(1))
        for _ in range(3):
            answer = scorer_api.get(CHAMPION, HTTP_ACCEPT="text/event-stream")
            assert not api.WATCHERS.acquire(blocking=False)
            answer.close()

        assert api.WATCHERS.acquire(blocking=False)

    def test_lives_on_a_beat_while_nothing_changes(
        self, scorer_api: APIClient, released: ModelVersion, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(watching, "HEARTBEAT_SECONDS", 0.3)
        monkeypatch.setattr(api, "WATCH_SECONDS", 1.5)

        answer = scorer_api.get(CHAMPION, HTTP_ACCEPT="text/event-stream")
        _, *rest = answer.streaming_content  # type: ignore[attr-defined]  # as above

        assert rest
        assert set(rest) == {HEARTBEAT}
        answer.close()


@pytest.mark.django_db(transaction=True)
@on_both
class TestChanges:
    """A mark differs after each commit of somebody else, and only then."""

    def test_a_mark_differs_after_a_commit(self, alice: User) -> None:
        other = connections.create_connection("default")
        try:
            before = change_mark(other)
            assert change_mark(other) == before
            User.objects.filter(pk=alice.pk).update(description="changed")
            after = change_mark(other)
            assert after != before
            assert change_mark(other) == after
        finally:
            other.close()

    def test_who_waits_learns_of_it(self, alice: User) -> None:
        changes = Changes()
        assert changes.wait(changes.count, 5.0)  # what happened before anybody looked
        seen = changes.count
        while changes.wait(seen, 1.0):
            seen = changes.count

        threading.Timer(0.2, _change, [alice.pk]).start()

        assert changes.wait(seen, 5.0)


def _change(pk: int) -> None:
    try:
        User.objects.filter(pk=pk).update(description="changed by a thread")
    finally:
        connection.close()
