"""Decides whether the ledger can be relied on now: what the last verification found, and whether somebody has answered for it.

A verification that fails raises an alarm: every page says so to those who may read the ledger, and nothing goes live until a
person with the right has acknowledged it with a reason. The acknowledgement holds for the kinds of problems that it was given
for, until the ledger verifies again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from audit.actions import append
from audit.events import Action, Actor, Obj
from audit.governed import governed
from audit.models import Integrity
from audit.problems import Problem
from audit.verification import Verification
from foundation.refusals import Conflict, Forbidden, Invalid

LEDGER: Final = Obj(kind="ledger", id="ledger")
ACKNOWLEDGE: Final = "ledger.acknowledge"
MAX_REASON: Final = 2_000
_ROW: Final = 1


class Acknowledger(Protocol):
    """Whoever may answer for a ledger that does not verify; `access.principal.Principal` can be asked."""

    @property
    def actor(self) -> Actor:
        """Who acts."""

    def allows(self, permission: str) -> bool:
        """Whether they may."""


@dataclass(frozen=True, slots=True)
class Found:
    """The state of the ledger as it was last verified: up to which size, when, and with which problems (none: it holds).

    Problems were found by a verification that began at entry `since`; only one that begins there or before can lift them.
    """

    size: int
    since: int
    at: datetime | None
    full_at: datetime | None
    problems: tuple[Problem, ...]
    acknowledged_by: str = ""
    acknowledged_at: datetime | None = None
    reason: str = ""
    covers: frozenset[str] = frozenset()

    @property
    def is_broken(self) -> bool:
        """Whether something does not agree."""
        return bool(self.problems)

    @property
    def is_acknowledged(self) -> bool:
        """Whether somebody has answered for every kind of problem there is."""
        return self.is_broken and {problem.code for problem in self.problems} <= self.covers

    @property
    def stops_promotion(self) -> bool:
        """Whether nothing may go live now."""
        return self.is_broken and not self.is_acknowledged


NEVER: Final = Found(0, 0, None, None, ())


def found() -> Found:
    """What the last verification found, as the database has it now."""
    row = Integrity.objects.filter(pk=_ROW).first()
    return NEVER if row is None else _found(row)


_remembered: list[tuple[float, Found]] = []


def remembered() -> Found:
    """As `found`, up to `settings.AUDIT_INTEGRITY_SECONDS` old: for the banner that every page asks for."""
    now = time.monotonic()
    if not _remembered or now - _remembered[0][0] > settings.AUDIT_INTEGRITY_SECONDS:
        _remembered[:] = [(now, found())]
    return _remembered[0][1]


def forget() -> None:
    """Ask the database again the next time."""
    _remembered.clear()


def keep(result: Verification, *, at: datetime) -> bool:
    """Keep what a verification found; whether that is news: other kinds of problems than before, or none after some.

    An acknowledgement stays while the problems are of the kinds that it was given for, and goes when the ledger verifies. A
    verification that began behind the place where problems were found, or that did not read every place that holds checkpoints,
    cannot lift them.
    """
    with transaction.atomic():
        row, _ = Integrity.objects.select_for_update().get_or_create(pk=_ROW)
        before, now = {code for code, _ in row.problems}, {problem.code for problem in result.problems}
        row.at = at
        if result.since == 0 and result.remote:
            row.full_at = at
        if result.ok and (not before or (result.everywhere and result.since <= row.since)):
            row.size, row.since, row.problems = result.size, 0, []
            row.acknowledged_by, row.acknowledged_at, row.reason, row.covers = "", None, "", []
        elif not result.ok:
            row.since = min(result.since, row.since) if before else result.since
            row.problems = [[problem.code, problem.sentence] for problem in result.problems]
        else:
            now = before
        row.save()
    forget()
    return before != now


def require_sound() -> None:
    """Refuse where the ledger does not verify and nobody has answered for that: what goes live now could not be proven later."""
    state = found()
    if state.stops_promotion:
        raise Conflict(
            f"Nothing goes live now: the ledger does not verify ({state.problems[0].sentence}) Somebody with the permission "
            f"{ACKNOWLEDGE} has to look at it and acknowledge it with a reason.",
            code="ledger-not-verified",
            link="/audit/integrity/",
        )


@governed(Action.LEDGER_ACKNOWLEDGE)
def acknowledge(codes: Sequence[str], *, reason: str, by: Acknowledger) -> Found:
    """Answer for the problems that the last verification found: promotion goes on. `codes` are the kinds that were shown.

    Raises `Forbidden` without the permission, `Invalid` without a reason, `Conflict` where other problems were found meanwhile.
    """
    row = Integrity.objects.select_for_update().filter(pk=_ROW).first()
    if not by.allows(ACKNOWLEDGE):
        raise Forbidden(
            f"Acknowledging that the ledger does not verify needs the permission {ACKNOWLEDGE}, which the role Risk officer has."
        )
    if row is None or not row.problems:
        raise Conflict("There is nothing to acknowledge: the ledger verifies.", code="nothing-to-acknowledge")
    if not reason.strip() or len(reason) > MAX_REASON:
        sentence = (
            f"Give the reason, in at most {MAX_REASON:,} characters: what was found out, and why it is safe to go on."
        )
        raise Invalid(sentence, errors={"reason": sentence})
    kinds = sorted({code for code, _ in row.problems})
    if kinds != sorted(set(codes)):
        raise Conflict(
            "Other problems were found since you opened this page. Read them and acknowledge again.",
            code="other-problems",
        )
    row.acknowledged_by, row.acknowledged_at = by.actor.private.get("name") or by.actor.id, timezone.now()
    row.reason, row.covers = reason.strip(), kinds
    row.save()
    append(
        Action.LEDGER_ACKNOWLEDGE,
        by=by,
        obj=LEDGER,
        before={"problems": [sentence for _, sentence in row.problems[:20]]},
        after={"kinds": list(kinds), "reason": reason.strip()},
    )
    forget()
    return _found(row)


def _found(row: Integrity) -> Found:
    return Found(
        size=row.size,
        since=row.since,
        at=row.at,
        full_at=row.full_at,
        problems=tuple(Problem(code, sentence) for code, sentence in row.problems),
        acknowledged_by=row.acknowledged_by,
        acknowledged_at=row.acknowledged_at,
        reason=row.reason,
        covers=frozenset(row.covers),
    )
