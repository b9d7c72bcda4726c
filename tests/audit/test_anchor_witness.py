"""A witness cosigns what continues what it has seen, and nothing else; what it gave is verified when it comes and when it is read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit import keys
from audit.anchors.configured import state_journal
from audit.anchors.protocol import SinkDamaged, SinkFailed, SinkMisconfigured, beside
from audit.anchors.witness import WitnessSink
from audit.cosignature import Witness, cosign, cosigned_text
from audit.journal import Line
from audit.sequencer import Sequencer
from countersign.proof.note import NoteRefused, TreeHead, Verifier
from tests.audit.conftest import happen
from tests.audit.loopback import Answer, serving
from tests.audit.witnessing import NAME, SmallWitness


@pytest.fixture
def witness(ledger: Sequencer) -> SmallWitness:
    return SmallWitness(keys.load_log_key().verifier)


@pytest.fixture
def sink(witness: SmallWitness) -> Iterator[WitnessSink]:
    with serving(witness.answer) as url:
        yield WitnessSink.of("witness", {"url": url, "key": witness.key})


def newest() -> Line:
    line = state_journal().largest()
    assert line is not None
    return line


def test_it_cosigns_and_the_cosignature_is_kept_with_the_checkpoint(sink: WitnessSink, witness: SmallWitness) -> None:
    receipt = sink.publish(newest())

    (line,) = sink.held()
    assert f"— {NAME} " in receipt
    assert line.note.startswith(newest().note)
    assert keys.open_ours(line.note).size == 600
    assert Witness.parse(witness.key).cosigned_at(line.note) is not None


def test_the_next_checkpoint_comes_with_a_proof_from_the_last(
    sink: WitnessSink, witness: SmallWitness, ledger: Sequencer
) -> None:
    sink.publish(newest())
    happen(50)
    ledger.tick()

    sink.publish(newest())

    assert witness.size == 650
    assert witness.proofs[0] == 0
    assert witness.proofs[1] > 0


def test_where_the_witness_knows_another_size_it_is_asked_again_from_there(
    sink: WitnessSink, witness: SmallWitness
) -> None:
    first = state_journal().lines()[1]
    sink.publish(first)
    beside(sink.name).path.unlink()

    sink.publish(newest())

    assert witness.size == 600
    assert witness.proofs[1] > 0


def test_a_ledger_that_went_back_is_refused_with_its_reason(sink: WitnessSink, witness: SmallWitness) -> None:
    sink.publish(newest())

    with pytest.raises(SinkFailed, match="has cosigned 600 entries, this ledger has 400"):
        sink.publish(state_journal().lines()[2])


def test_another_tree_of_the_same_size_is_not_cosigned(sink: WitnessSink, witness: SmallWitness) -> None:
    witness.size, witness.root = 400, bytes(32)

    with pytest.raises(SinkFailed, match="does not continue the one that it cosigned before"):
        sink.publish(newest())


def test_a_log_that_the_witness_does_not_know_is_said(sink: WitnessSink, witness: SmallWitness) -> None:
    witness.log = Verifier("another.test/log", bytes(32))

    with pytest.raises(SinkFailed, match="give its operator the ledger's public key"):
        sink.publish(newest())


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (cosign("another text\n", NAME, Ed25519PrivateKey.generate(), 1), "without a cosignature"),
        ("— somebody AAAA\n", "without a cosignature"),
        ("", "without a cosignature"),
    ],
)
def test_an_answer_without_its_cosignature_is_not_believed(ledger: Sequencer, body: str, why: str) -> None:
    witness = SmallWitness(keys.load_log_key().verifier)
    with serving(lambda _path, _body: Answer(body.encode())) as url:
        sink = WitnessSink.of("witness", {"url": url, "key": witness.key})

        with pytest.raises(SinkFailed, match=why):
            sink.publish(newest())
    assert sink.held() == []


def test_a_cosignature_over_another_text_is_not_believed(ledger: Sequencer) -> None:
    witness = SmallWitness(keys.load_log_key().verifier)
    other = cosign("another text\n", NAME, witness.private, 1)
    with serving(lambda _path, _body: Answer(other.encode())) as url:
        sink = WitnessSink.of("witness", {"url": url, "key": witness.key})

        with pytest.raises(SinkFailed, match="does not fit the text"):
            sink.publish(newest())


def test_a_kept_cosignature_that_was_tampered_with_is_damage(sink: WitnessSink, witness: SmallWitness) -> None:
    sink.publish(newest())
    path = beside(sink.name).path
    path.write_bytes(path.read_bytes().replace(b"\\n600\\n", b"\\n601\\n"))

    with pytest.raises(SinkDamaged, match="is not cosigned"):
        sink.held()


def test_a_witness_that_cannot_be_reached_is_a_failure_that_may_pass(ledger: Sequencer) -> None:
    witness = SmallWitness(keys.load_log_key().verifier)
    with serving(witness.answer) as url:
        pass
    sink = WitnessSink.of("witness", {"url": url, "key": witness.key})

    with pytest.raises(SinkFailed, match=r"127\.0\.0\.1"):
        sink.publish(newest())


def test_the_signed_bytes_are_those_of_the_specification() -> None:
    head = TreeHead("example.com/behind-the-sofa", 20852163, bytes(32))

    assert cosigned_text(head.text(), 1679315147) == (
        b"cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\n"
        b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
    )


def test_a_witness_key_is_of_its_own_type_and_carries_its_own_id(ledger: Sequencer) -> None:
    good = SmallWitness(keys.load_log_key().verifier).key

    assert str(Witness.parse(good)) == good
    for bad in (str(keys.load_log_key().verifier), good.replace("+", "+0", 1), "nothing", "a+b+c"):
        with pytest.raises(NoteRefused):
            Witness.parse(bad)
        with pytest.raises(SinkMisconfigured):
            WitnessSink.of("witness", {"url": "http://127.0.0.1", "key": bad})
