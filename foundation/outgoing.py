"""Decides how this installation speaks to an address that somebody named: one request, to where it was checked to lead and nowhere else.

Every address that a host name resolves to is checked before the first byte leaves, and the connection is made to a checked address,
not to the name, so that an answer of the name server that changes in between leads nowhere (DNS rebinding). The certificate is
checked against the name. Redirects are not followed, no proxy of the environment is asked, and of the answer to a POST only the
beginning is read. Pure: sockets, no Django.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import SplitResult, urlsplit

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

TIMEOUT_SECONDS: Final = 15.0
LONGEST_WAIT_SECONDS: Final = 3_600.0
MOST_OF_AN_ANSWER: Final = 2_048
_NAT64: Final = IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
_TUNNELS: Final = (IPv6Network("2001::/32"), IPv6Network("2002::/16"))  # Teredo and 6to4: they lead to any IPv4 address
_SERVED_TO_MACHINES: Final = frozenset(
    {IPv4Address("168.63.129.16")}
)  # Azure's own services for a machine, public by number


class BadAddress(ValueError):
    """An address that nothing is sent to; the sentence says why and what it takes."""


class NoAnswer(OSError):
    """Nobody answered: the name is unknown, the connection was refused or broke off, the certificate is wrong, or time ran out."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Where one may connect to: public addresses, and those inside `networks`."""

    networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, texts: Iterable[str]) -> Reach:
        """From networks such as `10.1.0.0/16`; raises `ValueError` for what is none."""
        return cls(tuple(ip_network(text.strip()) for text in texts if text.strip()))

    def allows(self, address: Address) -> bool:
        """Whether one may connect to `address`; an IPv4 address inside an IPv6 one is judged as what it is."""
        inner = embedded(address)
        return is_public(inner) or any(inner in network for network in self.networks)


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered: the status, how many seconds the other side asks to be left alone, and the beginning of the body."""

    status: int
    retry_after: float
    beginning: bytes

    @property
    def accepted(self) -> bool:
        """Whether it was taken: any 2xx."""
        return 200 <= self.status < 300


class Download:
    """An answer that is read in parts: its status and headers, then its body. A context manager that closes the connection."""

    def __init__(self, connected: socket.socket, answer: http.client.HTTPResponse) -> None:
        self._connected, self._answer = connected, answer
        length = answer.getheader("Content-Length", "")
        self._left = int(length) if length.isdecimal() and not answer.chunked else None
        self.status = answer.status

    def __enter__(self) -> Download:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def header(self, name: str) -> str:
        """A header of the answer; empty where it is not there."""
        return self._answer.getheader(name, "")

    def read(self, size: int) -> bytes:
        """What has come, `size` bytes at most; nothing at the end. Raises `NoAnswer` where the body breaks off."""
        try:
            part = self._answer.read1(size)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NoAnswer(_why(error)) from error
        if self._left is not None:
            self._left -= len(part)
        if not part and self._left:
            raise NoAnswer(f"it broke off {self._left:,} bytes before the end")
        return part

    def close(self) -> None:
        """Let go of the connection."""
        self._answer.close()
        self._connected.close()


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its number or by the one name that always is."""
    try:
        return embedded(ip_address(host)).is_loopback
    except ValueError:
        return host == "localhost"


def embedded(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for (mapped, RFC 4291 2.5.5.2; NAT64, RFC 6052), else the address itself."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def is_public(address: Address) -> bool:
    """Whether anybody on the internet can be reached at `address`: neither private nor of this link, this machine, or a group."""
    if isinstance(address, IPv6Address) and (
        address not in _GLOBAL_UNICAST or any(address in tunnel for tunnel in _TUNNELS)
    ):
        return False
    return (
        address.is_global
        and not (address.is_multicast or address.is_reserved or address.is_link_local or address.is_unspecified)
        and address not in _SERVED_TO_MACHINES
    )


def checked_url(url: str) -> SplitResult:
    """The parts of an address that can be posted to: https (http to this machine alone), a host, no user, password or fragment.

    Raises `BadAddress`. Where the host leads is asked when something is sent (`resolved`), each time.
    """
    if any(character <= " " or character == "\x7f" for character in url) or not url.isascii():
        raise BadAddress("holds spaces or characters that no address has; write them as %XX, a host name as xn--")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BadAddress(f"is no address: {error}") from error
    if not parts.hostname or parts.username is not None or parts.password is not None:
        raise BadAddress("names a host and no user or password")
    if parts.fragment or port == 0:
        raise BadAddress("has no fragment, and a port from 1 to 65535")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
        raise BadAddress("begins with https:// (http:// only on this machine)")
    return parts


def resolved(parts: SplitResult, reach: Reach | None) -> list[tuple[str, int]]:
    """Where `parts` leads: addresses with their port, every one of them allowed by `reach` (None: wherever it leads).

    Raises `BadAddress` where a single one is not allowed, `NoAnswer` where the name is unknown.
    """
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NoAnswer(f"the name {host} is not known: {error}") from error
    numbers = list(dict.fromkeys(str(one[4][0]) for one in found))
    for number in numbers:
        address = ip_address(number)
        if reach is not None and not reach.allows(address):
            raise BadAddress(f"leads to {number}, which is not an address on the internet")
        if parts.scheme == "http" and not embedded(address).is_loopback:
            raise BadAddress(f"leads to {number} without encryption")
    return [(number, port) for number in numbers]


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    reach: Reach | None,
    timeout: float = TIMEOUT_SECONDS,
    ca: str = "",
) -> Answer:
    """Post `body` to `url` and return what was answered, whatever its status; the whole may take `timeout` seconds after the name is known.

    `ca`: a file of certificates to trust instead of the system's. Raises `BadAddress` and `NoAnswer`.
    """
    parts = checked_url(url)
    deadline = time.monotonic() + timeout
    raw = _connected(resolved(parts, reach), deadline)
    try:
        with _cut_at(raw, deadline), _spoken(raw, parts, ca) as connected:
            return _begun(_asked(connected, parts, "POST", body, headers, deadline))
    except (OSError, http.client.HTTPException, ValueError) as error:
        late = time.monotonic() >= deadline
        raise NoAnswer(f"no answer within {timeout:g} seconds" if late else _why(error)) from error
    finally:
        raw.close()


def get(
    url: str, headers: Mapping[str, str], *, reach: Reach | None, timeout: float = TIMEOUT_SECONDS, ca: str = ""
) -> Download:
    """Ask for `url` and return what is answered, whatever its status, to be read in parts and closed.

    The answer has to begin within `timeout` seconds after the name is known, and each part has to come within as many after the one
    before. `ca` as for `post`. Raises `BadAddress` and `NoAnswer`.
    """
    parts = checked_url(url)
    deadline = time.monotonic() + timeout
    raw = _connected(resolved(parts, reach), deadline)
    connected = raw
    try:
        with _cut_at(raw, deadline):
            connected = _spoken(raw, parts, ca)
            connected.settimeout(timeout)
            answer = _asked(connected, parts, "GET", None, headers, deadline)
    except (OSError, http.client.HTTPException, ValueError) as error:
        late = time.monotonic() >= deadline
        connected.close()
        raise NoAnswer(f"no answer within {timeout:g} seconds" if late else _why(error)) from error
    return Download(connected, answer)


def retry_after(text: str) -> float:
    """The seconds that a `Retry-After` header asks for, an hour at most; 0 for none or a date."""
    return min(float(text), LONGEST_WAIT_SECONDS) if text.isdecimal() and text.isascii() else 0.0


def _connected(places: list[tuple[str, int]], deadline: float) -> socket.socket:
    failure: OSError = OSError("there is no address")
    for place in places:
        left = deadline - time.monotonic()
        if left <= 0:
            break
        try:
            return socket.create_connection(place, timeout=left)
        except OSError as error:
            failure = error
    raise NoAnswer(_why(failure)) from failure


def _spoken(raw: socket.socket, parts: SplitResult, ca: str) -> socket.socket:
    """The connection as the address asks for it: with TLS and a checked certificate, or plain."""
    if parts.scheme == "http":
        return raw
    return ssl.create_default_context(cafile=ca or None).wrap_socket(raw, server_hostname=parts.hostname)


def _asked(
    connected: socket.socket,
    parts: SplitResult,
    method: str,
    body: bytes | None,
    headers: Mapping[str, str],
    deadline: float,
) -> http.client.HTTPResponse:
    default = 443 if parts.scheme == "https" else 80
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or default)
    connection.default_port = default  # so that the Host header names a port only where it is not the scheme's own
    connection.sock = connected
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection.request(method, path, body, {"User-Agent": "Countersign", "Connection": "close", **headers})
    answer = connection.getresponse()
    if time.monotonic() >= deadline:
        raise TimeoutError("it was cut off")  # headers that just end look whole
    return answer


def _begun(answer: http.client.HTTPResponse) -> Answer:
    try:
        beginning = answer.read(MOST_OF_AN_ANSWER)
    except (OSError, http.client.HTTPException):
        beginning = b""  # what was answered is known; how it went on is of no use to anybody
    return Answer(answer.status, retry_after(answer.getheader("Retry-After", "")), beginning)


@contextmanager
def _cut_at(raw: socket.socket, deadline: float) -> Iterator[None]:
    """For as long as the block runs: a connection that ends at `deadline`.

    A timeout of a socket is for each read, and somebody who sends one byte a second never runs into it.
    """
    line = raw.dup()  # the same connection under a number of its own, since TLS takes the first one over
    watch = threading.Timer(max(deadline - time.monotonic(), 0.01), _cut, (line,))
    watch.daemon = True
    watch.start()
    try:
        yield
    finally:
        watch.cancel()
        line.close()


def _cut(line: socket.socket) -> None:
    with suppress(OSError):  # closed already: the exchange ended in the same moment
        line.shutdown(socket.SHUT_RDWR)


def _why(error: Exception) -> str:
    return f"{type(error).__name__} {error}".strip()
