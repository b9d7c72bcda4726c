"""Decides that somebody goes on administering access: the one guard that every way of taking an administrator away goes through.

An installation that nobody administers would be open to setup again, and nobody could let anybody in.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from access.models import Role
from access.permissions import somebody_administers
from foundation.refusals import Conflict


@contextmanager
def keeping_an_administrator() -> Iterator[dict[int, Role]]:
    """Run the change inside, then refuse it (`last-administrator`) where nobody active is left who may manage people.

    Every role is locked before, in one order, and handed out by its key: two such changes at once see each other. Needs a transaction,
    which the refusal rolls back. For withdrawing and editing roles, leaving groups, closing accounts, and whatever else may come.
    """
    roles = {role.pk: role for role in Role.objects.select_for_update().order_by("pk")}
    administered = somebody_administers()
    yield roles
    if administered and not somebody_administers():
        raise Conflict(
            "This would leave nobody who can manage people. Make somebody else an administrator first.",
            code="last-administrator",
        )
