"""A server that answers as MLflow's tracking server does, and breaks off, moves or lies as a test wants: real HTTP on this machine."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

API = "/api/2.0/mlflow"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"


@dataclass
class Lab:
    """What the server holds and how it misbehaves. `asked` has each request's path and headers."""

    files: dict[str, bytes] = field(default_factory=dict)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str]]] = field(
        default_factory=list
    )  # instead of what it would answer, once each
    breaks: list[int] = field(default_factory=list)  # after so many bytes of a file, once each
    etags: bool = True
    ranges: bool = True
    careless: bool = False  # goes on from a byte whatever If-Range says
    token: str = ""
    url: str = ""

    def log_model(self, files: dict[str, bytes], model_id: str = "m-1", run_id: str = "r1", name: str = "model") -> str:
        """Keep a logged model as MLflow 3 does; returns its source."""
        folder = f"7/models/{model_id}/artifacts"
        self.files |= {f"{folder}/{path}": content for path, content in files.items()}
        info = {
            "model_id": model_id,
            "name": name,
            "artifact_uri": f"mlflow-artifacts:/{folder}",
            "source_run_id": run_id,
        }
        self.models[model_id] = {"info": info}
        outputs = {"model_outputs": [{"model_id": model_id, "step": 0}]}
        self.runs[run_id] = {"info": {"artifact_uri": f"mlflow-artifacts:/7/{run_id}/artifacts"}, "outputs": outputs}
        return f"models:/{model_id}"

    def paths(self) -> list[str]:
        """The files that were asked for, in order."""
        return [unquote(path).rpartition("/")[2] for path, _ in self.asked if path.startswith(f"{ARTIFACTS}/")]

    def answer(self, path: str, query: dict[str, list[str]]) -> bytes | None:
        """The body of a JSON answer, None where there is no such thing."""
        if path == f"{API}/runs/get":
            run = self.runs.get(query["run_id"][0])
            return None if run is None else json.dumps({"run": run}).encode()
        if path.startswith(f"{API}/logged-models/"):
            model = self.models.get(path.rpartition("/")[2])
            return None if model is None else json.dumps({"model": model}).encode()
        return json.dumps({"files": self.listed(query.get("path", [""])[0])}).encode()

    def listed(self, folder: str) -> list[dict[str, Any]]:
        inside = {
            path.removeprefix(f"{folder}/"): len(body)
            for path, body in self.files.items()
            if path.startswith(f"{folder}/")
        }
        folders = sorted({path.partition("/")[0] for path in inside if "/" in path})
        plain = [{"path": path, "is_dir": False, "file_size": size} for path, size in inside.items() if "/" not in path]
        return [{"path": name, "is_dir": True} for name in folders] + plain


@contextmanager
def tracking() -> Iterator[Lab]:
    """A server that listens until the end of the block."""
    lab = Lab()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            lab.asked.append((self.path, dict(self.headers)))
            if lab.answers:
                status, headers = lab.answers.pop(0)
                return self.say(status, b"", headers)
            if lab.token and self.headers["Authorization"] != lab.token:
                return self.say(401, b"")
            parts = urlsplit(self.path)
            if parts.path.startswith(f"{ARTIFACTS}/"):
                return self.send_file(unquote(parts.path.removeprefix(f"{ARTIFACTS}/")))
            body = lab.answer(parts.path, parse_qs(parts.query))
            return self.say(404 if body is None else 200, body or b"{}")

        def send_file(self, path: str) -> None:
            if path not in lab.files:
                return self.say(404, b"{}")
            body = lab.files[path]
            etag = f'"{hashlib.sha256(body).hexdigest()[:8]}"'
            headers, status, start = {"ETag": etag} if lab.etags else {}, 200, 0
            asked = self.headers["Range"]
            if asked and lab.ranges and (lab.careless or self.headers["If-Range"] == etag):
                start, status = int(asked.removeprefix("bytes=").rstrip("-")), 206
                headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
            return self.say(status, body[start:], headers, lab.breaks.pop(0) if lab.breaks else None)

        def say(self, status: int, body: bytes, headers: dict[str, str] | None = None, only: int | None = None) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body if only is None else body[:only])
            self.close_connection = True

        def log_message(self, *_args: object) -> None:
            """Tests are quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    lab.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield lab
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
