"""Decides how long a session lets its person in: so long as they do something, and never past the end of a day's work.

The server holds both limits, whatever the browser does with its cookie. When somebody was last seen is written once a minute, so an
idle session ends up to a minute early and never late. What a page asks for by itself, to show how far work is, is nobody's doing;
nor is what MLflow's pages ask for, which do so too and do not say when.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.models import Session
from django.db import transaction
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from access.models import User
from access.requests import acting
from audit.actions import append
from audit.events import Action

BEGAN: Final = "session_began"
SEEN: Final = "session_seen"
SAID: Final = "session_ended"
"""Where the sentence for the next login is kept: in the empty session that takes the ended one's place."""
EVERY: Final = timedelta(minutes=1)
ASKED_BY_THE_PAGE: Final = frozenset({"live", "progress"})


@receiver(user_logged_in)
def begin(request: HttpRequest, **_: Any) -> None:
    """Start both clocks, however the login came about: a signal, because a way in without clocks would have no end."""
    now = timezone.now().timestamp()
    request.session[BEGAN] = request.session[SEEN] = now
    request.session.pop(SAID, None)


def hold_to_limits(request: HttpRequest) -> None:
    """End the request's session where one of its limits has passed, put that on record, and keep when its person was last seen."""
    user = request.user
    if not isinstance(user, User):
        return
    now = timezone.now().timestamp()
    why = _passed(request, now)
    if why:
        _end(request, user, why)
    elif now - request.session[SEEN] >= EVERY.total_seconds() and not _asked_by_the_page(request):
        request.session[SEEN] = now


def is_over(request: HttpRequest) -> bool:
    """Whether the session of somebody signed in has passed one of its limits, for a door that only looks."""
    return bool(_passed(request, timezone.now().timestamp()))


def _passed(request: HttpRequest, now: float) -> str:
    """Which limit has passed; a session without clocks is from before there were any, and its day is over."""
    began, seen = request.session.get(BEGAN), request.session.get(SEEN)
    if began is None or seen is None or now - began >= settings.SESSION_SECONDS:
        return "absolute"
    return "idle" if now - seen >= settings.SESSION_IDLE_SECONDS else ""


def _asked_by_the_page(request: HttpRequest) -> bool:
    return request.method == "GET" and "HX-Request" in request.headers and request.GET.get("part") in ASKED_BY_THE_PAGE


def _end(request: HttpRequest, user: User, why: str) -> None:
    """Of several requests that find the session over, one records it."""
    with transaction.atomic():
        ended, _ = Session.objects.filter(session_key=request.session.session_key).delete()
        if ended:
            append(Action.SESSION_END, by=acting(request, user), obj=user.ledger_ref(), after={"limit": why})
    request.session.flush()
    request.COOKIES.pop(settings.SESSION_COOKIE_NAME, None)  # it ended in order, and is no attempt to use a lost one
    request.session[SAID] = _sentence(why)
    request.user = AnonymousUser()


def _sentence(why: str) -> str:
    idle, hours = settings.SESSION_IDLE_SECONDS // 60, settings.SESSION_SECONDS // 3600
    if why == "idle":
        return f"You were logged out after {idle} minutes without doing anything. Log in to go on where you were."
    return f"You were logged out because a login lasts {hours} hours at most. Log in to go on where you were."
