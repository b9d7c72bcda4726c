"""Decides what the page /verify/ says about a piece of the ledger that somebody brings along: a receipt or an offline bundle.

The same checks as `audit/standalone/verify.py` makes; and because the page has the ledger at hand, one more: whether the ledger
still gives the root that was signed then.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import BinaryIO, Final

from audit import keys, store
from audit.entries import Entry, Malformed
from audit.events import Outcome
from audit.keys import KeyRefused
from audit.receipts import NotProvable, issue_receipt
from audit.standalone.verify import check_bundle, parse_key
from audit.tiles import BrokenBundle, right_edge
from countersign.proof.note import TreeHead, Verifier
from countersign.proof.receipts import HEADER, EntryReceipt, ReceiptRefused, VerifiedReceipt, verify_receipt
from foundation.refusals import TooLarge, Unavailable
from reports.checking import Checked
from serving.bundles import Check

LARGEST_BUNDLE_BYTES: Final = 32 * 1024**2
_TODAY: Final = "The ledger today"
_ANOTHER: Final = (
    "This installation's ledger no longer gives what was signed: it was changed, or you were shown another one. "
    "Keep the file and tell an auditor."
)
_TAR_MAGIC: Final = (257, b"ustar")
_OUTCOMES: Final = {Outcome.OK: "done", Outcome.DENIED: "refused", Outcome.ERROR: "failed"}


def is_receipt(text: str) -> bool:
    """Whether this is a receipt of the ledger, by its first line."""
    return text.lstrip().startswith(HEADER)


def is_bundle(file: BinaryIO) -> bool:
    """Whether this is a tar file, by its magic bytes; the file is left at its beginning."""
    at, magic = _TAR_MAGIC
    head = file.read(at + len(magic))
    file.seek(0)
    return head[at:] == magic


def ledger_public_keys() -> str:
    """The ledger's public keys as `verify.py` takes them, one a line."""
    return "".join(f"{line}\n" for line in _lines())


def check_receipt(text: str) -> Checked:
    """What a receipt proves, in words. Forms carry line ends of their own and lose the last one."""
    written = text.replace("\r\n", "\n").strip() + "\n"
    try:
        found = verify_receipt(written.encode(), _trusted())
    except ReceiptRefused as problem:
        return Checked(False, f"This receipt does not hold: {problem}.", key=_key_names())
    head = found.head
    checks = (
        Check(
            "Ledger's signature", True, f"{head.origin} signed the root {head.root.hex()} over {head.size:,} entries."
        ),
        Check("Inclusion", True, f"The proof leads from the entry to that root: it is entry {found.seq:,}."),
        _still_there(found, EntryReceipt.parse(written.encode()).checkpoint),
        Check("What it says", True, _words(found.payload)),
    )
    good = all(one.holds is not False for one in checks)
    sentence = (
        f"This receipt holds: entry {found.seq:,} is in the ledger, exactly as it is in the file."
        if good
        else "This receipt was signed by the ledger, but the ledger no longer gives what it signed."
    )
    return Checked(good, sentence, key=_key_names(), checks=checks)


def check_uploaded_bundle(file: BinaryIO, size: int) -> Checked:
    """What an offline bundle is worth, in words. It is read in place: nothing of it is unpacked.

    Raises `TooLarge` where it is more than a page should check.
    """
    if size > LARGEST_BUNDLE_BYTES:
        raise TooLarge(
            f"This page checks bundles of up to {LARGEST_BUNDLE_BYTES // 1024**2} MB. Check a larger one with the verify.py of "
            "your release: it takes a ledger of any size."
        )
    report, head = check_bundle(file, [parse_key(str(line)) for line in _lines()], [])
    checks = [Check("Problem", False, sentence) for sentence in report.problems]
    if head is not None and not report.problems:
        checks += [Check("Checked", True, fact) for fact in report.facts]
        checks += [Check("Remark", None, remark) for remark in report.remarks]
        checks.append(_today(TreeHead(head.origin, head.size, head.root)))
    good = head is not None and all(one.holds is not False for one in checks)
    sentence = (
        f"This bundle holds: {head.size:,} entries, all as they were signed."
        if head is not None and good
        else "This bundle does not hold."
    )
    return Checked(good, sentence, key=_key_names(), checks=tuple(checks))


def _today(head: TreeHead) -> Check:
    """Whether the ledger in this database still begins with what was signed."""
    if head.size > store.stored_size():
        return Check(_TODAY, False, "This installation's ledger is shorter than what was signed: it was cut short.")
    try:
        same = right_edge(head.size, store.read_tile).root() == head.root
    except (LookupError, BrokenBundle) as error:
        return Check(_TODAY, False, f"This installation's ledger cannot be read: {error}.")
    if same:
        return Check(_TODAY, True, "This installation's ledger still gives this root over as many entries.")
    return Check(_TODAY, False, _ANOTHER)


def _still_there(found: VerifiedReceipt, checkpoint: str) -> Check:
    """Whether the ledger in this database still proves the same entry at the same place."""
    if found.head.size > store.stored_size():
        return _today(found.head)
    try:
        same = issue_receipt(found.seq, checkpoint).payload == found.payload
    except NotProvable:
        same = False
    if same:
        return Check(_TODAY, True, "This installation's ledger still holds exactly this entry at this place.")
    return Check(_TODAY, False, _ANOTHER)


def _words(payload: bytes) -> str:
    try:
        entry = Entry.parse(payload)
    except Malformed:
        return "The entry is not of a kind that this release can read."
    at = datetime.fromtimestamp(entry.t / 1_000_000, UTC)
    version = f" v{entry.obj_version}" if entry.obj_version else ""
    what = f"{entry.obj_kind} {entry.obj_name or entry.obj_id}{version}"
    how = _OUTCOMES.get(Outcome(entry.outcome), entry.outcome) if entry.outcome in set(Outcome) else entry.outcome
    return f"{entry.action} ({how}) on {what}, by {entry.actor_kind} {entry.actor_id}, {at:%d %b %Y, %H:%M:%S} UTC."


def _lines() -> list[keys.PublicLine]:
    try:
        return keys.public_lines()
    except KeyRefused as error:
        raise Unavailable(str(error), code="ledger-cannot-be-verified") from error


def _trusted() -> list[Verifier]:
    return [line.verifier for line in _lines()]


def _key_names() -> str:
    return ", ".join(line.verifier.key_id.hex() for line in _lines())
