"""Decides how a ledger goes on after a loss that cannot be undone: under a new name, and with the loss as its first entry.

For an operator, after a restore from an old backup or the loss of the state file, when the sequencer refuses to sign and no newer
backup exists. It makes a loss provable, not undone: every head that was signed before stays signed, no tree of the old name is
signed again, and verification tells the gap for ever. Where the database holds *other* entries than those that were signed,
there is nothing to recover: that is tampering or damage, and a backup that agrees is the only way.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import structlog
from django.db import transaction

from audit import anchors, keys, store
from audit.actions import Receipt, append
from audit.epochs import Epochs, statement_of
from audit.events import Action, HasActor, Obj
from audit.intake import Row
from audit.keys import CONTINUED, PublicLine
from audit.leader import lead
from audit.models import Pending
from audit.payload import Fields, Json
from audit.sequencer import RefusesToSign, Sequencer
from audit.tiles import right_edge
from countersign.proof.merkle import EMPTY_ROOT, leaf_hash
from countersign.proof.note import NoteRefused, TreeHead, Verifier

log = structlog.get_logger(__name__)

SHORTEST_REASON = 10


class NotRecoverable(RuntimeError):
    """A recovery is not needed, not possible, or not what the operator named; the sentence says which."""


@dataclass(frozen=True, slots=True)
class SignedHead:
    """A head, its signed note and where it is held."""

    head: TreeHead
    note: str
    place: str
    sink: str = ""


@dataclass(frozen=True, slots=True)
class Assessment:
    """What the database still has, the largest head of each name that it no longer reaches, and what could not be compared."""

    why: str
    kept: SignedHead
    lost: tuple[SignedHead, ...]
    remarks: tuple[str, ...]

    @property
    def sentences(self) -> list[str]:
        """The assessment for a person, line by line."""
        size = self.kept.head.size
        gone = [
            f"Lost: {one.head.size - size:,} entries of {one.head.origin}; {one.place} holds the head over {one.head.size:,} of them, "
            f"root {one.head.root.hex()}."
            for one in self.lost
        ]
        none = "No checkpoint outside the database covers more. Entries that were signed after it, if any, are lost and nobody here knows."
        return [
            self.why,
            f"The database holds {size:,} entries, whole and signed, root {self.kept.head.root.hex()}.",
            *(gone or [none]),
            *self.remarks,
        ]


def assess() -> Assessment:
    """What a recovery would keep and give up; raises `NotRecoverable` where there is nothing to recover from or nothing to keep."""
    why, remarks = _refusal(), list[str]()
    kept = _kept()
    epochs = Epochs.read()
    lost = dict[str, SignedHead]()
    largest = dict[str, SignedHead]()
    for one in _outside(remarks):
        bases = epochs.given_up_at(one.head)
        if one.head.size > kept.head.size or bases:
            if statement_of(one.head, [base for base in bases if base < kept.head.size]) is None:
                _keep_largest(lost, one.head.origin, one)
        else:
            _keep_largest(largest, one.sink, one)
    if not (kept.note or lost):
        raise NotRecoverable("This ledger has not been initialised. Run `manage.py audit init`.")
    for one in largest.values():
        if _root_at(one.head.size) != one.head.root:
            raise NotRecoverable(
                f"The first {one.head.size:,} entries of the database are not the ones that {one.place} signs. This is no loss but a "
                "change: restore a backup that agrees with what was signed."
            )
    return Assessment(why, kept, tuple(lost.values()), tuple(remarks))


def recover(*, accept_loss: int, reason: str, operator: str, by: HasActor) -> Assessment:
    """Continue the ledger under a new name from what the database holds, stating the loss as the first entry.

    `accept_loss` names exactly how many entries are kept; `reason` stays in the ledger for ever, `operator` as a digest.
    Raises `NotRecoverable`.
    """
    if len(reason.strip()) < SHORTEST_REASON:
        raise NotRecoverable(
            f"Say in --reason, in at least {SHORTEST_REASON} characters, what happened. It stays in the ledger."
        )
    with transaction.atomic():
        lead()
        found = assess()
        size = found.kept.head.size
        if accept_loss != size:
            raise NotRecoverable(
                f"--accept-loss has to name the number of entries that are kept, {size}, not {accept_loss}. Look at what is lost first."
            )
        origin = _next_origin()
        receipt = append(
            Action.LEDGER_RECOVER,
            by=by,
            obj=Obj("ledger", "ledger", origin),
            before=_fields(found.kept),
            after={
                "origin": origin,
                "kept": size,
                "reason": reason.strip(),
                "lost": [dict(_fields(one)) for one in found.lost],
            },
            private={"operator": operator},
        )
        row = _take(receipt)
        _end_names(found, origin)
        sequencer = Sequencer(keys.load_log_key())
        line = sequencer.continue_with(row, size)
    # Outside the database only after the commit, as ever.
    sequencer.publish(line)
    log.warning("ledger.recovered", origin=origin, kept=size, lost=[one.head.size for one in found.lost])
    return found


def _refusal() -> str:
    """Why the sequencer does not sign."""
    try:
        Sequencer(keys.load_log_key()).start()
    except RefusesToSign as error:
        return str(error)
    raise NotRecoverable(
        "The database and what is held outside it agree: the sequencer signs, and there is nothing to recover."
    )


def _kept() -> SignedHead:
    """The database's newest checkpoint, which its entries have to meet; the empty tree where it holds nothing at all."""
    latest, stored = store.latest_checkpoint(), store.stored_size()
    if latest is None and not stored:
        return SignedHead(TreeHead(keys.origin(), 0, EMPTY_ROOT), "", "nowhere")
    try:
        head = keys.open_ours(latest.note if latest else "")
    except NoteRefused as error:
        raise NotRecoverable(
            f"The database's newest checkpoint is not ours ({error}), so nobody knows what it holds: restore a backup."
        ) from error
    if stored != head.size or _root_at(head.size) != head.root:
        raise NotRecoverable(
            f"The entries in the database are not the {head.size:,} that its own checkpoint signs. This is no loss but damage or a change: "
            "restore a backup that agrees."
        )
    return SignedHead(head, latest.note if latest else "", "the database")


def _outside(remarks: list[str]) -> Iterable[SignedHead]:
    for held in anchors.held_outside(damaged=remarks.append, unreadable=remarks.append):
        try:
            yield SignedHead(keys.open_ours(held.note), held.note, held.place, held.sink)
        except NoteRefused as error:
            remarks.append(f"The signature of {held.place} does not hold ({error}), so it was left out.")


def _keep_largest(found: dict[str, SignedHead], key: str, one: SignedHead) -> None:
    if key not in found or found[key].head.size < one.head.size:
        found[key] = one


def _root_at(size: int) -> bytes | None:
    try:
        return right_edge(size, store.read_tile).root()
    except (LookupError, ValueError):
        return None


def _next_origin() -> str:
    base = keys.origin().partition(CONTINUED)[0]
    return f"{base}{CONTINUED}{len(Epochs.read().known) + 1}"


def _fields(one: SignedHead) -> Fields:
    fields: dict[str, Json] = {
        "origin": one.head.origin,
        "size": one.head.size,
        "root": one.head.root.hex(),
        "note": one.note,
    }
    return fields


def _take(receipt: Receipt) -> Row:
    """The row that was just appended, taken from between those that wait: it has to be logged before them."""
    for row in Pending.objects.order_by("-id").iterator():
        if leaf_hash(bytes(row.payload)) == receipt.leaf:
            taken = Row(row.pk, row.mac, bytes(row.payload), bytes(row.private))
            row.delete()
            return taken
    raise NotRecoverable(
        "The entry that states the loss did not stay in the database: look for a trigger on audit_pending."
    )


def _end_names(found: Assessment, origin: str) -> None:
    """Let the keys of the former names count for nothing larger than what they are known to have signed, and name the new one."""
    signed = {one.head.origin: one.head.size for one in found.lost}
    public, kept = keys.public_half(keys.key_file()), found.kept.head.size
    ended = [
        line
        if line.verifier.last is not None
        else replace(line, verifier=replace(line.verifier, last=max(kept, signed.get(line.verifier.name, 0))))
        for line in keys.public_lines()
    ]
    keys.write_public_lines([*ended, PublicLine(Verifier(origin, public, first=kept + 1))])
