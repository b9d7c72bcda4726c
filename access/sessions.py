"""Decides who ends sessions before their time, and what is known of one that lets nobody in.

Of a session that is over it is told whose it was and why it ended, without believing its holder anything.
"""

from __future__ import annotations

from typing import Final

import structlog
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.models import Session
from django.http import HttpRequest
from django.utils import timezone

from access.attempts import record_attempt
from access.models import User
from access.permissions import Permission, permit
from access.principal import Principal
from audit.actions import append
from audit.events import Action, Obj
from audit.governed import governed

KEY_CHARACTERS: Final = 40
_NOBODYS: Final = Obj("session", "")

log = structlog.get_logger(__name__)


@governed(Action.SESSION_END_ALL)
def end_sessions(user: User, *, by: Principal) -> User:
    """End every session of a person from its next request on: one's own, or, for who manages people, anybody's.

    Returns the account as it is now; whoever ends their own keeps the one that they ask from by carrying its new hash.
    """
    user = User.objects.locked(user.pk)
    if by.user is None or by.user.pk != user.pk:
        permit(by, Permission.MANAGE_PEOPLE)
    user.session_generation += 1
    user.save(update_fields=["session_generation"])
    append(Action.SESSION_END_ALL, by=by, obj=user.ledger_ref())
    return user


def record_refused_session(request: HttpRequest, *, by: Principal) -> None:
    """Put on record that the request came with a session that has expired or ended, or that there never was.

    Nothing, where it came without one or with one in which nobody had signed in yet.
    """
    key = request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")
    found = _what_of(key) if key else None
    if found is None:
        return
    obj, why = found
    log.warning("session_refused", why=why, ip=by.ip)
    record_attempt(Action.SESSION_USE, obj, why, known=bool(obj.id), by=by)


def _what_of(key: str) -> tuple[Obj, str] | None:
    """What the ledger is told of the session: the account that it was of, where it is still kept, and why it lets nobody in."""
    session = Session.objects.filter(session_key=key[:KEY_CHARACTERS]).first()
    if session is None:
        return _NOBODYS, "unknown-session"
    signed_in = session.get_decoded().get(SESSION_KEY)
    person = User.objects.filter(pk=signed_in).first() if signed_in else None
    if person is None:
        return None
    return person.ledger_ref(), "expired-session" if session.expire_date <= timezone.now() else "inactive-account"
