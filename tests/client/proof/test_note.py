"""Signed notes and checkpoints against the vectors of Go's sumdb/note and of the C2SP specifications."""

from base64 import b64decode
from dataclasses import replace
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from countersign.proof.note import NoteRefused, Signer, TreeHead, Verifier, open_checkpoint, open_note, sign_note

# golang.org/x/mod/sumdb/note, note_test.go (BSD-3-Clause).
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
ENOCH = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
PETER_SEED = b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
PETER_LINE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
ENOCH_LINE = (
    "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n"
)
# c2sp.org/tlog-checkpoint
EXAMPLE_BODY = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"

LOG = "countersign.test/ledger"


def signer(name: str = LOG) -> Signer:
    return Signer(name, Ed25519PrivateKey.from_private_bytes(sha256(name.encode()).digest()))


def test_the_published_note_is_signed_byte_for_byte() -> None:
    peter = Signer("PeterNeumann", Ed25519PrivateKey.from_private_bytes(PETER_SEED))

    assert sign_note(TEXT, peter) == f"{TEXT}\n{PETER_LINE}"
    assert str(peter.verifier) == PETER


@pytest.mark.parametrize("signatures", [PETER_LINE, PETER_LINE + ENOCH_LINE, ENOCH_LINE + PETER_LINE])
def test_a_published_note_opens_with_a_trusted_key(signatures: str) -> None:
    assert open_note(f"{TEXT}\n{signatures}", [Verifier.parse(PETER)]) == TEXT


def test_a_note_opens_where_only_one_of_two_trusted_keys_has_signed() -> None:
    assert open_note(f"{TEXT}\n{ENOCH_LINE}", [Verifier.parse(PETER), Verifier.parse(ENOCH)]) == TEXT


def test_a_note_of_an_unknown_key_is_refused() -> None:
    with pytest.raises(NoteRefused, match="no trusted key"):
        open_note(f"{TEXT}\n{PETER_LINE}", [Verifier.parse(ENOCH)])


def test_one_bad_signature_of_a_trusted_key_refuses_the_whole_note() -> None:
    note = f"{TEXT.replace('think', 'thought')}\n{PETER_LINE}"

    with pytest.raises(NoteRefused, match="PeterNeumann does not fit"):
        open_note(note, [Verifier.parse(PETER)])


@pytest.mark.parametrize(
    ("note", "why"),
    [
        ("", "an empty line"),
        (TEXT, "an empty line"),
        (TEXT + PETER_LINE, "an empty line"),
        (f"{TEXT}\n{PETER_LINE}"[:-1], "an empty line"),
        (f"{TEXT}\r\n{PETER_LINE}", "control characters"),
        (f"{'x' * 1_000_001}\n\n{PETER_LINE}", "at most 1 MB"),
        (f"{TEXT}\n- PeterNeumann x08go/ZJ\n", "a dash, a key name"),
        (f"{TEXT}\n— Peter+Neumann x08go/ZJ\n", "a dash, a key name"),
        (f"{TEXT}\n— PeterNeumann AAAA\n", "a dash, a key name"),
        (f"{TEXT}\n— PeterNeumann not base64\n", "not base64"),
        (f"{TEXT}\n{PETER_LINE * 65}", "carries at most"),
    ],
)
def test_a_malformed_note_is_refused(note: str, why: str) -> None:
    with pytest.raises(NoteRefused, match=why):
        open_note(note, [Verifier.parse(PETER)])


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("", "with plus signs between"),
        ("PeterNeumann", "with plus signs between"),
        (PETER.replace("c74f20a3", "c74f20a4"), "does not belong to its key"),
        (PETER.replace("PeterNeumann", "Peter Neumann"), "only named Ed25519 keys"),
        (PETER.replace("+ARpc", "+BRpc"), "only named Ed25519 keys"),
        (PETER[:-4], "only named Ed25519 keys"),
    ],
)
def test_a_malformed_key_is_refused(key: str, why: str) -> None:
    with pytest.raises(NoteRefused, match=why):
        Verifier.parse(key)


@pytest.mark.parametrize("text", ["no newline", "a tab\t\n", "a return\r\n"])
def test_text_that_is_not_a_note_is_not_signed(text: str) -> None:
    with pytest.raises(NoteRefused):
        sign_note(text, signer())


def test_the_checkpoint_body_is_the_published_one() -> None:
    head = TreeHead.parse(EXAMPLE_BODY)

    assert (head.origin, head.size) == ("example.com/behind-the-sofa", 20_852_163)
    assert head.text() == EXAMPLE_BODY


def test_a_checkpoint_may_carry_extension_lines() -> None:
    assert TreeHead.parse(EXAMPLE_BODY + "an extension\n") == TreeHead.parse(EXAMPLE_BODY)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "log\n1\n",
        EXAMPLE_BODY[:-1],
        EXAMPLE_BODY + "an extension that is cut off",
        EXAMPLE_BODY + "\n",
        EXAMPLE_BODY.replace("20852163", "020852163"),
        EXAMPLE_BODY.replace("20852163", "-1"),
        EXAMPLE_BODY.replace("20852163", "٢"),
        EXAMPLE_BODY.replace("q2I=", "q2I"),
        EXAMPLE_BODY.replace("CsUYapGGPo4d", ""),
        EXAMPLE_BODY.replace("\n2", "\n\n2"),
    ],
)
def test_a_malformed_checkpoint_is_refused(body: str) -> None:
    with pytest.raises(NoteRefused):
        TreeHead.parse(body)


def test_a_checkpoint_counts_for_its_own_log_only() -> None:
    ours = signer()
    head = TreeHead(LOG, 3, sha256(b"root").digest())
    note = sign_note(head.text(), ours)

    assert open_checkpoint(note, LOG, [ours.verifier]) == head
    with pytest.raises(NoteRefused, match="another log"):
        open_checkpoint(note, "elsewhere.test/ledger", [ours.verifier])


@pytest.mark.parametrize(("first", "last", "covers"), [(0, None, True), (3, 3, True), (4, None, False), (0, 2, False)])
def test_a_key_counts_for_the_sizes_that_it_covers(first: int, last: int | None, covers: bool) -> None:
    ours = signer()
    head = TreeHead(LOG, 3, sha256(b"root").digest())
    note = sign_note(head.text(), ours)
    key = replace(ours.verifier, first=first, last=last)

    if covers:
        assert open_checkpoint(note, LOG, [key]) == head
    else:
        with pytest.raises(NoteRefused, match="no trusted key signs trees of 3 entries"):
            open_checkpoint(note, LOG, [key])


def test_a_checkpoint_that_nobody_trusted_has_signed_is_none() -> None:
    note = sign_note(TreeHead(LOG, 3, sha256(b"root").digest()).text(), signer("elsewhere.test/ledger"))

    for trusted in ([], [signer().verifier]):
        with pytest.raises(NoteRefused, match="no trusted key has signed"):
            open_checkpoint(note, LOG, trusted)
