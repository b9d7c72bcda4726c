"""The pull gateway says what the portal says, to the same people, on the same record; and forgets at once what does not hold any more."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient

from access.actions import assign_role, issue_token, withdraw_role
from access.models import Role, RoleAssignment, ServiceToken, User
from access.permissions import PEOPLE_ONLY, Permission, grant, withdraw
from access.principal import Principal
from audit.queries import Filter, entries
from audit.sequencer import Sequencer
from foundation.refusals import Unavailable
from registry.actions import create_model
from registry.models import ModelVersion, RegisteredModel
from registry.store import ArtifactStore
from reviews.models import Approval
from serving import live
from serving.attestations import current_snapshot
from serving.gateway import Gateway
from serving.gateway_http import Asked
from serving.gateway_watching import Watching
from serving.models import StatusCounter
from tests.audit.conftest import happen, ledger_of_its_own, sequencer
from tests.conftest import as_
from tests.reviews.conftest import MakeCandidate
from tests.serving.conftest import release, service, withdraw_approval

__all__ = ["ledger_of_its_own", "sequencer"]

on_both = pytest.mark.postgres if connection.vendor == "postgresql" else pytest.mark.timeout(300)
pytestmark = [pytest.mark.django_db(transaction=True), on_both]

V1 = "/api/v1/models/credit"
CHAMPION = f"{V1}/aliases/champion"


@dataclass
class Said:
    """An answer of the gateway."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self.body)
        return said


class Client:
    """Asks the application as a server would, and may go away in the middle."""

    def __init__(self, gateway: Gateway, token: str) -> None:
        self.gateway, self.token = gateway, token

    async def get(self, path: str, method: str = "GET", parts: int = 10**6, **headers: str) -> Said:
        """The answer; the client goes away after so many parts of a body."""
        said = Said(0, {}, b"")
        async with self.following(path, method, **headers) as messages:
            async for message in messages:
                if message["type"] == "http.response.start":
                    said.status = message["status"]
                    said.headers = {name.decode(): value.decode() for name, value in message["headers"]}
                else:
                    said.body += message["body"]
                    parts -= 1
                if parts <= 0 or not message.get("more_body", True):
                    break
        return said

    @contextlib.asynccontextmanager
    async def following(
        self, path: str, method: str = "GET", **headers: str
    ) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """The messages of an answer as they come; the client goes away at the end of the block."""
        path, _, query = path.partition("?")
        given = {"authorization": f"Bearer {self.token}"} if self.token else {}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
            "client": ("192.0.2.9", 4711),
        }
        left, messages = asyncio.Event(), asyncio.Queue[dict[str, Any]](1)

        async def receive() -> dict[str, Any]:
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if not left.is_set():
                await messages.put(message)

        async def read() -> AsyncIterator[dict[str, Any]]:
            while True:
                getting = asyncio.create_task(messages.get())
                done, _ = await asyncio.wait({getting, task}, timeout=10, return_when=asyncio.FIRST_COMPLETED)
                if getting in done:
                    yield getting.result()
                elif messages.empty():
                    getting.cancel()
                    if task in done:
                        task.result()
                        return
                    raise AssertionError("Nothing came in ten seconds.")

        task = asyncio.create_task(self.gateway(scope, receive, send))
        try:
            yield read()
        finally:
            left.set()
            while not task.done():
                with contextlib.suppress(asyncio.QueueEmpty):
                    messages.get_nowait()
                await asyncio.sleep(0.001)
            task.result()


def through_gateway(token: str, scenario: Callable[[Client], Coroutine[Any, Any, None]]) -> None:
    """Play a scenario with a running gateway, and stop it."""

    async def play() -> None:
        gateway, steps = Gateway(), asyncio.Queue[dict[str, Any]]()
        ready, stopped = asyncio.Event(), asyncio.Event()

        async def send(message: Any) -> None:
            (ready if message["type"] == "lifespan.startup.complete" else stopped).set()

        running = asyncio.create_task(gateway({"type": "lifespan"}, steps.get, send))
        await steps.put({"type": "lifespan.startup"})
        await ready.wait()
        try:
            await scenario(Client(gateway, token))
        finally:
            await steps.put({"type": "lifespan.shutdown"})
            await running
            await sync_to_async(lambda: connection.close())()

    asyncio.run(play())


doing = sync_to_async
"""What people do meanwhile, in a thread with a connection of its own."""


def recorded(action: str) -> list[tuple[str, str, dict[str, Any]]]:
    return [(one.entry.outcome, one.entry.why, one.entry.after) for one in entries(Filter(action=action))[::-1]]


def test_it_says_what_the_portal_says(
    sequencer: Sequencer, scorer_token: str, released: ModelVersion, api_for: Callable[[User | str], APIClient]
) -> None:
    sequencer.tick()
    portal = api_for(scorer_token)
    paths = (CHAMPION, f"{V1}/aliases/production", f"{V1}/versions/1", f"{V1}/versions/1?stage=production")
    expected = [portal.get(path) for path in paths]

    async def scenario(client: Client) -> None:
        for path, answer in zip(paths, expected, strict=True):
            for _ in range(2):  # learnt, and kept
                said = await client.get(path)
                assert said.status == 200
                assert said.json == answer.json()
                assert said.headers["ETag"] == answer["ETag"]
                assert said.headers["Countersign-Ledger-Checkpoint"] == answer["Countersign-Ledger-Checkpoint"]
            held = await client.get(path, if_none_match=answer["ETag"])
            assert (held.status, held.body) == (304, b"")

    through_gateway(scorer_token, scenario)


def test_it_refuses_what_the_portal_refuses(
    scorer_token: str,
    released: ModelVersion,
    make_candidate: MakeCandidate,
    erin: User,
    api_for: Callable[[User | str], APIClient],
) -> None:
    make_candidate()
    stranger = service("stranger", "Service: score", erin)
    paths = (
        *(f"{V1}/aliases/favourite", f"{V1}/aliases/challenger", f"{V1}/versions/2", f"{V1}/versions/9"),
        *(
            f"{V1}/versions/1?stage=staging",
            f"{V1}/versions/1?stage=nowhere",
            "/api/v1/models/unheard/aliases/champion",
        ),
        *(f"{V1}/versions/1/blobs/{'0' * 64}", f"{V1}/versions/1/files/nothing.txt", f"{V1}/versions/2/files/MLmodel"),
    )
    cases = [(token, path) for token in (scorer_token, stranger) for path in paths]
    cases += [(stranger, CHAMPION), (scorer_token[:-1] + "x", CHAMPION), ("", CHAMPION)]
    expected = []
    for token, path in cases:
        answer = (api_for(token) if token else APIClient()).get(path)
        expected.append((answer.status_code, answer.json()))

    async def scenario(client: Client) -> None:
        for (client.token, path), (status, problem) in zip(cases, expected, strict=True):
            for _ in range(2):
                before = await doing(_count)()
                said = await client.get(path)
                assert (said.status, said.json) == (status, problem), path
                assert said.headers["Content-Type"] == "application/problem+json"
                if status != 401:
                    assert await doing(_count)() == before + 1, path

    through_gateway(scorer_token, scenario)


def _count() -> int:
    return len(entries(Filter(outcome="denied")))


def test_what_no_request_here_has_is_refused(scorer_token: str, released: ModelVersion) -> None:
    async def scenario(client: Client) -> None:
        for path in (
            f"{V1}/aliases/cham\x00pion",
            "/api/v1/models/\x00/aliases/champion",
            f"{V1}/versions/1?stage=%00",
        ):
            said = await client.get(path)
            assert (said.status, said.json["type"]) == (400, "urn:countersign:refusal:nul"), path
        assert (await client.get("/api/v1/watch?ref=cre%00dit@champion")).status == 400
        bodies: tuple[dict[str, Any], ...] = ({"content_length": "7"}, {"transfer_encoding": "chunked"})
        for body in bodies:
            said = await client.get(CHAMPION, **body)
            assert (said.status, said.headers["Connection"]) == (413, "close")
        assert (await client.get(CHAMPION, content_length="0")).status == 200

    through_gateway(scorer_token, scenario)


@pytest.mark.parametrize("bound", ["serving.gateway.MOST_LEARNING", "serving.gateway_desk.MOST_WAITING"])
def test_more_than_can_be_checked_or_recorded_is_told_to_come_again(
    scorer_token: str, released: ModelVersion, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    async def scenario(client: Client) -> None:
        monkeypatch.setattr(bound, 0)
        said = await client.get(CHAMPION)
        assert (said.status, said.json["type"]) == (503, "urn:countersign:refusal:too-busy")
        assert said.headers["Retry-After"] == "1"
        monkeypatch.undo()
        assert (await client.get(CHAMPION)).status == 200

    through_gateway(scorer_token, scenario)


def test_the_end_of_a_pull_is_recorded_however_many_wait(
    scorer_token: str, released: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = released.files[0]

    async def scenario(client: Client) -> None:
        async with client.following(f"{V1}/versions/1/files/{file.path}") as messages:
            async for message in messages:
                monkeypatch.setattr("serving.gateway_desk.MOST_WAITING", 0)
                if not message.get("more_body", message["type"] == "http.response.start"):
                    break

    through_gateway(scorer_token, scenario)

    assert [after["step"] for _, _, after in recorded("version.pull")] == ["begun", "completed"]


def test_files_leave_as_from_the_portal(scorer_token: str, released: ModelVersion) -> None:
    file = max(released.files, key=lambda one: one.size)
    content = ArtifactStore().path(file.sha256).read_bytes()
    blob = f"{V1}/versions/1/blobs/{file.sha256}"

    async def scenario(client: Client) -> None:
        whole = await client.get(blob)
        assert (whole.status, whole.body, whole.headers["ETag"]) == (200, content, f'"{file.sha256}"')
        assert (await client.get(f"{V1}/versions/1/files/{file.path}")).body == content
        part = await client.get(blob, range="bytes=5-9", if_range=f'"{file.sha256}"')
        assert (part.status, part.body) == (206, content[5:10])
        several = await client.get(blob, range="bytes=0-1,5-6")
        assert len(several.body) == int(several.headers["Content-Length"])
        assert (await client.get(blob, if_none_match=f'"{file.sha256}"')).status == 304
        assert (await client.get(blob, range=f"bytes={file.size}-")).status == 416
        head = await client.get(blob, "HEAD")
        assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", str(file.size))

    through_gateway(scorer_token, scenario)

    steps = [after["step"] for _, _, after in recorded("version.pull")]
    assert steps == ["begun", "completed"] * 4
    assert [after["answer"] for _, _, after in recorded("version.view") if "answer" in after] == ["304", "416", "200"]


def test_a_client_that_goes_away_is_on_record(
    scorer_token: str, released: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.gateway.CHUNK_BYTES", 100)
    file = max(released.files, key=lambda one: one.size)

    async def scenario(client: Client) -> None:
        await client.get(f"{V1}/versions/1/blobs/{file.sha256}", parts=2)

    through_gateway(scorer_token, scenario)

    (_, _, begun), (outcome, _, ended) = recorded("version.pull")
    assert (begun["step"], ended["step"], outcome) == ("begun", "broken_off", "error")
    assert 0 < ended["bytes"] < file.size


def test_every_answer_is_on_record_before_it_leaves(scorer_token: str, released: ModelVersion, scorer: User) -> None:
    async def scenario(client: Client) -> None:
        for n in range(3):
            said = await client.get(CHAMPION, x_request_id=f"pull-{n}")
            found = await doing(lambda: list(entries(Filter(action="version.attest"))))()
            assert len(found) == n + 1
            assert said.headers["Countersign-Ledger-Entry"] == f"{found[0].entry.writer}/{found[0].entry.n}"
            assert (found[0].entry.actor_id, found[0].entry.request_id) == (str(scorer.uuid), f"pull-{n}")
            assert found[0].private["ip"] == "192.0.2.9"

    through_gateway(scorer_token, scenario)


def test_nothing_leaves_that_is_not_on_record(
    scorer_token: str, released: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(client: Client) -> None:
        assert (await client.get(CHAMPION)).status == 200
        monkeypatch.setattr("serving.pulls.append", _full)
        said = await client.get(CHAMPION)
        assert (said.status, said.json["type"]) == (503, "urn:countersign:refusal:not-recorded")
        monkeypatch.undo()
        assert (await client.get(CHAMPION)).status == 200

    through_gateway(scorer_token, scenario)


def _full(*_: Any, **__: Any) -> Any:
    raise RuntimeError("The ledger took nothing.")


class TestTheNextRequest:
    """What was withdrawn does not count on the very next request, although the answer was kept a moment ago."""

    def after(self, token: str, deed: Callable[[], object], path: str = CHAMPION) -> int:
        """The status after a deed, of what was answered before it."""
        statuses = []

        async def scenario(client: Client) -> None:
            for _ in range(3):
                assert (await client.get(path)).status == 200
            await doing(deed)()
            statuses.append((await client.get(path)).status)

        through_gateway(token, scenario)
        return statuses[0]

    def test_a_revoked_token(self, scorer_token: str, released: ModelVersion, scorer: User) -> None:
        def deed() -> None:
            ServiceToken.objects.filter(user=scorer).update(revoked_at=timezone.now())

        assert self.after(scorer_token, deed) == 401

    def test_a_narrowed_token(self, scorer_token: str, released: ModelVersion, scorer: User) -> None:
        def deed() -> None:
            ServiceToken.objects.filter(user=scorer).update(objects_scope=["another"])

        assert self.after(scorer_token, deed) == 404

    def test_a_closed_account(self, scorer_token: str, released: ModelVersion, scorer: User) -> None:
        def deed() -> None:
            User.objects.filter(pk=scorer.pk).update(is_active=False)

        assert self.after(scorer_token, deed) == 401

    def test_a_withdrawn_role(self, scorer_token: str, released: ModelVersion, scorer: User) -> None:
        def deed() -> None:
            withdraw_role(Role.objects.get(name="Service: pull"), to=scorer, by=Principal.system("operator"))

        assert self.after(scorer_token, deed) == 404

    @pytest.mark.parametrize("leaves", ["the model", "the role"])
    def test_a_team(self, leaves: str, scorer_token: str, released: ModelVersion, scorer: User) -> None:
        """The role is on one team's models; then the model is no more the team's, or the role is on another's."""
        retail, other = Group.objects.create(name="Retail"), Group.objects.create(name="Other")
        RoleAssignment.objects.filter(user=scorer).update(team=retail)
        RegisteredModel.objects.filter(pk=released.model_id).update(team=retail)

        def deed() -> None:
            if leaves == "the model":
                RegisteredModel.objects.filter(pk=released.model_id).update(team=other)
            else:
                RoleAssignment.objects.filter(user=scorer).update(team=other)

        assert self.after(scorer_token, deed) == 404

    def test_a_role_that_gives_less(self, scorer_token: str, released: ModelVersion, scorer: User) -> None:
        def deed() -> None:
            Role.objects.filter(name="Service: pull").update(permissions=["see_model"])

        assert self.after(scorer_token, deed) in {403, 404}

    def test_a_withdrawn_grant(self, released: ModelVersion, erin: User, alice: User) -> None:
        token = service("granted", "Service: score", erin)
        account = User.objects.get(username="granted")
        scopes = [one for one in Permission if one not in PEOPLE_ONLY]
        token = issue_token(
            account, name="wide", scopes=scopes, models=[], days=30, by=Principal.system("operator")
        ).secret
        grant(released.model, Permission.PULL_VERSION, to=account, by=as_(alice))

        def deed() -> None:
            withdraw(released.model, Permission.PULL_VERSION, to=account, by=as_(alice))

        assert self.after(token, deed) in {403, 404}

    @pytest.mark.parametrize("path", [CHAMPION, f"{V1}/versions/1", f"{V1}/versions/1/files/MLmodel"])
    def test_a_revoked_approval(self, scorer_token: str, released: ModelVersion, carol: User, path: str) -> None:
        status = self.after(scorer_token, lambda: withdraw_approval(released, carol), path)

        assert status == (404 if path == CHAMPION else 409)

    def test_an_approval_that_runs_out(
        self, scorer_token: str, released: ModelVersion, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By the clock alone: nobody commits anything."""

        def deed() -> None:
            monkeypatch.setattr(timezone, "now", lambda: later)

        ServiceToken.objects.update(expires_at=timezone.now() + timedelta(days=900))
        later = Approval.objects.get().pulls_until + timedelta(seconds=1)
        assert self.after(scorer_token, deed) == 409

    def test_a_token_that_runs_out(
        self, scorer_token: str, released: ModelVersion, scorer: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        later = ServiceToken.objects.get(user=scorer).expires_at

        assert self.after(scorer_token, lambda: monkeypatch.setattr(timezone, "now", lambda: later)) == 401

    def test_an_approval_that_is_not_sound_any_more(
        self, scorer_token: str, released: ModelVersion, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What rests on other rows than those that are compared is found when the release is verified anew, within two seconds."""
        monkeypatch.setattr(live, "SOUND_SECONDS", 0.5)

        def deed() -> None:
            monkeypatch.setattr("serving.queries.approval_in_force", lambda *_: None)
            time.sleep(0.6)
            happen(1)

        assert self.after(scorer_token, deed) == 409


def test_a_promotion_is_answered_on_the_next_request(
    scorer_token: str,
    released: ModelVersion,
    make_candidate: MakeCandidate,
    alice: User,
    bob: User,
    carol: User,
    rita: User,
) -> None:
    async def scenario(client: Client) -> None:
        assert (await client.get(CHAMPION)).json["version"] == 1
        await doing(release)(await doing(make_candidate)(), by=alice, validator=bob, risk=carol, promoter=rita)
        assert (await client.get(CHAMPION)).json["version"] == 2

    through_gateway(scorer_token, scenario)


def test_a_permission_that_is_given_counts_on_the_next_request(
    released: ModelVersion, scorer_token: str, scorer: User
) -> None:
    RoleAssignment.objects.filter(user=scorer).delete()

    def deed() -> None:
        assign_role(Role.objects.get(name="Service: pull"), to=scorer, by=Principal.system("operator"))

    async def scenario(client: Client) -> None:
        assert (await client.get(CHAMPION)).status == 404
        await doing(deed)()
        assert (await client.get(CHAMPION)).status == 200

    through_gateway(scorer_token, scenario)


def test_neither_the_checkpoint_nor_the_counter_ever_falls_behind_what_others_said(
    sequencer: Sequencer, scorer_token: str, released: ModelVersion
) -> None:
    """A client refuses a head that is smaller and a counter that is lower than what it has seen."""
    sequencer.tick()

    def deed() -> int:
        happen(3)
        sequencer.tick()
        StatusCounter.objects.update(value=40)
        from serving.models import StatusSnapshot

        StatusSnapshot.objects.all().delete()
        return current_snapshot().counter

    async def scenario(client: Client) -> None:
        before = (await client.get(CHAMPION)).json
        counter = await doing(deed)()
        said = await client.get(CHAMPION)
        assert f"-{counter}-" in said.headers["ETag"]
        assert said.json["ledger"]["checkpoint"] != before["ledger"]["checkpoint"]
        assert said.json["ledger"]["promotion"]["receipt"].endswith(said.json["ledger"]["checkpoint"])

    through_gateway(scorer_token, scenario)


def test_the_checkpoint_follows_the_ledger_without_anything_else_being_asked_anew(
    sequencer: Sequencer, scorer_token: str, released: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "SOUND_SECONDS", 600.0)
    sequencer.tick()

    def deed() -> None:
        happen(3)
        sequencer.tick()

    async def scenario(client: Client) -> None:
        before = (await client.get(CHAMPION)).json["ledger"]
        await doing(deed)()
        after = (await client.get(CHAMPION)).json["ledger"]
        assert after["checkpoint"] != before["checkpoint"]
        assert after["promotion"]["receipt"].endswith(after["checkpoint"])

    through_gateway(scorer_token, scenario)


def test_what_was_kept_for_one_caller_is_not_another_s(
    scorer_token: str, scorer: User, released: ModelVersion, alice: User
) -> None:
    create_model("other", tier=3, intended_use="Elsewhere", owner=alice, by=as_(alice))
    narrow = issue_token(
        scorer,
        name="narrow",
        scopes=[Permission.PULL_VERSION],
        models=["other"],
        days=30,
        by=Principal.system("operator"),
    ).secret

    async def scenario(client: Client) -> None:
        assert (await client.get(CHAMPION)).status == 200
        client.token = narrow
        assert (await client.get("/api/v1/models/other/aliases/champion")).json["type"].endswith("alias-unknown")
        assert (await client.get(CHAMPION)).json["type"].endswith("model-unknown")

    through_gateway(scorer_token, scenario)


def test_many_at_once_have_an_entry_each(scorer_token: str, released: ModelVersion) -> None:
    async def scenario(client: Client) -> None:
        answers = await asyncio.gather(*(client.get(CHAMPION) for _ in range(100)))
        assert {one.status for one in answers} == {200}
        assert len({one.headers["Countersign-Ledger-Entry"] for one in answers}) == 100

    through_gateway(scorer_token, scenario)

    assert len(recorded("version.attest")) == 100


def test_other_addresses_are_the_portal_s(scorer_token: str, released: ModelVersion) -> None:
    async def scenario(client: Client) -> None:
        for method, path in (("GET", "/"), ("GET", "/api/v1/models/"), ("POST", CHAMPION), ("GET", CHAMPION + "/")):
            assert (await client.get(path, method)).status == 404
        assert (await client.get("/healthz")).body == b"ok\n"

    through_gateway(scorer_token, scenario)


class TestWatches:
    """Streams that stay open."""

    async def events(self, messages: AsyncIterator[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
        """The events of the next message that has any."""
        async for message in messages:
            found = []
            for block in message.get("body", b"").decode().split("\n\n"):
                fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
                if "event" in fields:
                    found.append((fields["event"], json.loads(fields["data"])))
            if found:
                return found
        return []

    def test_tell_of_each_change(
        self,
        scorer_token: str,
        released: ModelVersion,
        make_candidate: MakeCandidate,
        alice: User,
        bob: User,
        carol: User,
        rita: User,
    ) -> None:
        async def scenario(client: Client) -> None:
            async with client.following("/api/v1/watch?ref=credit@production&ref=credit/1") as messages:
                assert [name for name, _ in await self.events(messages)] == ["release", "release", "status"]

                second = await doing(make_candidate)()
                await doing(release)(second, by=alice, validator=bob, risk=carol, promoter=rita)
                ((name, said),) = await self.events(messages)
                assert (name, said["ref"], said["version"]) == ("release", "credit@production", 2)

                await doing(withdraw_approval)(second, carol)
                told = await self.events(messages)
                assert [(name, said.get("version")) for name, said in told][:1] == [("revoked", 2)]

        through_gateway(scorer_token, scenario)

        assert [after["refs"] for _, _, after in recorded("version.watch")] == [["credit@production", "credit/1"]]

    def test_end_when_the_token_is_revoked(self, scorer_token: str, released: ModelVersion, scorer: User) -> None:
        def deed() -> None:
            ServiceToken.objects.filter(user=scorer).update(revoked_at=timezone.now())

        async def scenario(client: Client) -> None:
            async with client.following("/api/v1/watch?ref=credit@production") as messages:
                await self.events(messages)
                await doing(deed)()
                ((name, said),) = await self.events(messages)
                assert (name, said["code"]) == ("denied", "bad-token")
                assert await self.events(messages) == []

        through_gateway(scorer_token, scenario)

    @pytest.mark.parametrize("token", ["stands", "revoked"])
    def test_nothing_is_told_before_it_is_on_record(
        self, scorer_token: str, released: ModelVersion, scorer: User, monkeypatch: pytest.MonkeyPatch, token: str
    ) -> None:
        record = Watching._record

        async def forgotten_meanwhile(watching: Watching, asked: Asked, pairs: Any) -> None:
            snapshot = watching._gateway.desk_here.snapshot
            snapshot._live.clear()
            if token == "revoked":
                await doing(ServiceToken.objects.filter(user=scorer).update)(revoked_at=timezone.now())
            await record(watching, asked, pairs)

        monkeypatch.setattr(Watching, "_record", forgotten_meanwhile)

        async def scenario(client: Client) -> None:
            async with client.following("/api/v1/watch?ref=credit@production") as messages:
                told = [name for name, _ in await self.events(messages)]
                assert told == (["release", "status"] if token == "stands" else ["denied"])

        through_gateway(scorer_token, scenario)

        assert len(recorded("version.watch")) == (token == "stands")

    def test_many_hear_of_one_change(self, scorer_token: str, released: ModelVersion, carol: User) -> None:
        async def scenario(client: Client) -> None:
            async with contextlib.AsyncExitStack() as stack:
                address = "/api/v1/watch?ref=credit/1"
                streams = [await stack.enter_async_context(client.following(address)) for _ in range(50)]
                for messages in streams:
                    await self.events(messages)
                await doing(withdraw_approval)(released, carol)
                for messages in streams:
                    assert (await self.events(messages))[0][0] == "revoked"

        through_gateway(scorer_token, scenario)

    def test_are_refused_to_who_may_not_pull(self, scorer_token: str, released: ModelVersion, erin: User) -> None:
        stranger = service("stranger", "Service: score", erin)

        async def scenario(client: Client) -> None:
            client.token = stranger
            assert (await client.get("/api/v1/watch?ref=credit@production")).status == 404
            client.token = scorer_token
            assert (await client.get("/api/v1/watch?ref=credit")).status == 400

        through_gateway(scorer_token, scenario)

        assert [(outcome, why) for outcome, why, _ in recorded("version.watch")] == [("denied", "model-unknown")]


def test_a_gateway_that_has_not_started_says_so(scorer_token: str) -> None:
    with pytest.raises(Unavailable, match="starting"):
        _ = Gateway().desk_here
