"""A real HTTP server on this machine that keeps what it is sent and answers as a test wants."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Receiver:
    """What came, and what is to be answered: statuses (or a status with headers), then 204; `slow` seconds before each answer."""

    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: list[int | tuple[int, dict[str, str]]] = field(default_factory=list)
    slow: float = 0.0
    url: str = ""

    def bodies(self) -> list[dict[str, Any]]:
        """What came, as JSON."""
        return [json.loads(body) for _, body in self.requests]

    def events(self) -> list[str]:
        """The events that came, in order."""
        return [f"{one['entity']}.{one['action']}" for one in self.bodies()]

    def ids(self) -> list[str]:
        """The delivery ids that came, in order."""
        return [headers["X-MLflow-Delivery-Id"] for headers, _ in self.requests]


@contextmanager
def receiving(port: int = 0) -> Iterator[Receiver]:
    """A receiver that listens until the end of the block."""
    got = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.requests.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
            time.sleep(got.slow)
            answer = got.answers.pop(0) if got.answers else 204
            status, headers = answer if isinstance(answer, tuple) else (answer, {})
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_args: object) -> None:
            """Tests are quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    got.url = f"http://127.0.0.1:{server.server_port}/hook"
    try:
        yield got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
