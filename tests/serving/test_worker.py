"""The worker against a portal that a test controls: what it serves, when it stops, and what it answers then.

The portal here is a small real HTTP application in the same process; `test_serving_story` starts both for real.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import time_machine
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from foundation.refusals import Unavailable
from serving import worker as module
from serving.portal import Portal
from serving.prediction_log import PredictionLog
from serving.worker import Worker, create_app
from tests.serving.attesting import Registry
from tests.serving.tiny_models import ROWS, tiny

SCORE = "/score/credit-live"
INFER = "/v2/models/credit-live/infer"


class FakePortal:
    """Answers like the portal, with whatever a test sets."""

    def __init__(self) -> None:
        self.registry = Registry(now=datetime.now(UTC))
        self.versions = {3: tiny(), 4: tiny(flipped=True)}
        self.flaws: dict[int, dict[str, Any]] = {}
        self.assignment: int | None = 3
        self.paused = False
        self.reason = ""
        self.status: dict[str, Any] | None = None
        self.down = False
        self.refusing: int | None = None
        self.callers = {"Bearer good": "scorer"}
        self.reports: list[dict[str, Any]] = []
        self.authorised = 0

    def app(self) -> Starlette:
        version = "/api/v1/models/credit/versions/{number:int}"
        return Starlette(
            routes=[
                Route("/api/v1/serving/deployments/credit-live/heartbeat", self.heartbeat, methods=["POST"]),
                Route("/api/v1/serving/authorize", self.authorize, methods=["POST"]),
                Route(version + "/attestation", self.attestation),
                Route(version + "/files/{path:path}", self.file),
            ]
        )

    async def heartbeat(self, request: Request) -> Response:
        if self.down:
            return Response(status_code=502)
        if self.refusing:
            return JSONResponse({"detail": "The token is revoked."}, status_code=self.refusing)
        self.reports.append(await request.json())
        return JSONResponse(
            {
                "model": "credit",
                "stage": "production",
                "version": self.assignment,
                "paused": self.paused,
                "reason": self.reason,
                "status": self.status or self.registry.status(),
            }
        )

    async def authorize(self, request: Request) -> Response:
        self.authorised += 1
        if self.down:
            return Response(status_code=502)
        caller = self.callers.get(request.headers["Authorization"])
        if caller is None:
            return JSONResponse({"detail": "The token is unknown."}, status_code=401)
        if caller == "stranger":
            return JSONResponse({"detail": "stranger may not ask for predictions."}, status_code=403)
        return JSONResponse({"allowed": True, "caller": caller})

    async def attestation(self, request: Request) -> Response:
        number = request.path_params["number"]
        return JSONResponse(
            self.registry.attestation(self.versions[number], version=number, **self.flaws.get(number, {}))
        )

    async def file(self, request: Request) -> Response:
        if self.down:
            return Response(status_code=502)
        files = self.versions[request.path_params["number"]] | self.swapped
        return Response(files[request.path_params["path"]])

    swapped: dict[str, bytes] = {}


class Rig:
    """A worker, its portal, and a caller."""

    def __init__(self, folder: Path) -> None:
        self.portal = FakePortal()
        self.folder = folder
        connection = Portal(
            "http://portal", "cs_token", "credit-live", transport=httpx.ASGITransport(self.portal.app())
        )
        self.worker = Worker("credit-live", connection, self.portal.registry.signer.public, PredictionLog(folder))
        self.app = create_app(self.worker)

    async def rounds(self, number: int = 2) -> None:
        """Let the worker follow the portal, and finish what it loads meanwhile."""
        for _ in range(number):
            await self.worker.follow()
            if self.worker._loading:
                await self.worker._loading

    async def post(
        self, path: str = SCORE, body: Any = None, *, token: str = "good", raw: bytes | None = None
    ) -> httpx.Response:
        content = raw if raw is not None else json.dumps({"rows": ROWS} if body is None else body).encode()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://worker") as client:
            return await client.post(path, content=content, headers=headers)

    async def get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://worker") as client:
            return await client.get(path)

    def logged(self) -> list[dict[str, Any]]:
        return [
            json.loads(line) for path in sorted(self.folder.glob("*.log")) for line in path.read_text().splitlines()
        ]


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path / "credit-live")


def run(scene: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(scene())  # type: ignore[arg-type]  # an async def gives a coroutine


def test_rows_are_scored_and_on_record_before_the_answer(rig: Rig) -> None:
    async def scene() -> None:
        await rig.rounds()

        answer = await rig.post(body={"rows": ROWS, "ids": ["a", "b", "c", "d"]})

        assert answer.status_code == 200
        said = answer.json()
        assert (said["model"], said["version"]) == ("credit", 3)
        assert [one["id"] for one in said["predictions"]] == ["a", "b", "c", "d"]
        assert [one["decision"] for one in said["predictions"]] == [0, 1, 0, 1]
        kept = rig.logged()
        assert [line["id"] for line in kept] == ["a", "b", "c", "d"]
        assert kept[0]["row"] == ROWS[0]
        assert set(kept[0]) == {"id", "t", "version", "digest", "row", "score", "decision", "caller"}
        assert kept[0]["caller"] == "scorer"
        assert kept[0]["score"] == said["predictions"][0]["score"]

    run(scene)


def test_open_inference_protocol_gives_the_same_answers(rig: Rig) -> None:
    async def scene() -> None:
        await rig.rounds()
        kinds = {"age": "INT64", "income": "FP64", "region": "BYTES"}
        inputs = [
            {"name": name, "shape": [4], "datatype": kind, "data": [row[name] for row in ROWS]}
            for name, kind in kinds.items()
        ]

        answer = (await rig.post(INFER, {"id": "7", "inputs": inputs})).json()

        outputs = {output["name"]: output for output in answer["outputs"]}
        assert (answer["id"], answer["model_name"], answer["model_version"]) == ("7", "credit-live", "3")
        assert outputs["decision"] == {"name": "decision", "datatype": "INT64", "shape": [4], "data": [0, 1, 0, 1]}
        assert outputs["prediction_id"]["data"] == [line["id"] for line in rig.logged()]

    run(scene)


def test_nothing_is_answered_before_something_is_verified(rig: Rig) -> None:
    async def scene() -> None:
        answer = await rig.post()

        assert answer.status_code == 503
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert (await rig.get("/v2/health/ready")).status_code == 503
        assert (await rig.get("/healthz")).json()["state"] == "starting"

    run(scene)


def test_a_revocation_is_answered_with_410_in_the_next_round(rig: Rig) -> None:
    async def scene() -> None:
        await rig.rounds()
        assert rig.worker.serving
        rig.portal.registry.revoke("credit", 3, rig.worker.serving.release.digest)
        rig.portal.assignment, rig.portal.reason = None, "The approval was revoked."

        await rig.rounds(1)

        answer = await rig.post()
        assert answer.status_code == 410
        assert answer.json()["type"] == "urn:countersign:refusal:revoked"
        assert rig.logged() == []
        assert rig.portal.reports[-1]["state"] == "serving"
        await rig.rounds(1)
        assert rig.portal.reports[-1]["state"] == "stopped"

    run(scene)


def test_the_kill_switch_stops_and_lets_go(rig: Rig) -> None:
    async def scene() -> None:
        await rig.rounds()
        rig.portal.paused, rig.portal.reason = True, "Complaints from the call centre."
        await rig.rounds(1)

        answer = await rig.post()

        assert answer.status_code == 503
        assert "Complaints from the call centre" in answer.json()["detail"]
        rig.portal.down = True
        await rig.rounds(1)
        assert (await rig.post()).status_code == 503, "a silent portal lifts no pause"
        rig.portal.down, rig.portal.paused = False, False
        await rig.rounds(1)
        assert (await rig.post()).status_code == 200

    run(scene)


def test_the_alias_moves_without_a_dropped_request(rig: Rig) -> None:
    async def scene() -> None:
        await rig.rounds()
        rig.portal.assignment = 4
        loading = asyncio.create_task(rig.rounds())
        statuses, versions = set(), []
        while not loading.done():
            answer = await rig.post()
            statuses.add(answer.status_code)
            versions.append(answer.json()["version"])
        await loading

        assert statuses == {200}
        assert versions == sorted(versions)
        assert (await rig.post()).json()["version"] == 4
        assert [one["decision"] for one in (await rig.post()).json()["predictions"]] == [1, 0, 1, 0]

    run(scene)


@pytest.mark.parametrize(
    ("flaw", "why"),
    [
        ({"signers": (("validator", "bob"),)}, "0 of 1 sign-offs"),
        ({"signers": (("validator", "alice"), ("risk", "carol"))}, "cannot approve"),
        ({"model": "fraud"}, "not for credit"),
        ({"stage": "staging"}, "not for production"),
        ({"valid": timedelta(seconds=-1)}, "expired"),
    ],
)
def test_a_release_that_does_not_hold_is_not_loaded(rig: Rig, flaw: dict[str, Any], why: str) -> None:
    async def scene() -> None:
        rig.portal.flaws[3] = flaw
        await rig.rounds()

        answer = await rig.post()

        assert answer.status_code == 503
        assert why in answer.json()["detail"]
        assert rig.worker.state == "failed"

    run(scene)


@pytest.mark.parametrize(
    ("path", "content", "why"),
    [
        ("model.skops", tiny(flipped=True)["model.skops"], "was signed"),
        ("model.skops", tiny()["model.skops"][:-1], "fewer bytes"),
        ("model.skops", tiny()["model.skops"] + b"x", "more bytes"),
        ("requirements.txt", b"scikit-learn==0.0.1\nskops==0.16.0\n", "was signed"),
        ("MLmodel", tiny()["MLmodel"].replace(b"skops", b"spoks"), "was signed"),
    ],
)
def test_bytes_that_were_not_signed_are_not_loaded(rig: Rig, path: str, content: bytes, why: str) -> None:
    async def scene() -> None:
        rig.portal.swapped = {path: content}
        await rig.rounds()

        answer = await rig.post()

        assert answer.status_code == 503
        assert path in answer.json()["detail"]
        assert why in answer.json()["detail"]

    run(scene)


def test_another_format_is_failed_with_a_sentence(rig: Rig) -> None:
    async def scene() -> None:
        text = (
            tiny()["MLmodel"]
            .replace(b"model.skops", b"model.pkl")
            .replace(b"serialization_format: skops", b"serialization_format: pickle")
        )
        rig.portal.versions[3] = tiny() | {"MLmodel": text, "model.pkl": b"\x80\x04N."}
        await rig.rounds()

        await rig.rounds(1)

        assert rig.portal.reports[-1]["state"] == "failed"
        assert "can be registered and pulled, but not served yet" in rig.portal.reports[-1]["detail"]

    run(scene)


def test_a_new_version_that_fails_takes_the_old_one_down_with_it(rig: Rig) -> None:
    async def scene() -> None:
        await rig.rounds()
        rig.portal.flaws[4] = {"signers": ()}
        rig.portal.assignment = 4

        await rig.rounds()

        assert (await rig.post()).status_code == 503
        rig.portal.assignment = 3
        await rig.rounds()
        assert (await rig.post()).json()["version"] == 3

    run(scene)


def test_offline_it_goes_on_until_the_status_expires(rig: Rig) -> None:
    async def scene() -> None:
        await rig.rounds()
        await rig.post()
        rig.portal.down = True
        await rig.rounds(1)
        assert (await rig.post()).status_code == 200

        with time_machine.travel(datetime.now(UTC) + timedelta(minutes=61), tick=True):
            answer = await rig.post()

        assert answer.status_code == 503
        assert "status snapshot expired" in answer.json()["detail"]

    run(scene)


def test_offline_it_does_not_outlive_the_approval(rig: Rig) -> None:
    async def scene() -> None:
        rig.portal.flaws[3] = {"valid": timedelta(minutes=5)}
        await rig.rounds()
        assert (await rig.post()).status_code == 200

        with time_machine.travel(datetime.now(UTC) + timedelta(minutes=6), tick=True):
            answer = await rig.post()

        assert answer.status_code == 503
        assert "expired" in answer.json()["detail"]

    run(scene)


def test_an_older_status_snapshot_does_not_undo_a_revocation(rig: Rig) -> None:
    async def scene() -> None:
        await rig.rounds()
        before = rig.portal.registry.status()
        assert rig.worker.serving
        rig.portal.registry.revoke("credit", 3, rig.worker.serving.release.digest)
        await rig.rounds(1)
        assert (await rig.post()).status_code == 410

        rig.portal.status = dict(before)
        await rig.rounds(1)

        assert (await rig.post()).status_code == 410

    run(scene)


def test_a_status_signed_by_somebody_else_changes_nothing(rig: Rig) -> None:
    async def scene() -> None:
        rig.portal.status = dict(Registry(now=datetime.now(UTC)).status())

        await rig.rounds()

        assert (await rig.post()).status_code == 503
        assert rig.worker.serving is None

    run(scene)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_worker_that_is_locked_out_stops(rig: Rig, status: int) -> None:
    async def scene() -> None:
        await rig.rounds()
        rig.portal.refusing = status

        await rig.rounds(1)

        answer = await rig.post()
        assert answer.status_code == 503
        assert "The token is revoked." in answer.json()["detail"]

    run(scene)


def test_callers_need_a_token_that_may_score(rig: Rig) -> None:
    async def scene() -> None:
        await rig.rounds()
        rig.portal.callers["Bearer other"] = "stranger"

        nobody, unknown, stranger = await rig.post(token=""), await rig.post(token="bad"), await rig.post(token="other")

        assert nobody.status_code == unknown.status_code == 401
        assert nobody.headers["WWW-Authenticate"] == "Bearer"
        assert stranger.status_code == 403
        assert "may not ask for predictions" in stranger.json()["detail"]
        assert rig.logged() == []

    run(scene)


def test_a_verdict_is_kept_for_one_second_only(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        await rig.rounds()
        for _ in range(5):
            await rig.post()
        assert rig.portal.authorised == 1
        rig.portal.callers.clear()

        monkeypatch.setattr(module, "VERDICT_SECONDS", 0.0)

        assert (await rig.post()).status_code == 401

    run(scene)


def test_while_the_portal_is_silent_only_known_callers_get_answers(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        await rig.rounds()
        await rig.post()
        rig.portal.down = True
        monkeypatch.setattr(module, "VERDICT_SECONDS", 0.0)

        assert (await rig.post()).status_code == 200
        assert (await rig.post(token="new")).status_code == 503

    run(scene)


def test_a_log_that_fails_lets_no_answer_out(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        await rig.rounds()

        def full(records: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(rig.worker.predictions, "append", full)

        answer = await rig.post()
        assert answer.status_code == 503
        assert "no answer may leave" in answer.json()["detail"]
        assert "predictions" not in answer.json()

    run(scene)


@pytest.mark.parametrize(
    ("raw", "status", "why"),
    [
        (b"{", 400, "not valid JSON"),
        (b"[]", 400, "must be a JSON object"),
        (b'{"rows": [{"age": NaN}]}', 400, "not valid JSON"),
        (b'{"rows": []}', 400, "at least one row"),
        (b'{"rows": [{"age": 3}]}', 400, "The column income is missing"),
        (b'{"rows": [{"age": 3, "income": 1, "region": "x"}], "ids": ["a", "b"]}', 400, "one different text"),
        (b'{"rows": [{"age": 3, "income": 1, "region": "x"}], "ids": [7]}', 400, "one different text"),
        (b"[" * 100_000, 400, "not valid JSON"),
        (b" " * (16 * 1024**2 + 1), 413, "larger than 16 MiB"),
        (b'{"rows": [' + b"{}," * 10_000 + b"{}]}", 413, "10,001 rows"),
    ],
)
def test_what_is_no_request_is_refused_with_a_sentence(rig: Rig, raw: bytes, status: int, why: str) -> None:
    async def scene() -> None:
        await rig.rounds()

        answer = await rig.post(raw=raw)

        assert answer.status_code == status
        assert why in answer.json()["detail"]
        assert rig.logged() == []

    run(scene)


def test_another_deployment_and_another_address_are_not_found(rig: Rig) -> None:
    async def scene() -> None:
        await rig.rounds()

        assert (await rig.post("/score/fraud-live")).status_code == 404
        assert (await rig.post("/invocations")).json()["status"] == 404
        assert (await rig.get(SCORE)).status_code == 404

    run(scene)


def test_a_failed_load_is_tried_again_after_a_while(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        rig.portal.flaws[3] = {"signers": ()}
        await rig.rounds()
        rig.portal.flaws.clear()
        await rig.rounds()
        assert rig.worker.state == "failed"

        monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)
        await rig.rounds()

        assert rig.worker.state == "serving"

    run(scene)


def test_a_round_that_fails_does_not_end_the_worker(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        monkeypatch.setattr(module, "POLL_SECONDS", 0.01)
        seen = []

        async def broken() -> None:
            seen.append(1)
            raise Unavailable("broken") if len(seen) > 1 else RuntimeError("broken")

        monkeypatch.setattr(rig.worker, "follow", broken)
        following = asyncio.create_task(rig.worker.run())
        while len(seen) < 3:
            await asyncio.sleep(0.01)
        following.cancel()

    run(scene)
