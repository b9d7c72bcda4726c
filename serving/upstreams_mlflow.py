"""Another MLflow tracking server as a place that files come from: by the id of a run or a logged model, through its artifact proxy.

Everything that is asked for lies below the address that the operator configured, with the credential that goes with it; redirects are
not followed (`foundation.outgoing`). What it says of where its files are is believed as far as its own proxy and the configured
buckets go.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from audit.anchors.protocol import Options, SinkMisconfigured, required
from foundation.outgoing import BadAddress, Download, NoAnswer, checked_url, get, retry_after
from foundation.refusals import Forbidden, Invalid, NotFound, TooLarge, Unavailable
from registry.store import limits
from serving.downloads import ARTIFACTS
from serving.fetching import Changed, Interrupted, RemoteFile
from serving.wire_rules import plain_path

API: Final = "/api/2.0/mlflow"
SILENCE_SECONDS: Final = 30.0
MOST_OF_JSON: Final = 8 * 1024**2
MOST_MODELS_OF_A_RUN: Final = 50
_LATER: Final = frozenset({408, 425, 429})
_UNKNOWN: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.BAD_REQUEST})
_NOT_OURS: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


@dataclass(frozen=True, slots=True)
class Located:
    """Where files are, as the server says it, and the run that made them (empty: none)."""

    uri: str
    run_id: str


@dataclass(frozen=True, slots=True)
class TrackingServer:
    """A tracking server at `url`. The secret, or what its file holds, is a token (Bearer) or, with `username`, a password (Basic)."""

    name: str
    url: str
    username: str = ""
    secret: str = ""
    secret_file: str = ""
    ca: str = ""

    @classmethod
    def of(cls, name: str, options: Options) -> TrackingServer:
        """From `url`, and if wanted `token` or `token_file`, `username` with `password` or `password_file`, and `ca`."""
        (url,) = required(options, "url")
        try:
            parts = checked_url(url)
        except BadAddress as error:
            raise SinkMisconfigured(f"url of the upstream {name} {error}") from error
        if parts.query:
            raise SinkMisconfigured(f"url of the upstream {name} has no query")
        word = "password" if options.get("username") else "token"
        return cls(
            name,
            url.rstrip("/"),
            options.get("username", ""),
            options.get(word, ""),
            options.get(f"{word}_file", ""),
            options.get("ca", ""),
        )

    def located(self, source: str, *, run_id: str = "", model_id: str = "") -> Located | None:
        """Where the files of `source` are; None where this server does not know the run or logged model that it names.

        Raises `Invalid` where `source` is an address outside of what that run or logged model holds.
        """
        parts = urlsplit(source)
        name, _, path = parts.path.strip("/").partition("/")
        if parts.scheme == "models":
            model = self.logged_model(name)
            return None if model is None else Located(_text(model, "artifact_uri"), _text(model, "source_run_id"))
        if parts.scheme == "runs":
            run = self.run(name)
            return None if run is None else Located(self._output(run, path) or _join(_artifacts_of(run), path), name)
        return self._inside(source, run_id, model_id)

    def run(self, run_id: str) -> dict[str, Any] | None:
        """A run as MLflow's API tells it; None where it is not known."""
        answer = self._json(f"{API}/runs/get?{urlencode({'run_id': run_id})}")
        return None if answer is None else _object(answer, "run")

    def logged_model(self, model_id: str) -> dict[str, Any] | None:
        """What MLflow's API tells of a logged model; None where it is not known."""
        answer = self._json(f"{API}/logged-models/{quote(model_id, safe='')}")
        return None if answer is None else _object(_object(answer, "model"), "info")

    def folder(self, uri: str) -> ServerFolder:
        """The folder that `uri` names behind the server's artifact proxy; raises `Invalid` for any other place."""
        path = self._proxied(uri)
        if path is None or plain_path(path) is None:
            raise Invalid(
                f"{self.name} says that the files are at {uri}, which is not behind its artifact proxy nor in a bucket that files are "
                "fetched from here. Let that server keep artifacts behind its proxy (mlflow server --artifacts-destination …).",
                code="source",
            )
        return ServerFolder(self, path)

    def ask(self, path: str, headers: dict[str, str] | None = None) -> Download:
        """The answer to a GET below the server's address; raises `Interrupted`, or a `Refusal` where it will not be given later either.

        200, 206 and what says that there is no such thing come back.
        """
        try:
            answer = get(
                self.url + path, self._headers() | (headers or {}), reach=None, timeout=SILENCE_SECONDS, ca=self.ca
            )
        except BadAddress as error:
            raise Invalid(f"The address of {self.name} {error}.", code="source") from error
        except NoAnswer as error:
            raise Interrupted(f"{self.name} does not answer: {error}") from error
        if answer.status in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT} or answer.status in _UNKNOWN:
            return answer
        answer.close()
        raise self._refused(answer)

    def _refused(self, answer: Download) -> Exception:
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.status in _LATER:
            return Interrupted(f"{self.name} answered {answer.status}", retry_after(answer.header("Retry-After")))
        if answer.status in _NOT_OURS:
            return Forbidden(
                f"{self.name} refused the credential that is configured for it ({answer.status}).",
                code="source-refused",
            )
        return Invalid(
            f"{self.name} answered {answer.status}, which is followed nowhere. Ask an administrator to check its address.",
            code="source-refused",
        )

    def _inside(self, source: str, run_id: str, model_id: str) -> Located | None:
        """`source` itself, where it lies in what the run or logged model that was named with it holds."""
        if model_id:
            model = self.logged_model(model_id)
            if model is None:
                return None
            root, made_by = _text(model, "artifact_uri"), run_id or _text(model, "source_run_id")
        else:
            run = self.run(run_id)
            if run is None:
                return None
            root, made_by = _artifacts_of(run), run_id
        path, home = self._proxied(source), self._proxied(root)
        if path is None or home is None or not f"{path}/".startswith(f"{home}/"):
            raise Invalid(
                f"{source} does not lie in the artifacts of {model_id or run_id} on {self.name}, which are at {root}.",
                code="source",
            )
        return Located(source, made_by)

    def _output(self, run: dict[str, Any], name: str) -> str:
        """Where a model lies that the run logged under this name; since MLflow 3 that is not among the run's own artifacts."""
        outputs = run.get("outputs")
        listed = outputs.get("model_outputs", []) if isinstance(outputs, dict) else []
        ids = [_text(one, "model_id") for one in listed if isinstance(one, dict)]
        for model_id in reversed(ids[-MOST_MODELS_OF_A_RUN:]):
            model = self.logged_model(model_id)
            if model is not None and model.get("name") == name:
                return _text(model, "artifact_uri")
        return ""

    def _proxied(self, uri: str) -> str | None:
        """The path behind this server's artifact proxy that `uri` names; None where it names something else."""
        parts = urlsplit(uri)
        if parts.scheme == "mlflow-artifacts":
            return parts.path.strip("/") if parts.netloc in {"", urlsplit(self.url).netloc} else None
        proxy = f"{self.url}{ARTIFACTS}/"
        return uri.removeprefix(proxy).strip("/") if uri.startswith(proxy) else None

    def _json(self, path: str) -> dict[str, Any] | None:
        with self.ask(path) as answer:
            if answer.status in _UNKNOWN:
                return None
            return self.parsed(answer)

    def parsed(self, answer: Download) -> dict[str, Any]:
        """The JSON object that was answered, at most 8 MiB; raises `Interrupted` where it breaks off."""
        body = bytearray()
        try:
            while part := answer.read(64 * 1024):
                body += part
                if len(body) > MOST_OF_JSON:
                    raise TooLarge(f"{self.name} answered with more than can be read.", code="source-refused")
        except NoAnswer as error:
            raise Interrupted(f"{self.name} broke off: {error}") from error
        try:
            found = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Invalid(f"{self.name} does not answer as an MLflow server does.", code="source-refused") from error
        if not isinstance(found, dict):
            raise Invalid(f"{self.name} does not answer as an MLflow server does.", code="source-refused")
        return found

    def _headers(self) -> dict[str, str]:
        secret = self.secret
        if self.secret_file:
            try:
                secret = Path(self.secret_file).read_text().strip()
            except (OSError, UnicodeDecodeError) as error:
                raise Unavailable(
                    f"The credential for {self.name} cannot be read from its file. Ask an administrator.",
                    code="source-refused",
                ) from error
        if self.username:
            pair = base64.b64encode(f"{self.username}:{secret}".encode()).decode()
            return {"Authorization": f"Basic {pair}"}
        return {"Authorization": f"Bearer {secret}"} if secret else {}


@dataclass(frozen=True, slots=True)
class ServerFolder:
    """A folder behind the artifact proxy of a tracking server; `path` as the proxy names it."""

    server: TrackingServer
    path: str

    @property
    def origin(self) -> str:
        """The server's name and the path."""
        return f"{self.server.name} (mlflow-artifacts:/{self.path})"

    def files(self) -> Iterator[RemoteFile]:
        """Every file below it, folder by folder; as many folders are looked into as a version may have files."""
        waiting, looked = [""], 0
        while waiting:
            inside = waiting.pop()
            looked += 1
            if looked > limits().files:
                raise TooLarge(f"{self.origin} has more than {limits().files:,} folders.", code="too-many-files")
            for entry in self._listed(inside):
                name = _text(entry, "path").rpartition("/")[2]
                if name in {"", ".", ".."}:
                    raise Invalid(f"{self.origin} lists a file without a name.", code="path-name")
                path = f"{inside}/{name}" if inside else name
                if entry.get("is_dir") is True:
                    waiting.append(path)
                else:
                    yield RemoteFile(path, _size(entry.get("file_size")))

    def open(self, file: RemoteFile, *, offset: int, mark: str) -> Arrived:
        """The file from byte `offset` on. A strong ETag tells contents apart; without one a file is begun anew."""
        if offset and not mark:
            raise Changed
        headers = {"Range": f"bytes={offset}-", "If-Range": mark} if offset else {}
        answer = self.server.ask(f"{ARTIFACTS}/{quote(f'{self.path}/{file.path}')}", headers)
        if answer.status in _UNKNOWN:
            answer.close()
            raise NotFound(f"{file.path} is not to be had from {self.origin} any more.", code="source-missing")
        continued = answer.status == HTTPStatus.PARTIAL_CONTENT
        etag = answer.header("ETag")
        same = etag == mark and answer.header("Content-Range").startswith(f"bytes {offset}-")
        if continued != bool(offset) or (continued and not same):
            answer.close()
            raise Changed
        return Arrived(self.server.name, answer, etag if etag.startswith('"') else "")

    def _listed(self, inside: str) -> list[dict[str, Any]]:
        query = urlencode({"path": f"{self.path}/{inside}".rstrip("/")})
        with self.server.ask(f"{ARTIFACTS}?{query}") as answer:
            if answer.status in _UNKNOWN:
                return []
            rows = self.server.parsed(answer).get("files", [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise Invalid(f"{self.server.name} does not answer as an MLflow server does.", code="source-refused")
        return rows


class Arrived:
    """A file on its way from a tracking server."""

    def __init__(self, name: str, answer: Download, mark: str) -> None:
        self._name, self._answer, self.mark = name, answer, mark

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, nothing at the end; raises `Interrupted`."""
        try:
            return self._answer.read(size)
        except NoAnswer as error:
            raise Interrupted(f"{self._name} broke off: {error}") from error

    def close(self) -> None:
        """Let go of the connection."""
        self._answer.close()


def _artifacts_of(run: dict[str, Any]) -> str:
    return _text(_object(run, "info"), "artifact_uri")


def _object(found: dict[str, Any], key: str) -> dict[str, Any]:
    inner = found.get(key)
    if not isinstance(inner, dict):
        raise Invalid(f"The answer lacks {key}; it is not an MLflow server's.", code="source-refused")
    return inner


def _text(found: dict[str, Any], key: str) -> str:
    value = found.get(key, "")
    return value if isinstance(value, str) else ""


def _size(value: Any) -> int | None:
    """A size as MLflow's JSON says it: a number, or its digits."""
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _join(root: str, path: str) -> str:
    return f"{root.rstrip('/')}/{path}".rstrip("/")
