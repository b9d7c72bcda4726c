"""Puts on record what the portal's and the API's addresses were asked: what was read, and what was refused to somebody signed in.

Each request writes at most one such entry, in a transaction of its own, before the answer leaves; where it cannot be written, nothing
is shown. What an action or a view has recorded itself (a refused signature, an export) is not recorded again. Who is turned away
with a session that has expired is on record as well; who is turned away without any has tried nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from django.db import OperationalError, transaction
from django.http import HttpRequest, HttpResponseBase
from django.urls import ResolverMatch, reverse

from access.principal import Principal
from access.sessions import record_refused_session
from audit.actions import append
from audit.events import Action, Obj, Outcome
from audit.governed import unavailable
from audit.tally import Written, tallied
from config.middleware import refusal_response
from config.reads import REFUSED_AS, read_at

Handler = Callable[[HttpRequest], HttpResponseBase]

READING: Final = frozenset({"GET", "HEAD"})
SHOWN: Final = frozenset({200, 206})
REFUSED: Final = {403: "forbidden", 404: "not-found", 409: "conflict"}
"""404 too: for who asks, a thing that may not be seen is as one that does not exist, and the ledger knows who tried names."""


class OnRecord:
    """Stands inside the middleware that knows who asks."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """The answer, once it is on record."""
        with tallied() as written:
            response = self.get_response(request)
            by: Principal = request.principal  # type: ignore[attr-defined]  # set by PrincipalMiddleware, or by the API's credential
            if by.is_anonymous and not written and _is_refused(response):
                record_refused_session(request, by=by)
            if request.resolver_match is None or by.is_anonymous:
                return response
            try:
                _record(request, request.resolver_match, response, written, by)
            except OperationalError as error:
                busy = unavailable(error)
                if busy is None:
                    raise
                return refusal_response(request, busy)
        return response


def _is_refused(response: HttpResponseBase) -> bool:
    """Whether somebody who is not signed in was turned away: told to sign in, or that there is nothing for them."""
    to_login = response.headers.get("Location", "").partition("?")[0] == reverse("account_login")
    return to_login or response.status_code in {401, *REFUSED}


def _record(
    request: HttpRequest, match: ResolverMatch, response: HttpResponseBase, written: Sequence[Written], by: Principal
) -> None:
    status, rule = response.status_code, getattr(response, "rule", "")
    read = read_at(match.route)
    page = {"page": match.view_name, **({"purpose": by.purpose} if by.purpose else {})}
    obj = read.obj(match.kwargs) if read else Obj("address", "", match.view_name)
    if status in SHOWN and read and request.method in READING and not written:
        _append(read.action, by, obj, page)
    if status in REFUSED and not any(one.outcome is not Outcome.OK for one in written):
        action = (
            read.action if read and request.method in READING else REFUSED_AS.get(match.route, Action.ADDRESS_REQUEST)
        )
        refused = page | {"method": request.method or "", **({"rule": rule} if rule else {})}
        _append(action, by, obj, refused, Outcome.DENIED, REFUSED[status])


def _append(
    action: Action, by: Principal, obj: Obj, after: dict[str, str], outcome: Outcome = Outcome.OK, why: str = ""
) -> None:
    with transaction.atomic(
        savepoint=False
    ):  # no other transaction is open here; inside a test's, one statement is enough
        append(action, by=by, obj=obj, outcome=outcome, why=why, after=after)
