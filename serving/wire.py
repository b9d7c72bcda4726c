"""The application that `mlflow server --app-name countersign` runs: MLflow's own server behind our credentials and our list of addresses.

Every request is authenticated before anything else reads it, and only addresses of `serving.wire_rules` go on to MLflow. The files of
registered versions are served here, out of our store; MLflow's server never sees those addresses, so it cannot overwrite them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from functools import wraps
from http import HTTPStatus
from typing import Any, Final, ParamSpec, TypeVar
from urllib.parse import parse_qs

import anyio
from anyio.to_thread import run_sync
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving import django_ready  # noqa: F401 - MLflow imports this module in processes where Django is not set up

# isort: split

from django.conf import settings
from django.db import close_old_connections

from access.authentication import authenticate_credentials
from access.permissions import Permission
from access.principal import Principal
from audit.actions import Receipt
from countersign.proof.manifest import ManifestFile
from foundation.collecting import settle
from foundation.nul import refuse_nul_in_address
from foundation.numbers import whole_number
from foundation.refusals import Forbidden, Invalid, NotFound, Refusal, TooLarge, Unauthenticated
from registry.models import ModelVersion
from registry.queries import find_model
from serving import mlflow_ui
from serving.byte_ranges import Chosen, choose
from serving.caller import set_caller
from serving.downloads import ARTIFACTS, check_may_download
from serving.ledger_headers import ledger_headers
from serving.mlflow_errors import as_mlflow
from serving.mlflow_sources import answer_registration
from serving.mlflow_webhooks import answer_test
from serving.pulls import CHUNK_BYTES, Pull, PulledFile, download_headers, find_file
from serving.queries import find_pullable
from serving.tracking import refuse_archives
from serving.tracking_access import check_path, may_log, may_look
from serving.tracking_models import Level
from serving.upstreams import configured
from serving.wire_rules import Needs, is_ours, is_trace, needs, plain_path

P = ParamSpec("P")
R = TypeVar("R")

MAX_LENGTH_DIGITS: Final = 19
LANDING: Final = "Countersign speaks MLflow's API here. Its pages are at {portal}\n"
WRITING: Final = frozenset({"PUT", "POST", "PATCH", "DELETE"})

log = logging.getLogger("countersign.wire")


def create_app() -> ASGIApp:
    """The ASGI application; called once by the server that MLflow starts."""
    from mlflow.server import app as flask_app
    from mlflow.server.fastapi_app import create_fastapi_app

    from serving.mlflow_ui_asks import answer_pages
    from serving.tracking_store import serve_governed

    # Django closes a request's connections when its own handlers end one; MLflow's requests end here.
    flask_app.before_request(close_old_connections)
    flask_app.teardown_request(lambda _: close_old_connections())
    refuse_archives()
    store = serve_governed()
    flask_app.before_request(answer_pages(store))
    flask_app.before_request(answer_test)  # MLflow's own handler would send from here, past the outbox
    configured()  # what is configured wrongly stops the start, not a registration
    flask_app.before_request(answer_registration)  # MLflow's own handler would look for the source here
    app = Gate(create_fastapi_app(flask_app))
    settle()
    return app


class Gate:
    """What stands in front of MLflow's server."""

    def __init__(self, inner: ASGIApp) -> None:
        self.inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let through, answer, or refuse; websockets are closed."""
        if scope["type"] == "lifespan":
            await self.inner(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if mlflow_ui.is_page(scope["path"]):
            scope, send = _without_prefix(scope), _as_page(scope["path"].removeprefix(mlflow_ui.PREFIX), send)
            admit = self._admit_page
        else:
            admit = self._admit
        try:
            response = await admit(scope)
        except Refusal as refusal:
            await error_response(refusal)(scope, receive, send)
            return
        if response is not None:
            await response(scope, receive, send)
        else:
            await self.inner(scope, Metered(receive, settings.MAX_FILE_BYTES), send)

    async def _admit_page(self, scope: Scope) -> Response | None:
        """The same for MLflow's pages, whose session is the portal's."""
        method, path = scope["method"], scope["path"]
        if path == "":
            return RedirectResponse(mlflow_ui.PREFIX + "/")
        needed, headers = mlflow_ui.page_needs(method, path), _headers(scope)
        if needed is Needs.NOTHING:
            return None
        try:
            principal = await run_sync(_in_database(mlflow_ui.session_of), headers, _cgi(scope, headers))
        except Unauthenticated:
            if path == mlflow_ui.INDEX:
                return RedirectResponse(settings.PORTAL_URL + mlflow_ui.LOGIN)
            raise
        if needed is None:
            raise NotFound(
                f"This page of MLflow's is not served here. What goes live is decided on the portal: {settings.PORTAL_URL}",
                code="no-such-address",
            )
        mlflow_ui.check_came_from_here(method, path, headers)
        # It was judged; MLflow's own list of origins knows only this machine.
        scope["headers"][:] = [one for one in scope["headers"] if one[0] != b"origin"]
        set_caller(principal)
        _check_length(scope)
        await run_sync(_in_database(_check_runs), principal, needed)
        return None

    async def _admit(self, scope: Scope) -> Response | None:
        """Our own answer, or None for what MLflow's server may answer; raises a refusal for everything else."""
        method, path = scope["method"], scope["path"]
        refuse_nul_in_address(path, scope["query_string"].decode("latin-1"))
        needed = needs(method, path)
        if needed is Needs.NOTHING:
            return None
        if path == "/" and method in {"GET", "HEAD"}:
            return PlainTextResponse(LANDING.format(portal=settings.PORTAL_URL))
        principal = await run_sync(_in_database(_authenticate), scope)
        if needed is None:
            raise NotFound(
                f"{method} {path} is not served here. The registry's pages are at {settings.PORTAL_URL}",
                code="no-such-address",
            )
        set_caller(principal)
        _check_length(scope)
        if path == ARTIFACTS or path.startswith(ARTIFACTS + "/"):
            return await run_sync(_in_database(_artifacts), scope, principal, needed)
        await run_sync(_in_database(_check_runs), principal, needed)
        return None


class Metered:
    """A request body that ends with an error when it grows beyond `limit` bytes, whatever its header said."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive, self._left = receive, limit

    async def __call__(self) -> Message:
        """The next part; a disconnect once too much has arrived, so that nothing of it is kept."""
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        return message if self._left >= 0 else {"type": "http.disconnect"}


class PulledResponse(Response):
    """What was chosen of a file of a registered version, on its way out; on record before the first byte and after the last.

    Where no byte leaves (a copy that is confirmed, a range outside the file) that is on record as a read.
    """

    def __init__(self, pull: Pull, file: ManifestFile, chosen: Chosen) -> None:
        self.pull, self.file, self.chosen = pull, file, chosen
        headers = download_headers(file.path.rsplit("/", 1)[-1], file.sha256) | chosen.headers
        if chosen.status == HTTPStatus.NOT_MODIFIED:
            del headers["Content-Length"]  # the server counts the bytes of the body against it
        super().__init__(status_code=chosen.status, headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file in parts; however that ends, the end is recorded."""
        if not self.chosen.sends:
            receipt = await run_sync(_in_database(self.pull.record_read), "GET", self.chosen.status)
            await self._start(receipt, send)
            await send({"type": "http.response.body", "body": b""})
            return
        try:
            stream = await run_sync(_in_database(PulledFile), self.pull, self.file, self.chosen)
        except Refusal as refusal:
            await error_response(refusal)(scope, receive, send)
            return
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(_until_gone, receive, group.cancel_scope)
                await self._send(stream, send)
                group.cancel_scope.cancel()
        except ExceptionGroup as several:
            raise several.exceptions[0] from None  # the one that ended it, as if nobody had listened beside it
        finally:
            with anyio.CancelScope(shield=True):
                await run_sync(_in_database(stream.close))

    async def _send(self, stream: PulledFile, send: Send) -> None:
        await self._start(stream.receipt, send)
        while chunk := await run_sync(stream.read, CHUNK_BYTES):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _start(self, receipt: Receipt, send: Send) -> None:
        self.headers.update(await run_sync(_in_database(ledger_headers), receipt))
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})


async def _until_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    """Cancel `scope` when the client goes away: the server takes what is sent after that and says nothing."""
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


def _without_prefix(scope: Scope) -> Scope:
    """The request as MLflow's server knows it."""
    path = scope["path"].removeprefix(mlflow_ui.PREFIX)
    return {**scope, "path": path, "raw_path": path.encode(), "headers": list(scope["headers"])}


def _as_page(path: str, send: Send) -> Send:
    """`send` with the headers of a page on the answer, in place of MLflow's of the same names."""
    own = mlflow_ui.response_headers(path)
    names = {name for name, _ in own}

    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [
                (name, value)
                for name, value in message.get("headers", [])
                if name.lower() not in names and not name.lower().startswith(b"access-control-")
            ]
            message = {**message, "headers": [*kept, *own]}
        await send(message)

    return answer


def error_response(refusal: Refusal) -> Response:
    """A refusal as MLflow's clients read it."""
    error: Any = as_mlflow(refusal)
    headers = {"WWW-Authenticate": 'Basic realm="Countersign"'} if isinstance(refusal, Unauthenticated) else {}
    return JSONResponse(
        json.loads(error.serialize_as_json()), status_code=error.get_http_status_code(), headers=headers
    )


def _in_database(work: Callable[P, R]) -> Callable[P, R]:
    """`work` in a thread that lets go of stale database connections before and after."""

    @wraps(work)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        close_old_connections()
        try:
            return work(*args, **kwargs)
        finally:
            close_old_connections()

    return run


def _authenticate(scope: Scope) -> Principal:
    headers = _headers(scope)
    credential = headers.get("authorization", "")
    if not credential:
        raise Unauthenticated(
            "Send a service token: set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME (any) and MLFLOW_TRACKING_PASSWORD (the token)."
        )
    return authenticate_credentials(credential, _cgi(scope, headers))


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def _cgi(scope: Scope, headers: Mapping[str, str]) -> dict[str, str]:
    client = scope.get("client") or ("", 0)
    meta = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    return meta | {"REMOTE_ADDR": client[0], "QUERY_STRING": scope["query_string"].decode("latin-1")}


def _check_length(scope: Scope) -> None:
    length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    if not length.isdigit() or len(length) > MAX_LENGTH_DIGITS or int(length) > settings.MAX_FILE_BYTES:
        raise TooLarge(
            f"A file has at most {settings.MAX_FILE_BYTES:,} bytes; this one is larger, and nothing of it was kept."
        )


def _check_runs(by: Principal, needed: Needs) -> None:
    """That `by` may use tracking at all in this way; whose experiment it is, the store asks at every call.

    The files of runs are models that nobody has signed, so only who works on them gets those.
    """
    if needed is Needs.CREDENTIAL or may_log(by) or (needed is Needs.READ_RUNS and may_look(by)):
        return
    raise Forbidden(
        f"{by.name} may not {needed}. It takes the permission {Permission.REGISTER_VERSION} or {Permission.RUN_TRAINING}; "
        "an administrator can give a role that has it."
    )


def _artifacts(scope: Scope, by: Principal, needed: Needs) -> Response | None:
    """Lists and files of registered versions from our store; None for the artifacts of runs, which MLflow's server handles."""
    listing = scope["path"].rstrip("/") == ARTIFACTS
    asked = _query_path(scope) if listing else scope["path"][len(ARTIFACTS) + 1 :]
    path = plain_path(asked)
    if path is None and asked.strip("/"):
        raise Invalid(f"{asked[:80]!r} is not a plain artifact path.", code="path")
    if path is None or not is_ours(path):
        # What a trace says is data about a run wherever it is kept: older clients keep it in a file.
        reads_trace = needed is Needs.READ_FILES and not listing and path is not None and is_trace(path)
        _check_runs(by, Needs.READ_RUNS if reads_trace else needed)
        check_path(path or "", by, Level.WRITE if needed is Needs.WRITE_RUNS else Level.READ)
        return None
    if scope["method"] in WRITING:
        raise Forbidden(
            "The files of registered versions are frozen: nobody changes them. Register a new version.", code="frozen"
        )
    version, inside = _registered(path, by)
    check_may_download(version, by=by)
    if listing:
        return JSONResponse({"files": listed(version.files, inside)})
    file = find_file(version, inside)
    headers = {name.decode("latin-1").title(): value.decode("latin-1") for name, value in scope["headers"]}
    chosen = choose(file.size, f'"{file.sha256}"', headers)
    return PulledResponse(Pull(version, inside, by, by.purpose or "mlflow", chosen.range), file, chosen)


def _query_path(scope: Scope) -> str:
    query: str = scope["query_string"].decode("latin-1")
    return parse_qs(query).get("path", [""])[0]


def _registered(path: str, by: Principal) -> tuple[ModelVersion, str]:
    """The version that an artifact path of ours names, and the path inside it."""
    _, name, number, inside = [*path.split("/", 3), "", "", ""][:4]
    try:
        model = find_model(name, by)
    except NotFound:
        model = find_pullable(name, by)
    version = model.versions.select_related("model").filter(number=whole_number(number) or 0).first()
    if version is None:
        raise NotFound(f"{name} has no version {number}.", code="version-unknown")
    return version, inside


def listed(files: list[ManifestFile], folder: str) -> list[dict[str, Any]]:
    """What lies directly in `folder` of a version, as MLflow lists it: names with sizes, folders without."""
    prefix = f"{folder}/" if folder else ""
    inside = [(file.path.removeprefix(prefix), file.size) for file in files if file.path.startswith(prefix)]
    folders = sorted({path.split("/", 1)[0] for path, _ in inside if "/" in path})
    plain = [{"path": path, "is_dir": False, "file_size": size} for path, size in inside if "/" not in path]
    return [{"path": name, "is_dir": True} for name in folders] + plain
