"""Entries reach other systems in order and at least once, with ids that never change, over real sockets; what is refused is not skipped."""

from __future__ import annotations

import hmac
import json
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from pytest_django.fixtures import Settings

from audit.actions import append_alone
from audit.alerts import alerts
from audit.anchors.protocol import SinkMisconfigured
from audit.events import Action, Actor, Obj, Outcome
from audit.models import StreamState
from audit.queries import opened
from audit.sequencer import Sequencer
from audit.store import read_entry
from audit.streaming import streamer
from audit.streaming.configured import configured
from audit.streaming.http import HttpDestination
from audit.streaming.streamer import Streamer, resume, send
from audit.streaming.syslog import SyslogDestination, message
from tests.audit.conftest import happen
from tests.audit.test_attacks import store_garbage
from tests.audit.test_crash import ROOT, environment, python


@dataclass
class Receiver:
    """What came, and what is to be answered: a list of (status, headers), then 204."""

    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    url: str = ""

    def ids(self) -> list[str]:
        """The ids of the events in the order in which they came."""
        return [event["id"] for _, body in self.requests for event in json.loads(body)]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A collector on the loopback."""
    got = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.requests.append((dict(self.headers), body))
            status, headers = got.answers.pop(0) if got.answers else (204, {})
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            """Tests are quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    got.url = f"http://127.0.0.1:{server.server_port}/events"
    yield got
    server.shutdown()
    thread.join()
    server.server_close()


def drain(destination: Any) -> None:
    while send(destination) == 0:
        continue


def standing(name: str = "siem") -> StreamState:
    return StreamState.objects.get(name=name)


def test_every_entry_is_sent_once_in_its_order_with_its_id(ledger: Sequencer, receiver: Receiver) -> None:
    drain(HttpDestination("siem", receiver.url))

    assert receiver.ids() == [f"countersign.test/ledger/{seq}" for seq in range(600)]
    assert [len(json.loads(body)) for _, body in receiver.requests] == [256, 256, 88]
    assert standing().position == 600
    headers = receiver.requests[1][0]
    assert headers["Content-Type"] == "application/cloudevents-batch+json; charset=utf-8"
    assert headers["X-Countersign-First"] == "countersign.test/ledger/256"
    assert headers["X-Countersign-Last"] == "countersign.test/ledger/511"


def test_what_waits_to_be_signed_is_not_sent(ledger: Sequencer, receiver: Receiver) -> None:
    drain(HttpDestination("siem", receiver.url))
    happen(3)
    drain(HttpDestination("siem", receiver.url))
    before = len(receiver.ids())
    ledger.tick()
    drain(HttpDestination("siem", receiver.url))

    assert (before, len(receiver.ids())) == (600, 603)


def test_json_lines_hold_the_exact_bytes(ledger: Sequencer, receiver: Receiver) -> None:
    drain(HttpDestination("siem", receiver.url, format="jsonl"))

    first = receiver.requests[0][1].split(b"\n")[0]
    assert first == b'{"seq":0,"entry":%b}' % (read_entry(0) or b"")


def test_a_batch_that_was_taken_before_the_position_was_kept_is_sent_again_with_the_same_ids(
    ledger: Sequencer, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """As a SIGKILL between delivery and commit."""

    def killed(_state: StreamState, _count: int) -> float:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(streamer, "_delivered", killed)
        with pytest.raises(Killed):
            send(HttpDestination("siem", receiver.url))
    drain(HttpDestination("siem", receiver.url))

    ids = receiver.ids()
    assert ids[:256] == ids[256:512]
    assert list(dict.fromkeys(ids)) == [f"countersign.test/ledger/{seq}" for seq in range(600)]


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_what_may_be_taken_later_is_sent_again_after_a_pause(
    ledger: Sequencer, receiver: Receiver, status: int
) -> None:
    receiver.answers = [(status, {}), (status, {})]
    destination = HttpDestination("siem", receiver.url)

    pauses = [send(destination), send(destination)]

    assert pauses == [2.0, 4.0]
    assert (standing().position, standing().attempts, standing().parked) == (0, 2, False)
    drain(destination)
    assert (standing().position, standing().attempts, standing().failing_since) == (600, 0, 0)


def test_the_pause_is_the_one_that_the_receiver_asks_for(ledger: Sequencer, receiver: Receiver) -> None:
    receiver.answers = [(429, {"Retry-After": "70"})]

    assert send(HttpDestination("siem", receiver.url)) == 70.0


def test_a_receiver_that_is_not_there_is_asked_again(ledger: Sequencer) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/"

    assert send(HttpDestination("siem", address)) == 2.0
    assert "does not answer" in standing().error


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_a_refusal_parks_the_stream_and_skips_nothing(ledger: Sequencer, receiver: Receiver, status: int) -> None:
    receiver.answers = [(status, {})]
    destination = HttpDestination("siem", receiver.url)

    send(destination)
    send(destination)

    assert len(receiver.requests) == 1
    assert (standing().position, standing().parked) == (0, True)
    (alert,) = alerts()
    assert str(status) in alert.body
    assert "audit stream --resume siem" in alert.body
    assert resume("siem")
    drain(destination)
    assert standing().position == 600
    assert receiver.ids()[256:] == [f"countersign.test/ledger/{seq}" for seq in range(600)]


def test_a_redirect_is_not_followed(ledger: Sequencer, receiver: Receiver) -> None:
    receiver.answers = [(307, {"Location": receiver.url + "/elsewhere"})]

    send(HttpDestination("siem", receiver.url))

    assert len(receiver.requests) == 1
    assert standing().parked


def test_a_batch_is_signed_with_its_time(ledger: Sequencer, receiver: Receiver) -> None:
    send(HttpDestination("siem", receiver.url, token="t0p", hmac_key="secret"))

    headers, body = receiver.requests[0]
    expected = hmac.new(b"secret", headers["X-Countersign-Timestamp"].encode() + b"." + body, sha256).hexdigest()
    assert headers["X-Countersign-Signature"] == f"v1={expected}"
    assert headers["Authorization"] == "Bearer t0p"
    assert abs(int(headers["X-Countersign-Timestamp"]) - time.time()) < 60


def test_no_proxy_of_the_environment_is_asked(
    ledger: Sequencer, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")

    drain(HttpDestination("siem", receiver.url))

    assert standing().position == 600


def test_no_personal_data_leaves(ledger: Sequencer, receiver: Receiver) -> None:
    drain(HttpDestination("siem", receiver.url))

    assert all(b"192.0.2.7" not in body and b"alice" not in body for _, body in receiver.requests)


def test_an_entry_that_cannot_be_read_parks_the_stream(ledger: Sequencer, receiver: Receiver) -> None:
    store_garbage()

    drain(HttpDestination("siem", receiver.url))

    assert standing().parked
    assert "cannot be read" in standing().error
    assert receiver.ids() == [f"countersign.test/ledger/{seq}" for seq in range(standing().position)]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"stream": "http"}, "stream 1 of 1 in COUNTERSIGN_AUDIT_STREAMS: it lacks url"),
        ({"stream": "http", "url": "http://siem.example.org/"}, "https://"),
        ({"stream": "http", "url": "file:///etc/passwd"}, "https://|names a host"),
        ({"stream": "http", "url": "https://u:p@siem.example.org/"}, "no user or password"),
        ({"stream": "http", "url": "https://siem.example.org/", "format": "xml"}, "one of jsonl, cloudevents"),
        ({"stream": "syslog", "host": "siem.example.org", "transport": "tcp"}, "unencrypted"),
        ({"stream": "syslog", "host": "siem.example.org", "port": "0"}, "from 1 to 65535"),
        ({"stream": "syslog", "host": "siem.example.org", "transport": "pigeon"}, "one of tls, tcp, udp"),
        ({"stream": "kafka"}, "there is no stream"),
        ({"stream": "http", "name": "a b", "url": "https://x/"}, "letters, digits and hyphens"),
    ],
)
def test_a_destination_that_is_not_safe_is_refused_at_the_start(
    settings: Settings, options: dict[str, str], said: str
) -> None:
    settings.AUDIT_STREAMS = [options]

    with pytest.raises(SinkMisconfigured, match=said):
        configured()


@dataclass
class Syslogd:
    """A syslog receiver with octet counting."""

    port: int = 0
    data: bytearray = field(default_factory=bytearray)
    done: threading.Event = field(default_factory=threading.Event)

    def messages(self) -> list[bytes]:
        """What came, by its counted lengths."""
        assert self.done.wait(10)
        found, rest = [], bytes(self.data)
        while rest:
            length, _, rest = rest.partition(b" ")
            found.append(rest[: int(length)])
            rest = rest[int(length) :]
        return found


@contextmanager
def syslogd(context: ssl.SSLContext | None = None, *, reset: bool = False) -> Iterator[Syslogd]:
    got = Syslogd()
    listening = socket.create_server(("127.0.0.1", 0))
    got.port = listening.getsockname()[1]

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            if reset:
                connection.recv(10)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
                return
            secured = context.wrap_socket(connection, server_side=True) if context else connection
            while chunk := secured.recv(65_536):
                got.data += chunk
            if isinstance(secured, ssl.SSLSocket):
                secured.unwrap().close()
        got.done.set()

    thread = threading.Thread(target=serve)
    thread.start()
    yield got
    thread.join(10)
    listening.close()


def test_syslog_messages_are_counted_and_in_order(ledger: Sequencer) -> None:
    with syslogd() as got:
        send(SyslogDestination("siem", "127.0.0.1", got.port, "tcp"))

    messages = got.messages()
    assert len(messages) == 256
    assert messages[5].startswith(b"<110>1 20")
    assert b'[countersign@32473 id="countersign.test/ledger/5" seq="5" action="model.update"' in messages[5]
    assert messages[5].endswith(b"] " + (read_entry(5) or b""))
    assert standing().position == 256


def test_a_receiver_that_breaks_off_is_sent_the_batch_again(ledger: Sequencer) -> None:
    with syslogd(reset=True) as got:
        pause = send(SyslogDestination("siem", "127.0.0.1", got.port, "tcp"))

    assert pause == 2.0
    assert standing().position == 0


def test_datagrams_are_sent_one_each(sequencer: Sequencer) -> None:
    happen(3)
    sequencer.tick()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(5)

        send(SyslogDestination("siem", "127.0.0.1", listening.getsockname()[1], "udp"))

        assert [re.search(rb'seq="(\d)"', listening.recv(65_535))[1] for _ in range(3)] == [b"0", b"1", b"2"]  # type: ignore[index]  # None fails the test


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of its own for 127.0.0.1, with its key."""
    path = tmp_path_factory.mktemp("tls") / "pair.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"),
            *("-subj", "/CN=collector", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(path) + ".key", "-out", str(path)),
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return path


def test_over_tls_the_certificate_is_checked(ledger: Sequencer, certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, str(certificate) + ".key")

    with syslogd(context) as got:
        send(SyslogDestination("siem", "127.0.0.1", got.port, "tls", str(certificate)))

    assert len(got.messages()) == 256
    assert standing().position == 256


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnhandledThreadExceptionWarning"
)  # the receiver's side of a refused handshake
def test_over_tls_an_unknown_certificate_parks_the_stream(ledger: Sequencer, certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, str(certificate) + ".key")

    with syslogd(context) as got:
        send(SyslogDestination("siem", "127.0.0.1", got.port, "tls"))

    assert standing().parked
    assert not got.data


def test_nothing_in_an_entry_ends_a_message_or_leaves_its_field(sequencer: Sequencer) -> None:
    append_alone(
        Action.MODEL_VIEW,
        by=Actor("person", 'a"]\r\n<34>1 forged', "session"),
        obj=Obj("model", "1\n2\x00\x85", "n"),
        outcome=Outcome.DENIED,
        after={"note": "one\r\ntwo"},
    )
    sequencer.tick()
    one = opened(0, read_entry(0) or b"")
    assert one is not None

    text = message(one, "origin with space/ledger")

    assert text.startswith(b"<108>1 ")
    assert not set(text) & set(b"\r\n\x00")
    assert b'actor="a\\"\\]\xef\xbf\xbd\xef\xbf\xbd<34>1 forged"' in text
    assert b" origin_with_space countersign - model.view [" in text


def test_status_says_how_far_each_stream_is(ledger: Sequencer, receiver: Receiver, capsys: Any) -> None:
    receiver.answers = [(204, {}), (403, {})]
    destination = HttpDestination("siem", receiver.url)
    send(destination)
    send(destination)

    with pytest.raises(CommandError, match="nothing was taken"):
        call_command("audit", "status")

    said = capsys.readouterr().out
    assert "Stream siem: has taken 256 entries, 344 wait; PARKED since" in said


def test_the_command_sends_what_waits_and_ends(ledger: Sequencer, receiver: Receiver, settings: Settings) -> None:
    settings.AUDIT_STREAMS = [{"stream": "http", "name": "siem", "url": receiver.url}]

    call_command("audit", "stream", "--once")

    assert standing().position == 600


def test_the_command_says_that_nothing_is_configured_or_parked(ledger: Sequencer, settings: Settings) -> None:
    settings.AUDIT_STREAMS = []

    with pytest.raises(CommandError, match="No stream is configured"):
        call_command("audit", "stream")
    with pytest.raises(CommandError, match="No stream siem is parked"):
        call_command("audit", "stream", "--resume", "siem")


def test_one_slow_destination_does_not_hold_up_another(ledger: Sequencer, receiver: Receiver) -> None:
    receiver.answers = [(503, {"Retry-After": "600"})]
    failing = HttpDestination("failing", receiver.url)
    streams = Streamer([failing, HttpDestination("siem", receiver.url)])

    while streams.send_due():
        continue

    assert standing("siem").position == 600
    assert standing("failing").position == 0


def test_two_processes_move_the_position_once(ledger: Sequencer, receiver: Receiver) -> None:
    send(HttpDestination("siem", receiver.url))
    stale = standing()
    send(HttpDestination("siem", receiver.url))

    streamer._delivered(stale, 256)

    assert standing().position == 512


# Killed.

KILLS = [("looked", 1), ("taken", 1), ("taken", 2), ("committed", 1), ("taken", 1)]


@pytest.mark.story
@pytest.mark.django_db(transaction=True)
def test_a_streamer_that_is_killed_loses_nothing_and_repeats_only_what_was_not_committed(
    tmp_path: Path, receiver: Receiver
) -> None:
    def stream(point: str, times: int) -> int:
        words = [sys.executable, "-m", "tests.audit.stream_killed", point, str(times), receiver.url]
        done = subprocess.run(words, env=environment(tmp_path), cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode in {0, -signal.SIGKILL}, done.stderr
        return done.returncode

    python(tmp_path, "django", "migrate", "audit", "-v0")
    python(tmp_path, "tests.audit.stream_killed", "fill", "1", receiver.url)

    killed = [stream(point, times) for point, times in KILLS]
    finished = stream("none", 1)

    runs = [[event["id"] for event in json.loads(body)] for _, body in receiver.requests]
    everything = [f"countersign.test/crash/{seq}" for seq in range(700)]
    first, second, third = everything[:256], everything[256:512], everything[512:]
    assert (killed, finished) == ([-signal.SIGKILL] * len(KILLS), 0)
    # Taken and not committed: sent again, whole, under the same ids. Committed or never sent: once.
    assert runs == [first, first, second, second, third, third]
    assert list(dict.fromkeys(id_ for run in runs for id_ in run)) == everything
