"""Decides who reads the ledger's pages: auditors; anybody else's attempt is recorded and refused."""

from __future__ import annotations

from typing import Final, Protocol

from django.http import HttpRequest

from audit.actions import append_alone
from audit.events import Action, Actor, Obj, Outcome
from audit.integrity import LEDGER
from foundation.refusals import Forbidden, Unauthenticated

SEE_AUDIT: Final = "audit.see"


class Reader(Protocol):
    """What the middleware of the room above puts on the request."""

    @property
    def actor(self) -> Actor:
        """Who acts."""

    @property
    def is_anonymous(self) -> bool:
        """Whether nobody is signed in."""

    def allows(self, permission: str) -> bool:
        """Whether they hold a permission."""


class LedgerRequest(HttpRequest):
    """A request of which it is known who asks."""

    principal: Reader


def permit(request: LedgerRequest, action: Action, obj: Obj = LEDGER) -> None:
    """Let auditors in; record everybody else's attempt and refuse it."""
    permit_reader(request.principal, action, obj)


def permit_reader(by: Reader, action: Action, obj: Obj = LEDGER) -> None:
    """The same, for whoever asks through the API."""
    if by.is_anonymous:
        raise Unauthenticated("Sign in to read the audit log.")
    if not by.allows(SEE_AUDIT):
        append_alone(action, by=by, obj=obj, outcome=Outcome.DENIED, why="forbidden")
        raise Forbidden(
            "Reading the audit log needs the permission audit.see, which the role Auditor has. An administrator assigns it."
        )
