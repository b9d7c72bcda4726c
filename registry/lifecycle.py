"""How far a version is in its life: one table of moves and one executor. Every change of `ModelVersion.state` happens here.

Permission is who may; the sources are whether now. A move without a permission follows from a decision that was permitted
and recorded where it was taken; such a move names that decision. `docs/lifecycle.md` is drawn from the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.db import transaction
from django.utils import timezone

from access.permissions import Permission, permit
from access.principal import Principal
from audit.actions import append
from audit.events import Action
from foundation.refusals import Conflict
from registry.models import ModelVersion

State = ModelVersion.State


@dataclass(frozen=True, slots=True)
class Move:
    """One line of the table. Lines of the same name differ in their sources; `meaning` is for the drawn document."""

    name: str
    sources: frozenset[State]
    target: State
    permission: Permission | None
    needs_decision: bool
    meaning: str


def _move(
    name: str,
    sources: State | tuple[State, ...],
    target: State,
    meaning: str,
    *,
    permission: Permission | None = None,
    needs_decision: bool = False,
) -> Move:
    states = (sources,) if isinstance(sources, State) else sources
    return Move(name, frozenset(states), target, permission, needs_decision, meaning)


MOVES: Final = (
    _move(
        "admit",
        State.QUARANTINED,
        State.REGISTERED,
        "the scan admitted every file",
        permission=Permission.REGISTER_VERSION,
        needs_decision=True,
    ),
    _move(
        "refuse",
        State.QUARANTINED,
        State.REJECTED,
        "the scan refused a file",
        permission=Permission.REGISTER_VERSION,
        needs_decision=True,
    ),
    _move("give_up", State.QUARANTINED, State.REJECTED, "its files could not be fetched", needs_decision=True),
    _move(
        "request_review",
        (State.REGISTERED, State.EXPIRED, State.IN_REVIEW),
        State.IN_REVIEW,
        "a review was requested",
        permission=Permission.REQUEST_REVIEW,
    ),
    _move(
        "request_review",
        State.APPROVED,
        State.APPROVED,
        "a review for a further stage was requested",
        permission=Permission.REQUEST_REVIEW,
    ),
    _move(
        "request_review",
        State.LIVE,
        State.LIVE,
        "a review for a further stage, or anew, was requested",
        permission=Permission.REQUEST_REVIEW,
    ),
    _move(
        "withdraw_review",
        State.IN_REVIEW,
        State.REGISTERED,
        "the last open review was withdrawn",
        permission=Permission.REQUEST_REVIEW,
    ),
    _move(
        "withdraw_review",
        State.APPROVED,
        State.APPROVED,
        "a further review was withdrawn",
        permission=Permission.REQUEST_REVIEW,
    ),
    _move(
        "withdraw_review",
        State.LIVE,
        State.LIVE,
        "a further review was withdrawn",
        permission=Permission.REQUEST_REVIEW,
    ),
    _move(
        "approve",
        (State.IN_REVIEW, State.APPROVED),
        State.APPROVED,
        "the last missing sign-off was given",
        needs_decision=True,
    ),
    _move("approve", State.LIVE, State.LIVE, "a further stage was approved, or this one anew", needs_decision=True),
    _move("reject", State.IN_REVIEW, State.REJECTED, "a slot holder rejected it", needs_decision=True),
    _move("reject", State.APPROVED, State.APPROVED, "it was rejected for a further stage", needs_decision=True),
    _move("reject", State.LIVE, State.LIVE, "it was rejected for a further stage", needs_decision=True),
    _move(
        "promote",
        (State.APPROVED, State.LIVE),
        State.LIVE,
        "a stage's alias moved to it",
        permission=Permission.PROMOTE_VERSION,
        needs_decision=True,
    ),
    _move("demote", State.LIVE, State.APPROVED, "another version took its last stage", needs_decision=True),
    _move(
        "revoke",
        (State.APPROVED, State.LIVE, State.EXPIRED),
        State.REVOKED,
        "its approval was withdrawn with a signed reason",
        needs_decision=True,
    ),
    _move("expire", (State.APPROVED, State.LIVE), State.EXPIRED, "its last approval ran out", needs_decision=True),
    _move(
        "fall_back",
        (State.APPROVED, State.LIVE),
        State.IN_REVIEW,
        "its last approval ended while a review of it is open",
        needs_decision=True,
    ),
    _move(
        "go_ahead",
        (State.IN_REVIEW, State.APPROVED, State.LIVE),
        State.LIVE,
        "two people put it live in an emergency, ahead of its review",
        needs_decision=True,
    ),
    _move(
        "retire",
        (State.REGISTERED, State.APPROVED, State.REJECTED, State.REVOKED, State.EXPIRED),
        State.RETIRED,
        "it is not wanted any more",
        permission=Permission.EDIT_MODEL,
    ),
)


def move(version: ModelVersion, name: str, *, by: Principal, decision: object | None = None) -> ModelVersion:
    """Carry out one move, inside the caller's transaction, and record it.

    `decision` is what the move follows from: anything that the ledger can name (`ledger_ref`), or a digest as text. Raises
    `Forbidden` without the move's permission, `Conflict` from a state that the table does not list; returns the locked version.
    """
    version = _locked(version)
    line = _line(version, name)
    if line.permission is not None:
        permit(by, line.permission, version.model)
    if line.needs_decision and decision is None:
        raise Conflict(
            f"{version} can only be moved by a recorded decision, and none was named.", code="decision-missing"
        )
    before, version.state, version.updated_at = version.state, line.target, timezone.now()
    version.save(update_fields=["state", "updated_at"])
    append(
        Action.VERSION_MOVE,
        by=by,
        obj=version.ledger_ref(),
        before={"state": before},
        after={"state": str(line.target), "move": name, "decision": _cited(decision)},
    )
    return version


def can_move(version: ModelVersion, name: str) -> bool:
    """Whether the version's state allows the move: for showing a button, not a permission."""
    return any(line.name == name and version.state in line.sources for line in MOVES)


def _locked(version: ModelVersion) -> ModelVersion:
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("A version moves inside the transaction of the action that moves it.")
    fresh = ModelVersion.objects.locked(version.pk)
    fresh.model = version.model
    return fresh


def _line(version: ModelVersion, name: str) -> Move:
    lines = [line for line in MOVES if line.name == name]
    if not lines:
        raise LookupError(f"The lifecycle has no move named {name}.")
    for line in lines:
        if version.state in line.sources:
            return line
    sources = sorted({source.label.lower() for line in lines for source in line.sources})
    raise Conflict(
        f"{version} is {version.get_state_display().lower()}; this step ({name.replace('_', ' ')}) is for versions that are "
        f"{', '.join(sources[:-1]) + ' or ' if len(sources) > 1 else ''}{sources[-1]}.",
        code="state",
    )


def _cited(decision: object | None) -> str:
    if decision is None:
        return ""
    ledger_ref = getattr(decision, "ledger_ref", None)
    if callable(ledger_ref):
        ref = ledger_ref()
        return f"{ref.kind}:{ref.id}"
    return str(decision)
