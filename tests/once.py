"""Watches every action and every request in every test: what changes the database is on record, and the same is not on record twice.

So the whole test-suite holds each `@governed` action to its entry, whoever calls it, and each address that changes something, whoever
asks for it. A test that `tests.flows.deeds` names for an address also has to ask for it with something that is accepted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Set
from typing import Any, Final

import pytest
from django.db import connection, transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from audit import governed
from audit.events import Outcome
from audit.tally import Written, tallied
from config import recording
from tests.flows.deeds import DEEDS

QUIET: Final[frozenset[str]] = frozenset()
"""Actions that may change something without an entry, each with its reason beside it."""


UNRECORDED: Final[Mapping[str, str]] = {
    "POST models/<str:name>/v/<int:number>/sign/": "asking for a passkey's challenge makes the statement and takes it back",
    "POST api/v1/serving/deployments/<slug:name>/heartbeat": "many times a minute, and what changes for good is recorded",
}
"""What may change something without an entry, each with its reason."""

ENDS_IN_AN_ERROR: Final[Mapping[str, str]] = {
    "POST audit/verify/": "a ledger that does not verify is an answer, and the alarm it raises is on record as the entry that says `error`",
}
"""What may be answered, and keep something, although its entry has the outcome `error`, each with its reason."""

Deed = tuple[str, str]
"""The method and the pattern of an address at which something was done."""


def watch(monkeypatch: pytest.MonkeyPatch) -> list[Deed]:
    """From now on an outermost action or a request fails that changed something and appended nothing, or appended the same twice.

    Returns a list that grows with every request that was accepted and is on record.
    """
    done: list[Deed] = []
    answer = recording.OnRecord.__call__

    def watched(self: recording.OnRecord, request: HttpRequest) -> HttpResponseBase:
        with tallied() as written:
            before = _changes()
            aside = _Aside()
            with connection.execute_wrapper(aside):
                response = answer(self, request)
            changed = _changes() != before + aside.rows
        match = request.resolver_match
        if match is not None and request.method not in recording.READING and response.status_code < 400:
            deed = f"{request.method} {match.route}"
            entries = _once(written, deed, {Outcome.OK, Outcome.ERROR} if deed in ENDS_IN_AN_ERROR else {Outcome.OK})
            # A refusal that a page explains (a wrong password) is answered with 200 and is on record as what it is.
            assert written or not changed or deed in UNRECORDED, f"{deed} changed the database and appended nothing"
            if entries:
                done.append((str(request.method), match.route))
        return response

    monkeypatch.setattr(governed, "_in_one_transaction", _watched)
    monkeypatch.setattr(recording.OnRecord, "__call__", watched)
    return done


def check_deeds(test: str, done: list[Deed]) -> None:
    """Fail where `test` (its node id) is the one that `tests.flows.deeds` names for an address, and did nothing there."""
    theirs = {deed for deed, name in DEEDS.items() if name == test.partition("[")[0]}
    missing = theirs - {f"{method} {route}" for method, route in done}
    assert not missing, f"{test} is to do what is asked for at {sorted(missing)}, and did not"


def _watched(act: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    name = f"{act.__module__}.{act.__qualname__}"
    with tallied() as written, transaction.atomic():
        before = _changes()
        result = act(*args, **kwargs)
        changed = _changes() != before
    if ".<locals>" not in name and not name.startswith("tests."):
        done = _once(written, name)
        assert done or not changed or name in QUIET, f"{name} changed the database and appended nothing"
    return result


def _once(written: list[Written], name: str, ended: Set[Outcome] = frozenset({Outcome.OK})) -> bool:
    """Whether something that ended so is on record; fails where the same is twice."""
    done = Counter((one.action, one.obj, repr(one.changed)) for one in written if one.outcome in ended)
    twice = [entry for entry, times in done.items() if times > 1]
    assert not twice, f"{name} appended twice: {twice}"
    return bool(done)


class _Aside:
    """Counts the rows of what is no state to record: attempts for rate limits, sessions, challenges, when a token was used."""

    KEPT = (
        '"access_cache"',
        '"django_session"',
        '"access_passkeyceremony"',
        'UPDATE "access_servicetoken" SET "last_used_at"',
    )

    def __init__(self) -> None:
        self.rows = 0

    def __call__(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Mapping[str, Any]
    ) -> Any:
        before = _changes()
        result = execute(sql, params, many, context)
        if any(part in sql for part in self.KEPT):
            self.rows += _changes() - before
        return result


def _changes() -> int:
    """How many rows this connection has written so far; PostgreSQL does not say, so there nothing is held against an action."""
    return connection.connection.total_changes if connection.vendor == "sqlite" and connection.connection else 0
