"""Decides which signatures of a round count now: verified, of this round, independent, not withdrawn, not stale, not expired.

Recomputed at every question from the envelopes; nothing that a row says is believed unless the registry signed it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from access.models import Reauthentication
from countersign.proof.dsse import BadEnvelope
from countersign.proof.webauthn import method_of
from reviews.independence import Deed, of_others, what_they_did
from reviews.models import APPROVING, Round, SignOff, Slot
from reviews.people import deeds_of
from reviews.proven import why_unproven
from reviews.quorum import Vote, counted
from reviews.statements import SignedDecision, read_sign_off

STOOD_IN: Final = ("delegation__delegator", "delegation__group")
"""What of a delegation is read with a sign-off."""


class Standing(StrEnum):
    """How one signature stands."""

    COUNTS = "counts"
    STALE = "stale"
    WITHDRAWN = "withdrawn"
    DISMISSED = "dismissed"
    EXPIRED = "expired"
    CONFLICTED = "conflicted"
    FORGED = "forged"


@dataclass(frozen=True)
class Signature:
    """One sign-off as it stands now. `changed`: the facets its slot answers for that are not what was signed. `said`: None when forged."""

    sign_off: SignOff
    standing: Standing
    said: SignedDecision | None
    changed: tuple[str, ...] = ()
    why: str = ""

    @property
    def counts(self) -> bool:
        """Whether it is taken into account."""
        return self.standing is Standing.COUNTS

    @property
    def approves(self) -> bool:
        """Whether it counts towards the quorum."""
        return self.counts and self.said is not None and self.said.decision in APPROVING

    @property
    def asks_for_changes(self) -> bool:
        """Whether it blocks until cleared. Staleness does not clear it: the person or a dismissal does."""
        return self.sign_off.decision == SignOff.Decision.REQUEST_CHANGES and self.standing in {
            Standing.COUNTS,
            Standing.STALE,
            Standing.CONFLICTED,
        }


@dataclass(frozen=True)
class SlotStanding:
    """One slot with its signatures, newest last, and how many people it still lacks."""

    slot: Slot
    signatures: tuple[Signature, ...]
    signed: int

    @property
    def lacking(self) -> int:
        """How many signatures are missing."""
        return max(0, self.slot.people - self.signed)


@dataclass(frozen=True)
class RoundStanding:
    """A round with everything that was signed in it, judged against `facets` at one moment."""

    round: Round
    slots: tuple[SlotStanding, ...]

    @property
    def signatures(self) -> tuple[Signature, ...]:
        """All signatures, in the order of slots."""
        return tuple(signature for slot in self.slots for signature in slot.signatures)

    @property
    def changes_requests(self) -> tuple[Signature, ...]:
        """Standing requests for changes."""
        return tuple(signature for signature in self.signatures if signature.asks_for_changes)

    @property
    def complete(self) -> bool:
        """Whether every slot has its people and nobody asks for changes."""
        return bool(self.slots) and all(not slot.lacking for slot in self.slots) and not self.changes_requests

    @property
    def conditional(self) -> bool:
        """Whether any approval that counts asks for something afterwards."""
        return any(
            one.said is not None and one.said.decision == SignOff.Decision.APPROVE_WITH_CONDITIONS
            for one in self.counting
        )

    @property
    def counting(self) -> tuple[Signature, ...]:
        """The approvals that make the quorum."""
        return tuple(signature for signature in self.signatures if signature.approves)


def standing_of(
    round_: Round, facets: Mapping[str, str], at: datetime, *, deeds: Sequence[Deed] | None = None
) -> RoundStanding:
    """How every slot of the round stands at the moment `at`, when the version's facets are `facets`.

    `deeds` is who had a hand in the version; by default until then: who signed and afterwards took part counts no more.
    """
    slots = list(round_.slots.select_related("group", "alternates"))
    sign_offs = list(round_.sign_offs.select_related("person", "slot", "dismissed_by", "reauthentication", *STOOD_IN))
    known = deeds_of(round_.review.version, round_.review, until=at) if deeds is None else deeds
    return judge(round_, slots, sign_offs, facets, at, known)


def judge(
    round_: Round,
    slots: Sequence[Slot],
    sign_offs: Sequence[SignOff],
    facets: Mapping[str, str],
    at: datetime,
    deeds: Sequence[Deed],
) -> RoundStanding:
    """The same from rows that were read already."""
    signatures = [_signature(sign_off, round_, facets, at, deeds) for sign_off in sign_offs]
    votes = [
        Vote(one.sign_off.slot.key, one.said.reviewer, one.said.on_behalf_of)
        for one in signatures
        if one.approves and one.said
    ]
    people = counted(votes)
    return RoundStanding(
        round_,
        tuple(
            SlotStanding(
                slot,
                tuple(one for one in signatures if one.sign_off.slot_id == slot.pk),
                len(people.get(slot.key, ())),
            )
            for slot in slots
        ),
    )


def _signature(
    sign_off: SignOff, round_: Round, facets: Mapping[str, str], at: datetime, deeds: Sequence[Deed]
) -> Signature:
    try:
        said = read_sign_off(sign_off.statement)
    except BadEnvelope as error:
        return Signature(sign_off, Standing.FORGED, None, why=str(error))
    if mismatch := _mismatch(sign_off, said, round_):
        return Signature(sign_off, Standing.FORGED, None, why=mismatch)
    if sign_off.withdrawn_at is not None:
        return Signature(sign_off, Standing.DISMISSED if sign_off.dismissed_by_id else Standing.WITHDRAWN, said)
    if said.expires <= at:
        return Signature(sign_off, Standing.EXPIRED, said)
    if conflict := _conflict(sign_off, deeds):
        return Signature(sign_off, Standing.CONFLICTED, said, why=conflict)
    changed = tuple(facet for facet in sign_off.slot.facets if said.facets.get(facet) != facets.get(facet))
    return Signature(sign_off, Standing.STALE if changed else Standing.COUNTS, said, changed)


def _conflict(sign_off: SignOff, deeds: Sequence[Deed]) -> str:
    """Why one of the people behind the signature is not independent, or nothing."""
    people = [sign_off.person, *([sign_off.delegation.delegator] if sign_off.delegation else [])]
    for person in people:
        if did := what_they_did(person.pk, deeds):
            return f"{person} {of_others(did)}."
    return ""


def _mismatch(sign_off: SignOff, said: SignedDecision, round_: Round) -> str:
    """Why the row and the signed statement do not tell the same, or nothing. A statement replayed elsewhere ends here."""
    review = round_.review
    version = review.version
    expected = {
        "artifact": version.digest,
        "model": version.model.name,
        "version": version.number,
        "stage": review.stage.name,
        "review": str(review.uuid),
        "round": round_.number,
        "slot": sign_off.slot.key,
        "decision": sign_off.decision,
        "reviewer": str(sign_off.person.uuid),
        "on_behalf_of": str(sign_off.delegation.delegator.uuid) if sign_off.delegation else "",
        "digest": sign_off.statement_digest,
    }
    for name, value in expected.items():
        if getattr(said, name) != value:
            return f"The statement was signed for another {name}."
    if said.facets.get("artifact") != version.digest:
        return "The statement was signed for other bytes."
    if why := _undelegated(sign_off, said):
        return why
    if method_of(said.predicate) != Reauthentication.Method.PASSKEY:
        return ""  # the row of the confirmation is read for passkeys alone
    return why_unproven(sign_off.statement, "reviewer", sign_off.reauthentication)


def _undelegated(sign_off: SignOff, said: SignedDecision) -> str:
    """Why the delegation does not cover the signature, or nothing: another delegate, another capacity, another time."""
    given = sign_off.delegation
    if given is None:
        return ""
    slot = sign_off.slot
    in_force = given.starts_at <= said.issued < min(given.ends_at, given.ended_at or given.ends_at)
    covers = given.group_id in {slot.group_id, slot.alternates_id} and slot.delegable
    if given.delegate_id != sign_off.person_id or not covers or not in_force:
        return "No delegation covered it when it was signed."
    return ""
