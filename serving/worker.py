"""A scoring worker: one process that serves one deployment, and only what the registry's signature allows at this moment.

It asks the portal twice a second what to serve. A version is verified (attestation, then every file's digest) before it is
loaded; when the alias moves, the new version is made ready beside the old one and then takes over. It stops answering when the
approval is revoked or expires, when the kill switch is on, and when it has not heard a valid status for as long as the last
one lasts. No Django here: `manage.py scoring_worker` starts it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import orjson
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from countersign.proof.attestation import NotVerified, Status, VerifiedRelease, check_standing, verify, verify_status
from foundation.refusals import Invalid, NotFound, Refusal, TooLarge, Unauthenticated, Unavailable
from serving.portal import Assignment, Portal, Unreachable, WrongBytes
from serving.prediction_log import PredictionLog
from serving.scoring import (
    NotLoadable,
    Prediction,
    ScoringModel,
    checked_columns,
    columns_from_rows,
    columns_from_tensors,
    load,
    plan,
)

POLL_SECONDS: Final = 0.5
RETRY_SECONDS: Final = 10.0
VERDICT_SECONDS: Final = 1.0
MAX_VERDICTS: Final = 10_000
MAX_BODY_BYTES: Final = 16 * 1024**2
LOST: Final = frozenset({401, 403, 404})

log = logging.getLogger("countersign.worker")


@dataclass(frozen=True, slots=True)
class Serving:
    """A release that was verified, with its model loaded."""

    release: VerifiedRelease
    model: ScoringModel


@dataclass(frozen=True, slots=True)
class Answer:
    """What was predicted for the rows of one request, with their ids."""

    serving: Serving
    ids: Sequence[str]
    predictions: Sequence[Prediction]


@dataclass
class Worker:
    """What one worker knows and decides. `standing` is why it does not answer now, or None while it may."""

    deployment: str
    portal: Portal
    key: Ed25519PublicKey
    predictions: PredictionLog
    serving: Serving | None = None
    status: Status | None = None
    standing: Refusal | None = field(default_factory=lambda: Unavailable("The worker is starting.", code="starting"))
    state: str = "starting"
    detail: str = ""
    _verdicts: dict[str, tuple[float, str]] = field(default_factory=dict)
    _loading: asyncio.Task[None] | None = None
    _wanted: tuple[str, int] | None = None
    _failed: tuple[str, int] | None = None
    _failed_at: float = 0.0
    _paused: str | None = None

    async def run(self) -> None:
        """Follow the portal until cancelled; nothing that goes wrong in one round ends the worker."""
        while True:
            try:
                await self.follow()
            except Exception:
                # Whatever a round met, the next one tries again; standing and expiry keep what must not be served from being served.
                log.exception("worker=%s event=round_failed", self.deployment)
            await asyncio.sleep(POLL_SECONDS)

    async def follow(self) -> None:
        """One round: report, learn what to serve, and act on it."""
        version = self.serving.release.version if self.serving else None
        try:
            assignment = await self.portal.heartbeat(state=self.state, detail=self.detail, version=version)
        except Unreachable as error:
            log.warning("worker=%s event=portal_unreachable why=%s", self.deployment, error)
            self._stand()
            return
        except Refusal as refusal:
            if refusal.status in LOST:
                self._stop(
                    Unavailable(f"The portal does not let this worker serve: {refusal.detail}", code="worker-refused")
                )
            return
        self._obey(assignment)

    def _obey(self, assignment: Assignment) -> None:
        now = datetime.now(UTC)
        try:
            seen = self.status.counter if self.status else 0
            self.status = verify_status(assignment.status, self.key, at=now, seen_counter=seen)
        except NotVerified as error:
            log.error("worker=%s event=status_refused why=%s", self.deployment, error)
            self._stand()
            return
        self._paused = f"This deployment is paused. {assignment.reason}".strip() if assignment.paused else None
        if assignment.version is None:
            self._stand_down(assignment.reason)
        else:
            self._want((assignment.model, assignment.version), assignment.stage)

    def _stand_down(self, reason: str) -> None:
        """Nothing may be served: say that the loaded version was revoked or has expired, where that is why, else the portal's reason."""
        self._stand()
        if self.serving is None or self.standing is None or self._paused is not None:
            self._stop(Unavailable(reason, code="nothing-approved"))

    def _want(self, wanted: tuple[str, int], stage: str) -> None:
        """Serve `wanted`: go on with it when it is loaded already, else make it ready while the present one goes on."""
        self._wanted = wanted
        if self.serving and (self.serving.release.model, self.serving.release.version) == wanted:
            self._stand()
        elif wanted == self._failed and time.monotonic() - self._failed_at < RETRY_SECONDS:
            return
        elif self._loading is None or self._loading.done():
            self._loading = asyncio.create_task(self._make_ready(wanted, stage))
            if self.serving:
                self._stand()

    async def _make_ready(self, wanted: tuple[str, int], stage: str) -> None:
        """Verify, fetch and load one version, then let it take over; where that fails, stop and say why."""
        model, version = wanted
        try:
            ready = await self._load(model, version, stage)
        except Unreachable as error:
            log.warning("worker=%s event=load_interrupted why=%s", self.deployment, error)
            return
        except (NotVerified, WrongBytes, NotLoadable, Refusal) as error:
            if wanted == self._wanted:
                self._failed, self._failed_at = wanted, time.monotonic()
                self._stop(
                    Unavailable(f"Version {version} of {model} is not served: {error}", code="not-served"),
                    state="failed",
                )
            return
        if wanted == self._wanted:
            self.serving, self._failed = ready, None
            log.info(
                "worker=%s event=serving model=%s version=%s digest=%s",
                self.deployment,
                model,
                version,
                ready.release.digest,
            )
            self._stand()

    async def _load(self, model: str, version: int, stage: str) -> Serving:
        seen = self.status.counter if self.status else 0
        attestation = await self.portal.attestation(model, version, stage)
        release = verify(
            attestation, self.key, at=datetime.now(UTC), model=model, stage=stage, version=version, seen_counter=seen
        )
        paths = {file.path for file in release.files}
        description = await self.portal.fetch(
            model, version, [file for file in release.files if file.path == "MLmodel"]
        )
        if not description:
            raise NotLoadable("The version has no MLmodel file.")
        wanted = plan(description["MLmodel"], paths)
        others = [file for file in release.files if file.path != "MLmodel"]
        content = (await self.portal.fetch(model, version, others, keep=wanted.model_file))[wanted.model_file]
        return Serving(release, await asyncio.to_thread(load, wanted, content))

    def _stand(self) -> None:
        """Decide from what is known whether the loaded version may answer at this moment."""
        if self._paused is not None:
            self.standing = Unavailable(self._paused, code="paused")
            self.state, self.detail = "stopped", self._paused
            return
        if self.serving is None or self.status is None:
            return
        try:
            check_standing(self.serving.release, self.status, at=datetime.now(UTC))
        except NotVerified as error:
            if error.reason == "revoked":
                self.standing = Refusal(str(error), code="revoked", title="Revoked", status=410)
            else:
                self.standing = Unavailable(str(error), code=error.reason)
            self.state, self.detail = "stopped", str(error)
        else:
            self.standing, self.state, self.detail = None, "serving", ""

    def _stop(self, why: Refusal, *, state: str = "stopped") -> None:
        self.serving, self.standing, self.state, self.detail = None, why, state, why.detail

    def current(self) -> Serving:
        """What may answer at this moment; raises the refusal that says why nothing may. Expiry is checked on every call."""
        if self.standing is None:
            self._stand()
        if self.standing is not None or self.serving is None:
            raise self.standing or Unavailable("Nothing is loaded yet.", code="starting")
        return self.serving

    async def caller(self, authorization: str) -> str:
        """Who asks, when they may; a verdict counts for one second. While the portal is silent the last one counts on."""
        if not authorization:
            raise Unauthenticated("Send a service token: Authorization: Bearer cs_….")
        key = sha256(authorization.encode()).hexdigest()
        at, name = self._verdicts.get(key, (0.0, ""))
        if time.monotonic() - at < VERDICT_SECONDS:
            return name
        try:
            name = await self.portal.authorise(authorization)
        except Unreachable as error:
            if name:
                return name
            raise Unavailable(
                "Your token cannot be checked, since the portal does not answer.", code="portal-silent"
            ) from error
        except Refusal:
            self._verdicts.pop(key, None)
            raise
        if len(self._verdicts) >= MAX_VERDICTS:
            self._verdicts.clear()
        self._verdicts[key] = (time.monotonic(), name)
        return name

    async def answer(self, columns: Mapping[str, Sequence[Any]], ids: Sequence[str], caller: str) -> Answer:
        """Predict for `columns`, keep the record, and only then return; raises a refusal when nothing may be answered."""
        serving = self.current()
        checked = checked_columns(serving.model, columns)
        predictions = await asyncio.to_thread(serving.model.predict, checked)
        if self.serving is not serving:
            self.current()  # a swap may go on with the old answer; a stop may not
        self._record(serving, checked, ids, predictions, caller)
        return Answer(serving, ids, predictions)

    def _record(
        self,
        serving: Serving,
        columns: Mapping[str, Sequence[Any]],
        ids: Sequence[str],
        predictions: Sequence[Prediction],
        caller: str,
    ) -> None:
        now = time.time_ns() // 1_000
        release = serving.release
        try:
            self.predictions.append(
                {
                    "id": ids[n],
                    "t": now,
                    "version": release.version,
                    "digest": release.digest,
                    "row": {name: values[n] for name, values in columns.items()},
                    "score": prediction.score,
                    "decision": prediction.decision,
                    "caller": caller,
                }
                for n, prediction in enumerate(predictions)
            )
        except OSError as error:
            raise Unavailable(
                "The prediction log cannot be written, so no answer may leave.", code="log-failed"
            ) from error


async def score(request: Request) -> Response:
    """POST /score/{deployment}: `{"rows": [{column: value}]}`, optionally with `ids`."""
    worker, body = await _admit(request)
    columns = columns_from_rows(body.get("rows"))
    rows = len(next(iter(columns.values()), body["rows"]))
    answer = await worker.answer(columns, _ids(body.get("ids"), rows), request.state.caller)
    return _ok(
        _about(answer)
        | {
            "predictions": [
                {"id": answer.ids[n], "score": one.score, "decision": one.decision}
                for n, one in enumerate(answer.predictions)
            ]
        }
    )


async def infer(request: Request) -> Response:
    """POST /v2/models/{deployment}/infer: Open Inference Protocol with one named tensor per column."""
    worker, body = await _admit(request)
    columns = columns_from_tensors(body.get("inputs"))
    rows = len(next(iter(columns.values())))
    answer = await worker.answer(columns, _ids(None, rows), request.state.caller)
    release = answer.serving.release
    scores, decisions = [one.score for one in answer.predictions], [one.decision for one in answer.predictions]
    return _ok(
        {
            "id": str(body.get("id") or uuid4()),
            "model_name": worker.deployment,
            "model_version": str(release.version),
            "parameters": {"model": release.model, "digest": release.digest},
            "outputs": [
                _output("score", "FP64", scores),
                _output("decision", "INT64" if all(isinstance(one, int) for one in decisions) else "BYTES", decisions),
                _output("prediction_id", "BYTES", list(answer.ids)),
            ],
        }
    )


async def health(request: Request) -> Response:
    """GET /healthz and /v2/health/live: the process runs; what it serves is in the body."""
    worker: Worker = request.app.state.worker
    version = worker.serving.release.version if worker.serving else None
    return _ok({"state": worker.state, "detail": worker.detail, "version": version})


async def ready(request: Request) -> Response:
    """GET /v2/health/ready: 200 while the deployment answers, else the refusal that callers get."""
    request.app.state.worker.current()
    return _ok({"ready": True})


async def refused(request: Request, error: Exception) -> Response:
    """Any refusal as problem JSON (RFC 9457)."""
    refusal = (
        error if isinstance(error, Refusal) else Unavailable("The worker failed at this request; it was not answered.")
    )
    headers = {"Retry-After": "1"} if refusal.status == Unavailable.status else {}
    if refusal.status == Unauthenticated.status:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(
        refusal.as_problem(instance=request.url.path),
        status_code=refusal.status,
        headers=headers,
        media_type="application/problem+json",
    )


async def no_such_page(request: Request, error: Exception) -> Response:
    """404 and 405 in the same form as every other refusal."""
    return await refused(
        request, NotFound("There is no such address; POST /score/<deployment> or /v2/models/<deployment>/infer.")
    )


def create_app(worker: Worker) -> Starlette:
    """The HTTP application of one worker; follows the portal while it is up."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        following = asyncio.create_task(worker.run())
        yield
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following
        with contextlib.suppress(Unreachable, Refusal):
            await worker.portal.heartbeat(state="stopped", detail="The worker was shut down.", version=None)
        await worker.portal.close()
        worker.predictions.close()

    app = Starlette(
        routes=[
            Route("/score/{deployment}", score, methods=["POST"]),
            Route("/v2/models/{deployment}/infer", infer, methods=["POST"]),
            Route("/v2/health/ready", ready),
            Route("/v2/health/live", health),
            Route("/healthz", health),
        ],
        exception_handlers={Refusal: refused, 404: no_such_page, 405: no_such_page, 500: refused},
        lifespan=lifespan,
    )
    app.state.worker = worker
    return app


async def _admit(request: Request) -> tuple[Worker, dict[str, Any]]:
    """The worker and the request's JSON body, once deployment, standing, caller and size have been checked, in this order."""
    worker: Worker = request.app.state.worker
    request.state.caller = await worker.caller(request.headers.get("Authorization", ""))
    if request.path_params["deployment"] != worker.deployment:
        raise NotFound(f"This worker serves the deployment {worker.deployment} only.")
    worker.current()
    try:
        body = orjson.loads(await _body(request))
    except orjson.JSONDecodeError as error:
        raise Invalid(f"The body is not valid JSON: {error}.", code="json-malformed") from error
    if not isinstance(body, dict):
        raise Invalid("The body must be a JSON object.", code="json-malformed")
    return worker, body


async def _body(request: Request) -> bytes:
    chunks, size = [], 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > MAX_BODY_BYTES:
                raise TooLarge(f"The body is larger than {MAX_BODY_BYTES // 1024**2} MiB; send fewer rows at a time.")
            chunks.append(chunk)
    except ClientDisconnect as error:
        raise Invalid("The request broke off before its end.", code="upload-truncated") from error
    return b"".join(chunks)


def _ids(given: Any, rows: int) -> list[str]:
    """One id per row: the caller's, so that outcomes can be matched later, or new ones."""
    if given is None:
        return [uuid4().hex for _ in range(rows)]
    fits = (
        isinstance(given, list)
        and len(given) == rows
        and all(isinstance(one, str) and 0 < len(one) <= 64 for one in given)
    )
    if not fits or len(set(given)) != rows:
        raise Invalid("ids must hold one different text of at most 64 characters per row.", code="ids-malformed")
    return list(given)


def _about(answer: Answer) -> dict[str, Any]:
    release = answer.serving.release
    return {"model": release.model, "version": release.version, "digest": release.digest}


def _output(name: str, datatype: str, data: Sequence[Any]) -> dict[str, Any]:
    values = [str(one) if datatype == "BYTES" else one for one in data]
    return {"name": name, "datatype": datatype, "shape": [len(data)], "data": values}


def _ok(value: Any) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")


def _pinned_key(path: Path) -> Ed25519PublicKey:
    key = load_pem_public_key(path.read_bytes())
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError(f"{path.name} holds no Ed25519 public key.")
    return key


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve one deployment until SIGTERM or SIGINT. The token comes from the environment, never from the command line."""
    parser = argparse.ArgumentParser(prog="python -m serving.worker", description="Serves one deployment.")
    parser.add_argument("--deployment", required=True)
    parser.add_argument("--portal", required=True, help="the portal's address, http(s)://host:port")
    parser.add_argument(
        "--registry-key", required=True, type=Path, help="PEM file with the registry's public key, pinned"
    )
    parser.add_argument(
        "--log-dir", required=True, type=Path, help="where prediction logs go; one folder per deployment"
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8100)
    options = parser.parse_args(arguments)
    token = os.environ.pop("COUNTERSIGN_TOKEN", "")
    if not token:
        parser.error("set COUNTERSIGN_TOKEN to the worker's service token")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s level=%(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    worker = Worker(
        deployment=options.deployment,
        portal=Portal(options.portal, token, options.deployment),
        key=_pinned_key(options.registry_key),
        predictions=PredictionLog(options.log_dir / options.deployment),
    )
    uvicorn.run(create_app(worker), host=options.host, port=options.port, access_log=False, timeout_graceful_shutdown=5)


if __name__ == "__main__":
    main()
