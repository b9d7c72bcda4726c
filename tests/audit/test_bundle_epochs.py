"""The offline bundle of a ledger that was recovered or whose key was changed: what is documented holds, what is not does not."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management.base import CommandError

from audit import keys
from audit.anchors.configured import anchor_journal, state_journal
from audit.commands import OPERATOR
from audit.journal import Line
from audit.rotation import rotate_log_key
from audit.sequencer import Sequencer
from audit.standalone import verify as standalone
from audit.verification import verify
from countersign.proof.note import Signer, TreeHead, sign_note
from reports.ledger_files import check_uploaded_bundle
from tests.audit.conftest import happen
from tests.audit.test_bundle import (
    Files,
    entries_of,
    exported,
    outside,
    packed,
    signed_by,
    unpacked,
    with_tree,
)
from tests.audit.test_command import audit
from tests.audit.test_recovery import back_up, recovered, restore, restore_an_old_backup

__all__ = ["outside"]

Outside = Callable[..., tuple[int, str]]


def lines() -> list[str]:
    """Every public key with its range, as ledger.pub has them."""
    return [str(line) for line in keys.public_lines()]


def given(texts: list[str]) -> list[str]:
    return [word for text in texts for word in ("--key", text)]


def checked(tar: bytes, texts: list[str], held: list[tuple[str, str]] | None = None) -> standalone.Report:
    report, _ = standalone.check_bundle(io.BytesIO(tar), [standalone.parse_key(text) for text in texts], held or [])
    return report


@pytest.fixture
def continued(ledger: Sequencer) -> Sequencer:
    """400 of 600 entries were kept; 304 follow."""
    restore_an_old_backup()
    sequencer = recovered()
    happen(303)
    sequencer.tick()
    return sequencer


# After a loss.


def test_a_documented_loss_holds_and_is_told_in_the_words_of_the_servers_verification(
    continued: Sequencer, outside: Outside, tmp_path: Path
) -> None:
    tar, held = tmp_path / "ledger.tar", tmp_path / "held"
    tar.write_bytes(exported())
    held.write_text(next(line.note for line in state_journal().lines() if line.size == 600))

    code, said = outside("bundle", tar, *given(lines()), "--held", held)

    assert (code, said.split("\n")[0]) == (0, "It holds.")
    (remark,) = verify(deep=True).remarks
    assert remark in said
    assert "704 entries of countersign.test/ledger/continued-2 were read" in said


def test_the_command_says_it_too_whether_the_bundle_holds_or_not(continued: Sequencer, tmp_path: Path) -> None:
    tar = tmp_path / "ledger.tar"
    tar.write_bytes(exported())
    (remark,) = verify(deep=True).remarks

    assert remark in audit("verify-bundle", str(tar))

    tar.write_bytes(packed(unpacked(tar.read_bytes()) | {"tile/0/000": bytes(8_192)}))
    with pytest.raises(CommandError, match="The bundle does not hold") as failure:
        audit("verify-bundle", str(tar))
    assert remark in str(failure.value)


def test_it_holds_before_the_continuation_is_as_long_as_what_was_lost(
    ledger: Sequencer, outside: Outside, tmp_path: Path
) -> None:
    restore_an_old_backup()
    recovered()
    tar = tmp_path / "ledger.tar"
    told = audit("export", "--to", str(tar))

    code, said = outside("bundle", tar, *given(lines()))

    assert all(f'--key "{line}"' in told for line in lines())
    assert code == 0
    assert "given up: 200 entries of countersign.test/ledger, up to 600" in said


def test_keys_without_ranges_do_too_since_the_ledger_says_where_it_was_continued(continued: Sequencer) -> None:
    report = checked(exported(), [str(one) for one in keys.trusted_verifiers()])

    assert report.problems == []
    assert "given up: 200 entries" in report.remarks[0]


def test_a_head_that_nobody_stated_is_a_problem(continued: Sequencer) -> None:
    """Signed while the old name's key could still sign as much, but not what the recovery states."""
    signer = Signer("countersign.test/ledger", keys.load_log_key().private_key)
    anchor_journal().append(Line(1, 600, sign_note(TreeHead(signer.name, 600, bytes(32)).text(), signer)))

    report = checked(exported(), lines())

    assert len(report.problems) == 1
    assert report.problems[0].startswith("The ledger countersign.test/ledger had 600 signed entries (Line ")
    assert report.problems[0].endswith("and what continues it does not say what became of them.")
    server = verify().problems[0].sentence
    assert server.partition("(")[0] == report.problems[0].partition("(")[0]
    assert server.partition(")")[2] == report.problems[0].partition(")")[2]


def resigned(files: Files, entries: list[bytes]) -> Files:
    """The continuation made up anew by whoever has its key; what is anchored stays."""
    forged = signed_by(files, entries, keys.load_log_key())
    old = b"".join(
        line + b"\n" for line in files["anchors/state.jsonl"].splitlines() if b"ledger/continued" not in line
    )
    return forged | {"anchors/state.jsonl": old, "disclosures.jsonl": b""}


@pytest.mark.parametrize(
    "forge",
    [
        lambda entry: entry.replace(b"ledger.recover", b"ledger.view"),
        lambda entry: entry.replace(b'"size":600', b'"size":599'),
        lambda entry: entry.replace(b'"origin":"countersign.test/ledger"', b'"origin":"countersign.test/other"'),
        lambda entry: entry.replace(b'"lost":[', b'"lost":["x",'),
        lambda entry: entry.replace(b'"lost":', b'"last":'),
    ],
)
def test_a_loss_that_the_entry_no_longer_states_is_a_problem(
    continued: Sequencer, forge: Callable[[bytes], bytes]
) -> None:
    files = unpacked(exported())
    entries = entries_of(files)
    assert forge(entries[400]) != entries[400]

    report = checked(packed(resigned(files, [*entries[:400], forge(entries[400]), *entries[401:]])), lines())

    assert any("what continues it does not say what became of them" in one for one in report.problems)


def test_an_entry_elsewhere_states_nothing(continued: Sequencer) -> None:
    files = unpacked(exported())
    entries = entries_of(files)
    moved = [*entries[:400], entries[401], entries[400], *entries[402:]]

    tar = packed(resigned(files, moved))
    ranged, unranged = checked(tar, lines()), checked(tar, [str(one) for one in keys.trusted_verifiers()])

    assert any("does not say what became of them" in one for one in ranged.problems)
    assert any("The first 600 entries are not the ones that were signed" in one for one in unranged.problems)


def test_the_old_name_signs_nothing_larger_not_even_with_its_key(continued: Sequencer) -> None:
    signer = Signer("countersign.test/ledger", keys.load_log_key().private_key)
    larger = sign_note(TreeHead(signer.name, 704, continued.head.root).text(), signer)

    report = checked(packed(unpacked(exported()) | {"checkpoint": larger.encode()}), lines())

    assert "no key that you gave has signed it, or may sign it" in report.problems[0]


def test_a_second_loss_is_told_with_the_first(sequencer: Sequencer) -> None:
    backups = []
    for count in (100, 300, 200):
        happen(count)
        sequencer.tick()
        backups.append(back_up())
    restore(backups[1])
    second = recovered(400)
    happen(20)
    second.tick()
    restore(backups[0])
    recovered(100)

    report = checked(exported(), lines())

    assert report.problems == []
    assert report.remarks == list(verify().remarks)


def test_a_bundle_that_begins_after_the_loss_says_what_it_cannot_compare(continued: Sequencer) -> None:
    happen(10)
    continued.tick()

    from_the_loss, after_it = checked(exported(since=401), lines()), checked(exported(since=704), lines())

    assert (from_the_loss.problems, after_it.problems) == ([], [])
    assert "is stated before this bundle's beginning" in from_the_loss.remarks[0]


def test_bundles_from_before_and_after_a_loss_compare(ledger: Sequencer, outside: Outside, tmp_path: Path) -> None:
    before, after = tmp_path / "before.tar", tmp_path / "after.tar"
    before.write_bytes(exported())
    restore_an_old_backup()
    recovered()
    after.write_bytes(exported())

    code, said = outside("compare", before, after, *given(lines()))
    trusted = [standalone.parse_key(text) for text in lines()]
    other = standalone.compare(io.BytesIO(after.read_bytes()), io.BytesIO(before.read_bytes()), trusted, [])

    assert code == 0
    assert "The later bundle accounts for the earlier one's 600 entries." in said
    assert "given up: 200 entries" in said
    assert (other.problems, other.remarks) == ([], list(verify().remarks))
    assert checked(before.read_bytes(), lines()).problems == []


def test_what_was_given_up_is_not_shown_in_place_of_what_goes_on(ledger: Sequencer) -> None:
    before = exported()
    restore_an_old_backup()
    recovered()
    newest = state_journal().lines()[-1].note

    report = checked(before, lines(), [("What you hold", newest)])

    assert report.problems == [
        "The bundle ends at 600 entries, but What you hold signs 401 of countersign.test/ledger/continued-2: it was cut short."
    ]


def test_the_page_says_the_remark_and_that_it_holds(continued: Sequencer) -> None:
    tar = exported()

    found = check_uploaded_bundle(io.BytesIO(tar), len(tar))

    assert found.good
    assert [one.sentence for one in found.checks if one.holds is None] == list(verify().remarks)


# After a change of keys.


@pytest.fixture
def rotated(ledger: Sequencer) -> Sequencer:
    """600 entries under the first key; the rest under both, which counts for the second only."""
    rotate_log_key(by=OPERATOR, operator="Erin Osei")
    happen(10)
    ledger.tick()
    return ledger


def test_a_ledger_under_two_keys_holds(rotated: Sequencer, outside: Outside, tmp_path: Path) -> None:
    tar = tmp_path / "ledger.tar"
    tar.write_bytes(exported())

    code, said = outside("bundle", tar, *given(lines()))

    assert len(lines()) == 2
    assert unpacked(tar.read_bytes())["checkpoint"].count("— countersign.test/ledger ".encode()) == 2
    assert (code, "It holds." in said) == (0, True)


@pytest.mark.parametrize("which", [0, 1])
def test_with_one_key_of_two_the_other_ones_heads_are_not_believed(rotated: Sequencer, which: int) -> None:
    report = checked(exported(), [lines()[which]])

    assert any("no key that you gave has signed it, or may sign it" in one for one in report.problems)


def test_the_replaced_key_signs_no_later_tree_alone(rotated: Sequencer) -> None:
    files = unpacked(exported())
    _, old = keys.load_signers()
    entries = entries_of(files)

    report = checked(packed(signed_by(files, [*entries, entries[-1]], old)), lines())

    assert "no key that you gave has signed it, or may sign it" in report.problems[0]


def test_one_bad_signature_of_two_is_a_problem(rotated: Sequencer) -> None:
    files = unpacked(exported())
    note = files["checkpoint"].decode()
    first, _, rest = note.partition("— ")
    signatures = rest.split("— ")
    bad = signatures[-1].rstrip("\n")
    damaged = bad[:-6] + ("AAAA" if bad[-6:-2] != "AAAA" else "BBBB") + bad[-2:]

    report = checked(packed(files | {"checkpoint": f"{first}— {signatures[0]}— {damaged}\n".encode()}), lines())

    assert "does not fit it" in report.problems[0]


def test_a_rotation_after_a_recovery_holds(continued: Sequencer) -> None:
    rotate_log_key(by=OPERATOR, operator="Erin Osei")
    happen(5)
    continued.tick()

    report = checked(exported(), lines())

    assert len(lines()) == 3
    assert report.problems == []
    assert "given up: 200 entries" in report.remarks[0]


def test_a_tree_that_only_looks_like_a_continuation_is_cut_short(continued: Sequencer) -> None:
    """The prefix that was kept, under a head of the old name: what was signed after it is not accounted for."""
    files = unpacked(exported())
    note = next(line.note for line in state_journal().lines() if line.size == 400)
    cut = with_tree(files, entries_of(files)[:400]) | {"checkpoint": note.encode(), "disclosures.jsonl": b""}

    report = checked(packed(cut), lines())

    assert any("it was cut short" in one for one in report.problems)
