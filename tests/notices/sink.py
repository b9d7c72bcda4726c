"""A real SMTP server on this machine that keeps what it is sent, and refuses where a test asks it to (RFC 5321, as much as is needed)."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import cast


class Sink(socketserver.ThreadingTCPServer):
    """`mails` has what was accepted; `refuse` maps a recipient to the reply that it gets."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Conversation)
        self.mails: list[EmailMessage] = []
        self.refuse: dict[str, str] = {}
        self.connections = 0

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def to(self, address: str) -> list[EmailMessage]:
        """What was accepted for one address."""
        return [mail for mail in self.mails if mail["To"] == address]


class _Conversation(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        sink = cast("Sink", self.server)
        sink.connections += 1
        self._say("220 sink ready")
        while line := self.rfile.readline():
            command = line.decode().strip()
            word = command.upper()
            if word.startswith("RCPT TO:"):
                address = command[8:].strip().strip("<>")
                self._say(sink.refuse.get(address, "250 accepted"))
            elif word == "DATA":
                self._data(sink)
            elif word == "QUIT":
                self._say("221 bye")
                return
            else:
                self._say("250 sink")

    def _data(self, sink: Sink) -> None:
        self._say("354 go on")
        lines = []
        while (line := self.rfile.readline()) not in {b".\r\n", b""}:
            lines.append(line[1:] if line.startswith(b"..") else line)
        sink.mails.append(message_from_bytes(b"".join(lines), policy=policy.default))
        self._say("250 kept")

    def _say(self, reply: str) -> None:
        self.wfile.write(f"{reply}\r\n".encode())


@contextmanager
def listening(port: int = 0) -> Iterator[Sink]:
    """A sink that listens until the end of the block."""
    with Sink(port) as sink:
        thread = threading.Thread(target=sink.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield sink
        finally:
            sink.shutdown()
            thread.join(timeout=5)
