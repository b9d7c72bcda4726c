"""Watches every action in every test: what changes the database is on record, and the same thing is not on record twice.

So the whole test-suite holds each `@governed` action to its entry, whoever calls it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import pytest
from django.db import connection, transaction

from audit import governed
from audit.events import Outcome
from audit.tally import tallied

QUIET: Final[frozenset[str]] = frozenset()
"""Actions that may change something without an entry, each with its reason beside it."""


def watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on an outermost action fails that changed something and appended nothing, or appended the same twice."""
    monkeypatch.setattr(governed, "_in_one_transaction", _watched)


def _watched(act: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    name = f"{act.__module__}.{act.__qualname__}"
    with tallied() as written, transaction.atomic():
        before = _changes()
        result = act(*args, **kwargs)
        changed = _changes() != before
    if ".<locals>" not in name and not name.startswith("tests."):
        done = Counter((one.action, one.obj, repr(one.changed)) for one in written if one.outcome is Outcome.OK)
        assert done or not changed or name in QUIET, f"{name} changed the database and appended nothing"
        twice = [entry for entry, times in done.items() if times > 1]
        assert not twice, f"{name} appended twice: {twice}"
    return result


def _changes() -> int:
    """How many rows this connection has written so far; PostgreSQL does not say, so there nothing is held against an action."""
    return connection.connection.total_changes if connection.vendor == "sqlite" and connection.connection else 0
