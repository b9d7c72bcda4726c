"""Verification as an action: what was compared, by whom and with what result is itself an entry of the ledger.

The watch verifies on a timer. It goes on from where it last found everything right, reads all of it once a day, and writes an entry
when it read all or when what it found is news: a line each minute that says "still right" would bury the others. Remote sinks are
read once a day, by the command, and before an alarm is lifted: one that is out of reach would hold up a page or the minute.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.utils import timezone

from audit import integrity, store
from audit.actions import append, append_alone
from audit.events import Action, Actor, HasActor, Outcome
from audit.integrity import LEDGER
from audit.journal import JournalDamaged
from audit.keys import KeyRefused
from audit.payload import Fields
from audit.verification import Verification, verify

READ_AGAIN_UP_TO: Final = 20_000
READ_ALL_EVERY: Final = timedelta(days=1)
WATCH: Final = Actor(kind="system", id="ledger-watch", via="clock")


def verify_ledger(
    *, by: HasActor, since: int = 0, deep: bool = False, processes: int = 1, remote: bool = True
) -> Verification:
    """Verify the ledger from entry `since` on, keep and record the result; several processes only from a command.

    Raises `KeyRefused` or `JournalDamaged` where there is nothing to verify it with; that is on record as well.
    """
    try:
        result = verify(since, deep=deep, processes=processes, remote=remote)
    except (KeyRefused, JournalDamaged) as error:
        asked: Fields = {"since": since, "deep": deep, "problems": [str(error)]}
        append_alone(
            Action.LEDGER_VERIFY, by=by, obj=LEDGER, outcome=Outcome.ERROR, why="ledger-cannot-be-verified", after=asked
        )
        raise
    with transaction.atomic():
        integrity.keep(result, at=timezone.now())
        _record(result, by)
    integrity.forget()  # again: until the commit, another thread was told of the one before
    return result


def verify_what_is_new(*, by: HasActor) -> Verification:
    """Verify, within the time of a page, what was added since the ledger was last verified; all of it while it is small."""
    latest = store.latest_checkpoint()
    small = latest is None or latest.size <= READ_AGAIN_UP_TO
    return verify_ledger(by=by, since=0 if small else _from_where(), remote=False)


def watch(now: datetime) -> Verification | None:
    """Verify what is new, or all once a day; None before the ledger is initialised."""
    if store.latest_checkpoint() is None:
        return None
    last = integrity.found()
    read_all = last.full_at is None or now - last.full_at >= READ_ALL_EVERY
    result = verify(deep=True) if read_all else verify(_from_where(), remote=False)
    if last.is_broken and result.ok and not result.remote:
        result = verify(_from_where())
    with transaction.atomic():
        is_news = integrity.keep(result, at=now)
        if read_all or is_news:
            _record(result, WATCH)
    integrity.forget()  # as above
    return result


def _from_where() -> int:
    """Where a verification may begin: where the last one ended, or where the last one that failed began."""
    last = integrity.found()
    return last.since if last.is_broken else last.size


def _record(result: Verification, by: HasActor) -> None:
    outcome = Outcome.OK if result.ok else Outcome.ERROR
    after: Fields = {"size": result.size, "root": result.root, "since": result.since, "deep": result.deep}
    if not result.ok:
        after = {**after, "problems": [problem.sentence for problem in result.problems[:20]]}
    append(Action.LEDGER_VERIFY, by=by, obj=LEDGER, outcome=outcome, after=after)
