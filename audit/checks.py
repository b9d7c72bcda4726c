"""Verification as an action: what was compared, by whom and with what result is itself an entry of the ledger."""

from __future__ import annotations

from typing import Final

from audit import store
from audit.actions import append_alone
from audit.entries import Entry
from audit.events import Action, HasActor, Obj, Outcome
from audit.models import IndexRow
from audit.payload import Fields
from audit.verification import Verification, verify

LEDGER: Final = Obj(kind="ledger", id="ledger")
READ_AGAIN_UP_TO: Final = 20_000


def verify_ledger(*, by: HasActor, since: int = 0, deep: bool = False, processes: int = 1) -> Verification:
    """Verify the ledger from entry `since` on and record the result; several processes only from a command."""
    result = verify(since, deep=deep, processes=processes)
    outcome = Outcome.OK if result.ok else Outcome.ERROR
    after: Fields = {"size": result.size, "root": result.root, "since": result.since, "deep": result.deep}
    append_alone(Action.LEDGER_VERIFY, by=by, obj=LEDGER, outcome=outcome, after=after)
    return result


def verify_what_is_new(*, by: HasActor) -> Verification:
    """Verify, within the time of a page, what was added since the ledger was last verified; all of it while it is small."""
    latest = store.latest_checkpoint()
    small = latest is None or latest.size <= READ_AGAIN_UP_TO
    return verify_ledger(by=by, since=0 if small else last_verified_size())


def last_verified_size() -> int:
    """The size up to which the ledger was last found to be as it was signed; 0 where it never was."""
    verified = IndexRow.objects.filter(action=Action.LEDGER_VERIFY, outcome=Outcome.OK).order_by("-seq").first()
    payload = store.read_entry(verified.seq) if verified else None
    after = Entry.parse(payload).after if payload else None
    return int(after["size"]) if isinstance(after, dict) else 0
