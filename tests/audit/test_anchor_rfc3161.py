"""A time stamp is verified when it comes and whenever it is read; the authority is `openssl ts` behind a loopback server."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from shutil import which

import pytest

from audit.anchors.configured import state_journal
from audit.anchors.protocol import SinkDamaged, SinkFailed, beside
from audit.anchors.rfc3161 import TimestampSink
from audit.sequencer import Sequencer
from tests.audit.loopback import Answer, serving

OPENSSL = which("openssl") or "openssl"
_CONFIG = """
[tsa]
default_tsa = authority
[authority]
serial = {folder}/serial
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
ess_cert_id_alg = sha256
"""


def openssl(*arguments: str | Path) -> None:
    subprocess.run([OPENSSL, *(str(one) for one in arguments)], check=True, capture_output=True)


class Authority:
    """A certificate authority and the time-stamping certificate that it issued."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder, self.roots = folder, folder / "ca.pem"
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        openssl(
            "req",
            "-x509",
            *key,
            "-keyout",
            folder / "ca.key",
            "-out",
            self.roots,
            "-subj",
            "/CN=Test CA",
            "-days",
            "30",
        )
        openssl("req", "-new", *key, "-keyout", folder / "tsa.key", "-out", folder / "tsa.csr", "-subj", "/CN=Test TSA")
        (folder / "ext").write_text("extendedKeyUsage=critical,timeStamping\n")
        signing = ("-CA", self.roots, "-CAkey", folder / "ca.key", "-CAcreateserial", "-extfile", folder / "ext")
        openssl("x509", "-req", "-in", folder / "tsa.csr", *signing, "-out", folder / "tsa.pem", "-days", "30")
        (folder / "config").write_text(_CONFIG.format(folder=folder))
        (folder / "serial").write_text("01\n")

    def answer(self, _path: str, query: bytes) -> Answer:
        """One time-stamp request."""
        (self.folder / "query").write_bytes(query)
        out = self.folder / "response"
        openssl("ts", "-reply", "-config", self.folder / "config", "-queryfile", self.folder / "query", "-out", out)
        return Answer(out.read_bytes(), content_type="application/timestamp-reply")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "tsa")


@pytest.fixture
def sink(authority: Authority, ledger: Sequencer) -> Iterator[TimestampSink]:
    with serving(authority.answer) as url:
        yield TimestampSink.of("rfc3161", {"url": url, "roots": str(authority.roots)})


def test_a_token_is_kept_with_its_checkpoint_and_states_its_time(sink: TimestampSink) -> None:
    line = state_journal().lines()[-1]

    receipt = sink.publish(line)

    assert receipt.startswith("20")
    assert [(held.size, held.note) for held in sink.held()] == [(600, line.note)]


def test_a_token_moved_to_another_checkpoint_is_damage(sink: TimestampSink) -> None:
    lines = state_journal().lines()
    sink.publish(lines[-1])
    kept = beside(sink.name)
    (token,) = kept.lines()
    kept.path.unlink()
    kept.append(type(token)(token.t, 400, lines[-2].note, token.receipt))

    with pytest.raises(SinkDamaged, match="time stamp over 400 entries does not hold"):
        sink.held()


@pytest.mark.parametrize("receipt", ["", "AAAA", "not base64"])
def test_something_else_in_place_of_a_token_is_damage(sink: TimestampSink, receipt: str) -> None:
    line = state_journal().lines()[-1]
    beside(sink.name).append(type(line)(line.t, line.size, line.note, receipt))

    with pytest.raises(SinkDamaged, match="does not hold"):
        sink.held()


def test_a_token_of_an_authority_that_is_not_trusted_is_refused_and_not_kept(
    sink: TimestampSink, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path / "stranger")
    distrusting = TimestampSink(sink.name, sink.url, stranger.roots, 1)

    with pytest.raises(SinkFailed, match="token that does not hold"):
        distrusting.publish(state_journal().lines()[-1])
    assert sink.held() == []


def test_an_old_token_replayed_for_a_new_request_is_refused(authority: Authority, sink: TimestampSink) -> None:
    line = state_journal().lines()[-1]
    sink.publish(line)
    old = (authority.folder / "response").read_bytes()

    with serving(lambda _path, _query: Answer(old)) as url:
        replaying = TimestampSink.of("rfc3161", {"url": url, "roots": str(authority.roots)})
        with pytest.raises(SinkFailed, match="token that does not hold"):
            replaying.publish(line)


@pytest.mark.parametrize("answer", [Answer(b"", 500), Answer(b"garbage")])
def test_an_authority_that_is_out_of_order_is_a_failure_that_may_pass(
    authority: Authority, ledger: Sequencer, answer: Answer
) -> None:
    with serving(lambda _path, _query: answer) as url:
        sink = TimestampSink.of("rfc3161", {"url": url, "roots": str(authority.roots)})

        with pytest.raises(SinkFailed):
            sink.publish(state_journal().lines()[-1])


def test_roots_that_cannot_be_read_are_said(sink: TimestampSink, tmp_path: Path) -> None:
    rootless = TimestampSink(sink.name, sink.url, tmp_path / "none.pem", 1)

    with pytest.raises(SinkFailed, match=r"roots in none\.pem cannot be read"):
        rootless.publish(state_journal().lines()[-1])
