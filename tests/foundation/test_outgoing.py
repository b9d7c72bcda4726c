"""What leaves goes where it was checked to go, over real sockets, and to no other place."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from foundation.outgoing import (
    Answer,
    BadAddress,
    NoAnswer,
    Reach,
    checked_url,
    get,
    is_loopback,
    post,
    resolved,
    retry_after,
)
from tests.notices.webhooks.receiver import Receiver, receiving

HERE = Reach.of(["127.0.0.0/8"])


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as got:
        yield got


def named(monkeypatch: pytest.MonkeyPatch, *numbers: str) -> list[str]:
    """Every name leads to `numbers` from now on; returns the names that were asked for."""
    asked: list[str] = []

    real = socket.getaddrinfo

    def lookup(host: str, port: int, *args: Any, **more: Any) -> list[Any]:
        if host in numbers:
            return real(host, port, *args, **more)
        asked.append(host)
        kinds = [socket.AF_INET6 if ":" in one else socket.AF_INET for one in numbers]
        return [(kind, socket.SOCK_STREAM, 6, "", (one, port)) for kind, one in zip(kinds, numbers, strict=True)]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    return asked


def send(url: str, reach: Reach | None = HERE, **more: Any) -> Answer:
    return post(url, b"{}", {"Content-Type": "application/json"}, reach=reach, **more)


@pytest.mark.parametrize(
    "number",
    [
        *(
            "127.0.0.1",
            "127.9.9.9",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.1",
        ),
        *(
            "100.100.100.200",
            "168.63.129.16",
            "224.0.0.1",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
        ),
        *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1"),
        *(
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
            "2001::1",
        ),
        *("::127.0.0.1", "::ffff:0:127.0.0.1"),
    ],
)
def test_what_is_not_on_the_internet_is_out_of_reach(number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    named(monkeypatch, number)

    assert not Reach().allows(ip_address(number))
    with pytest.raises(BadAddress, match="not an address on the internet"):
        send("https://receiver.example/", Reach())


@pytest.mark.parametrize(
    "number", ["93.184.216.34", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_what_is_on_the_internet_is_in_reach(number: str) -> None:
    assert Reach().allows(ip_address(number))


def test_a_network_that_the_operator_names_is_in_reach_and_its_neighbour_is_not() -> None:
    reach = Reach.of(["10.1.0.0/16", " fd12::/32 "])

    assert reach.allows(ip_address("10.1.2.3"))
    assert reach.allows(ip_address("::ffff:10.1.2.3"))
    assert reach.allows(ip_address("fd12::1"))
    assert not reach.allows(ip_address("10.2.0.1"))


def test_a_single_address_out_of_reach_among_others_is_enough_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    named(monkeypatch, "93.184.216.34", "10.0.0.1")

    with pytest.raises(BadAddress, match=r"10\.0\.0\.1"):
        send("https://receiver.example/", Reach())


def test_the_connection_goes_to_the_address_that_was_checked_and_the_name_is_not_asked_again(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = checked_url(receiver.url).port
    asked = named(monkeypatch, "127.0.0.1")

    answer = send(f"http://localhost:{port}/hook?x=1")

    # A name server of the attacker's would lead elsewhere when it is asked once more.
    assert asked == ["localhost"]
    assert answer == Answer(204, 0.0, b"")
    assert receiver.requests[0][0]["Host"] == f"localhost:{port}"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://receiver.example/", "https://"),
        ("ftp://receiver.example/", "https://"),
        ("file:///etc/passwd", "names a host"),
        ("https://", "names a host"),
        ("https://u:p@receiver.example/", "no user or password"),
        ("https://u@receiver.example/", "no user or password"),
        ("https://receiver.example/#x", "no fragment"),
        ("https://receiver.example:0/", "a port"),
        ("https://receiver.example:99999/", "no address"),
        ("https://receiver.example/a b", "spaces"),
        ("https://receiver.example/\r\nX-Forged: 1", "spaces"),
        ("https://réceiver.example/", "spaces or characters"),
        ("https://[::1/", "no address"),
    ],
)
def test_what_is_no_address_to_post_to_is_refused_with_the_reason(url: str, said: str) -> None:
    with pytest.raises(BadAddress, match=said):
        checked_url(url)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/", "http://localhost:1/", "http://[::1]:1/", "https://[2606:4700::1111]/x"]
)
def test_plain_http_is_for_this_machine_alone(url: str) -> None:
    checked_url(url)


def test_plain_http_does_not_leave_the_machine_whatever_localhost_leads_to(monkeypatch: pytest.MonkeyPatch) -> None:
    named(monkeypatch, "93.184.216.34")

    with pytest.raises(BadAddress, match="without encryption"):
        resolved(checked_url("http://localhost/"), Reach())


@pytest.mark.parametrize("number", ["0x7f.1", "2130706433", "127.1", "0177.0.0.1"])
def test_other_spellings_of_this_machine_are_this_machine(number: str) -> None:
    with pytest.raises((BadAddress, NoAnswer)):
        send(f"https://{number}/", Reach())


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    receiver.answers = [(307, {"Location": receiver.url})]

    assert send(receiver.url).status == 307
    assert len(receiver.requests) == 1


def test_no_proxy_of_the_environment_is_asked(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")

    assert send(receiver.url).accepted


def test_of_an_answer_the_beginning_is_read_and_its_wish_for_quiet(receiver: Receiver) -> None:
    receiver.answers = [(429, {"Retry-After": "70"})]

    assert send(receiver.url) == Answer(429, 70.0, b"ok")
    assert [retry_after(text) for text in ("", "soon", "-1", "²", "99999999")] == [0.0, 0.0, 0.0, 0.0, 3_600.0]


@contextmanager
def dripping(first: bytes) -> Iterator[int]:
    """A server that says `first` and then one byte every tenth of a second, for ever."""
    over = threading.Event()
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(5)

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            try:
                connection.sendall(first)
                while not over.wait(0.1):
                    connection.sendall(b"x")
            except OSError:
                return

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        over.set()
        thread.join()
        listening.close()


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200 OK\r\nX-Long: "])
def test_who_answers_a_byte_at_a_time_is_cut_off(first: bytes) -> None:
    begun = time.monotonic()

    with dripping(first) as port, pytest.raises(NoAnswer, match=r"within 0\.5 seconds"):
        send(f"http://127.0.0.1:{port}/", timeout=0.5)

    assert time.monotonic() - begun < 3


def test_who_does_not_end_the_body_has_answered_all_the_same() -> None:
    begun = time.monotonic()

    with dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n") as port:
        assert send(f"http://127.0.0.1:{port}/", timeout=0.5).accepted

    assert time.monotonic() - begun < 3


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200\r\n" + b"X: 1\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 99_999,
    ],
)
def test_what_is_no_http_is_no_answer(answer: bytes) -> None:
    with dripping(answer) as port, pytest.raises(NoAnswer):
        send(f"http://127.0.0.1:{port}/", timeout=1)


def test_nobody_there_is_no_answer() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    with pytest.raises(NoAnswer, match="refused"):
        send(f"http://127.0.0.1:{port}/")
    with pytest.raises(NoAnswer, match="not known"):
        send("https://receiver.invalid/")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost alone, with its key."""
    path = tmp_path_factory.mktemp("tls") / "pair.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"),
            *("-subj", "/CN=receiver", "-addext", "subjectAltName=DNS:localhost", "-keyout", str(path) + ".key", "-out", str(path)),
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return path


@contextmanager
def over_tls(certificate: Path) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, str(certificate) + ".key")
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(5)

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            try:
                with context.wrap_socket(connection, server_side=True) as secured:
                    came = b""
                    while not came.endswith(b"{}"):
                        came += secured.recv(65_536)
                    secured.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
            except OSError:
                return  # the other side did not like the certificate

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        thread.join()
        listening.close()


def test_the_certificate_is_checked_against_the_name_although_a_number_is_connected_to(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with over_tls(certificate) as port:
        assert send(f"https://localhost:{port}/", ca=str(certificate)).status == 202
    with over_tls(certificate) as port, pytest.raises(NoAnswer, match="CERTIFICATE_VERIFY_FAILED"):
        send(f"https://127.0.0.1:{port}/", ca=str(certificate))
    with over_tls(certificate) as port, pytest.raises(NoAnswer, match="CERTIFICATE_VERIFY_FAILED"):
        send(f"https://localhost:{port}/")
    named(monkeypatch, "127.0.0.1")
    with over_tls(certificate) as port, pytest.raises(NoAnswer, match="Hostname mismatch"):
        send(f"https://receiver.example:{port}/", ca=str(certificate))


def test_who_is_silent_after_the_handshake_is_cut_off(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, str(certificate) + ".key")
    listening, over = socket.create_server(("127.0.0.1", 0)), threading.Event()
    listening.settimeout(5)

    def serve() -> None:
        connection, _ = listening.accept()
        with connection, context.wrap_socket(connection, server_side=True) as secured:
            try:
                while not over.wait(0.1):
                    secured.sendall(b"H")
            except OSError:
                return

    thread = threading.Thread(target=serve)
    thread.start()
    with pytest.raises(NoAnswer, match=r"within 0\.5 seconds"):
        send(f"https://localhost:{listening.getsockname()[1]}/", ca=str(certificate), timeout=0.5)
    over.set()
    thread.join()
    listening.close()


def test_a_host_is_this_machine_by_number_or_as_localhost() -> None:
    assert all(is_loopback(host) for host in ("127.0.0.1", "::1", "::ffff:127.0.0.1", "localhost"))
    assert not any(is_loopback(host) for host in ("localhost.evil.example", "10.0.0.1", ""))


@contextmanager
def answering(*parts: bytes, pause: float = 0.0) -> Iterator[str]:
    """The address of a server that answers one request with these parts, as they are, with pauses in between, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            line, _ = listening.accept()
            with line, suppress(OSError):  # whoever asked may have had enough
                line.recv(65_536)
                for part in parts:
                    line.sendall(part)
                    time.sleep(pause)

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/file?x=1"
        thread.join()


def test_a_file_is_read_in_parts_as_they_come() -> None:
    head = b'HTTP/1.1 200 OK\r\nContent-Length: 6\r\nETag: "a"\r\n\r\nabc'
    with answering(head, b"def", pause=0.1) as url, get(url, {}, reach=HERE) as answer:
        assert (answer.status, answer.header("ETag"), answer.header("X")) == (200, '"a"', "")
        assert [answer.read(100), answer.read(2), answer.read(2), answer.read(2)] == [b"abc", b"de", b"f", b""]


def test_a_body_that_ends_before_its_length_broke_off() -> None:
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc") as url, get(url, {}, reach=HERE) as answer:
        assert answer.read(100) == b"abc"
        with pytest.raises(NoAnswer, match="3 bytes before the end"):
            answer.read(100)


def test_a_chunked_body_that_ends_early_broke_off() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"
    with answering(head) as url, get(url, {}, reach=HERE) as answer:
        assert answer.read(100) == b"ab"
        with pytest.raises(NoAnswer):
            answer.read(100)


def test_silence_in_a_body_is_not_waited_out() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc"
    with answering(head, b"def", pause=1.0) as url, get(url, {}, reach=HERE, timeout=0.3) as answer:
        assert answer.read(100) == b"abc"
        with pytest.raises(NoAnswer):
            answer.read(100)


def test_headers_that_drip_are_cut_off() -> None:
    drops = [b"HTTP/1.1 200 OK\r\n"] + [b"X-Drop: 1\r\n"] * 8
    with answering(*drops, pause=0.1) as url, pytest.raises(NoAnswer, match=r"within 0\.3 seconds"):
        get(url, {}, reach=HERE, timeout=0.3)


def test_a_redirect_is_an_answer_and_not_followed() -> None:
    head = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n"
    with answering(head) as url, get(url, {}, reach=HERE) as answer:
        assert (answer.status, answer.read(10)) == (302, b"")


def test_nothing_is_read_from_where_nobody_may_be_reached() -> None:
    with pytest.raises(BadAddress):
        get("http://127.0.0.1:9/", {}, reach=Reach())
    with pytest.raises(NoAnswer):
        get("http://127.0.0.1:9/", {}, reach=HERE)
