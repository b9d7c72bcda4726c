"""A destination over syslog: RFC 5424 messages, over TLS (RFC 5425) or TCP (RFC 6587) with octet counting, or one datagram each (RFC 5426).

Syslog has no acknowledgement. Over TLS and TCP a batch counts as taken when the receiver, told that nothing more comes, has closed its
side too: what it had not read by then would have broken the connection. Over UDP nobody knows; it is for networks where that will do.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from audit import keys
from audit.anchors.protocol import Options, SinkMisconfigured, required
from audit.events import Outcome
from audit.formats.cloudevents import event_id
from audit.queries import LoggedEntry
from audit.streaming.protocol import Parked, TryAgain
from foundation.outgoing import is_loopback

TIMEOUT_SECONDS: Final = 15.0
LOG_AUDIT: Final = 13
TRANSPORTS: Final = ("tls", "tcp", "udp")
MAX_DATAGRAM_BYTES: Final = 65_000
# RFC 5612 sets 32473 aside for whoever has no number of their own.
SD_ID: Final = "countersign@32473"
_SEVERITY: Final = {Outcome.OK: 6, Outcome.DENIED: 4, Outcome.ERROR: 3}
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_NOT_IN_A_NAME: Final = re.compile(r"[^!-~]")


def message(one: LoggedEntry, origin: str) -> bytes:
    """An entry as one message: what is searched for as structured data, the exact bytes as its text. Never a line's end in it."""
    entry = one.entry
    severity = next((number for outcome, number in _SEVERITY.items() if outcome == entry.outcome), 5)
    at = one.at.isoformat(timespec="microseconds").replace("+00:00", "Z")
    host = _name(origin.partition("/")[0], 255)
    facts = {
        "id": event_id(origin, one.seq or 0),
        "seq": str(one.seq),
        "action": entry.action,
        "outcome": entry.outcome,
        "actor": entry.actor_id,
        "actorKind": entry.actor_kind,
        "object": entry.obj_id,
        "objectKind": entry.obj_kind,
        "request": entry.request_id,
    }
    data = "".join(f' {name}="{_value(value)}"' for name, value in facts.items() if value)
    head = f"<{LOG_AUDIT * 8 + severity}>1 {at} {host} countersign - {_name(entry.action, 32)} [{SD_ID}{data}] "
    return head.encode() + one.payload


def frame(text: bytes) -> bytes:
    """A message with its length before it (RFC 6587, section 3.4.1)."""
    return b"%d %b" % (len(text), text)


def _value(text: str) -> str:
    """The value of a parameter (RFC 5424, section 6.3.3), control characters replaced."""
    return re.sub(r'(["\\\]])', r"\\\1", _UNPRINTABLE.sub("\ufffd", text))


def _name(text: str, width: int) -> str:
    return _NOT_IN_A_NAME.sub("_", text)[:width] or "-"


@dataclass(frozen=True, slots=True)
class SyslogDestination:
    """Sends to `host` and `port`; `ca` is a file of certificates to trust instead of the system's."""

    name: str
    host: str
    port: int
    transport: str = "tls"
    ca: str = ""

    @classmethod
    def of(cls, name: str, options: Options) -> SyslogDestination:
        """From `host`, and if wanted `port` (6514, without TLS 514), `transport` (tls, tcp, udp) and `ca`."""
        (host,) = required(options, "host")
        transport = options.get("transport", "tls")
        if transport not in TRANSPORTS:
            raise SinkMisconfigured(
                f"transport of the stream {name} is one of {', '.join(TRANSPORTS)}, not {transport!r}"
            )
        port = options.get("port", "6514" if transport == "tls" else "514")
        if not port.isdecimal() or not 0 < int(port) < 65_536:
            raise SinkMisconfigured(f"port of the stream {name} is a number from 1 to 65535, not {port!r}")
        if transport != "tls" and not is_loopback(host) and options.get("in_the_clear") != "yes":
            raise SinkMisconfigured(
                f"the stream {name} would send entries unencrypted: use transport tls, or say in_the_clear: yes"
            )
        return cls(name, host, int(port), transport, options.get("ca", ""))

    def deliver(self, batch: Sequence[LoggedEntry]) -> None:
        """Send the messages in order over one connection."""
        messages = [message(one, keys.origin()) for one in batch]
        try:
            if self.transport == "udp":
                self._datagrams(messages)
            else:
                self._stream(b"".join(map(frame, messages)))
        except ssl.SSLCertVerificationError as error:
            raise Parked(f"its certificate does not hold: {error.verify_message}") from error
        except OSError as error:
            raise TryAgain(f"it does not take them: {error}") from error

    def _stream(self, data: bytes) -> None:
        with self._connected() as connection:
            connection.sendall(data)
            if isinstance(connection, ssl.SSLSocket):
                connection.unwrap()  # returns when the receiver has said that it closes too
                return
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4_096):
                continue

    @contextmanager
    def _connected(self) -> Iterator[socket.socket]:
        with socket.create_connection((self.host, self.port), timeout=TIMEOUT_SECONDS) as plain:
            if self.transport == "tcp":
                yield plain
            else:
                trusted = ssl.create_default_context(cafile=self.ca or None)
                with trusted.wrap_socket(plain, server_hostname=self.host) as secured:
                    yield secured

    def _datagrams(self, messages: Sequence[bytes]) -> None:
        family, kind, protocol, _, address = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as sending:
            for text in messages:
                sending.sendto(text[:MAX_DATAGRAM_BYTES], address)
