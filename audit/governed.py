"""Decides what every action has around it: one transaction, and an entry in the ledger also when it is refused or fails.

```python
@governed(Action.ALIAS_SET)
def set_alias(model: RegisteredModel, name: str, version: ModelVersion, *, by: Principal) -> Alias: ...
```

The action itself appends its success as its last step. A refusal that leaves the outermost action is recorded as `denied`
after the rollback, once, in a transaction of its own; any other exception as `error`. A rehearsal (`Rehearsed`) leaves nothing.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from typing import Final, ParamSpec, TypeGuard, TypeVar

import structlog
from django.db import OperationalError, transaction

from audit.actions import append_alone
from audit.events import Action, Actor, HasActor, Obj, Outcome
from foundation.refusals import Refusal, Unavailable
from foundation.rehearsal import Rehearsed

P = ParamSpec("P")
R = TypeVar("R")

log = structlog.get_logger(__name__)

_inside: ContextVar[bool] = ContextVar("audit_inside_governed", default=False)

SQLITE_BUSY, SQLITE_LOCKED, SQLITE_FULL = 5, 6, 13
POSTGRES_BUSY: Final = frozenset({"40001", "40P01", "55P03"})  # serialization failure, deadlock, lock not available
POSTGRES_FULL: Final = "53100"
NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def governed(action: Action) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Run the decorated action in a transaction and record what became of it; needs the keyword `by`.

    A database that is locked by others and a full disk leave as `Unavailable`: nothing was written, try again.
    """

    def decorate(act: Callable[P, R]) -> Callable[P, R]:
        @wraps(act)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            if _inside.get():
                with transaction.atomic():
                    return act(*args, **kwargs)
            token = _inside.set(True)
            try:
                return _in_one_transaction(act, *args, **kwargs)
            except Rehearsed:
                raise
            except Refusal as refusal:
                outcome = Outcome.ERROR if isinstance(refusal, Unavailable) else Outcome.DENIED
                _record(action, outcome, refusal.code, args, kwargs, rule=refusal.rule)
                raise
            except (OperationalError, OSError) as error:
                busy = unavailable(error)
                if busy is None:
                    _record(action, Outcome.ERROR, type(error).__name__, args, kwargs)
                    raise
                log.warning("ledger.action_unavailable", action=action.value, why=busy.code, error=str(error))
                raise busy from error
            except Exception as error:
                _record(action, Outcome.ERROR, type(error).__name__, args, kwargs)
                raise
            finally:
                _inside.reset(token)

        return run

    return decorate


def _in_one_transaction(act: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """The outermost action; the tests watch here that whatever changes something appends."""
    with transaction.atomic():
        return act(*args, **kwargs)


def _record(
    action: Action,
    outcome: Outcome,
    why: str,
    args: tuple[object, ...],
    kwargs: dict[str, object],
    *,
    rule: str = "",
) -> None:
    """Write the entry of an attempt that did not succeed; where even that fails, the operator's log has it.

    `rule`: of the access policy that refused it.
    """
    by = kwargs.get("by")
    try:
        if not _has_actor(by):
            raise TypeError("the action was called without a keyword `by` that names an actor")
        after = {"rule": rule} if rule else {}
        append_alone(action, by=by, obj=_obj(action, args), outcome=outcome, why=why, after=after)
    except Exception:
        # The refusal or the fault itself must reach the caller, also where the ledger cannot be reached.
        log.exception("ledger.attempt_not_recorded", action=action.value, outcome=outcome.value, why=why)


def _has_actor(by: object) -> TypeGuard[HasActor]:
    return isinstance(getattr(by, "actor", None), Actor)


def _obj(action: Action, args: tuple[object, ...]) -> Obj:
    """What the action was tried on: its first argument as the ledger names it, else the kind of thing alone."""
    first = args[0] if args else None
    ledger_ref = getattr(first, "ledger_ref", None)
    if callable(ledger_ref):
        ref = ledger_ref()
        if isinstance(ref, Obj):
            return ref
    if first is None or isinstance(first, str | int):
        return Obj(kind=action.noun, id="" if first is None else str(first))
    return Obj(kind=_snake_case(type(first).__name__), id="")


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def unavailable(error: OperationalError | OSError) -> Unavailable | None:
    """The refusal for a database that is busy and for storage that is full; None for every other fault."""
    cause = error.__cause__
    sqlite_code = getattr(cause, "sqlite_errorcode", 0) & 0xFF  # the low byte is the code, above it is its detail
    sqlstate = getattr(cause, "sqlstate", None)
    if sqlite_code in (SQLITE_BUSY, SQLITE_LOCKED) or sqlstate in POSTGRES_BUSY:
        return Unavailable(
            "The database is busy with other writers and did not take this. Nothing was changed; try again in a few seconds.",
            code="database-busy",
        )
    if sqlite_code == SQLITE_FULL or sqlstate == POSTGRES_FULL or getattr(error, "errno", None) in NO_ROOM:
        return Unavailable(
            "The disk is full, so this could not be stored. Nothing was changed; ask an administrator to free space, then try again.",
            code="disk-full",
        )
    return None
