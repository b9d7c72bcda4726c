"""Records what allauth does with second factors. The one place with signals: allauth.mfa calls no hook that we could put this into."""

from __future__ import annotations

from typing import Any

from allauth.mfa import signals
from allauth.mfa.models import Authenticator
from django.dispatch import receiver
from django.http import HttpRequest

from access.clients import client_of
from access.models import User
from access.principal import Principal
from audit.actions import append_alone
from audit.events import Action, Outcome


@receiver(signals.authenticator_added)
def record_added(request: HttpRequest, user: User, authenticator: Authenticator, **_: Any) -> None:
    """A person set up an authenticator or got recovery codes."""
    _record(Action.AUTHENTICATOR_ADD, request, user, authenticator)


@receiver(signals.authenticator_reset)
def record_reset(request: HttpRequest, user: User, authenticator: Authenticator, **_: Any) -> None:
    """A person made new recovery codes."""
    _record(Action.AUTHENTICATOR_RESET, request, user, authenticator)


@receiver(signals.authenticator_removed)
def record_removed(request: HttpRequest, user: User, authenticator: Authenticator, **_: Any) -> None:
    """A person took an authenticator away."""
    _record(Action.AUTHENTICATOR_REMOVE, request, user, authenticator)


@receiver(signals.authentication_failed)
def record_failure(request: HttpRequest, user: User, **_: Any) -> None:
    """The password was right and the code was not."""
    append_alone(
        Action.SESSION_START, by=_nobody_yet(request), obj=user.ledger_ref(), outcome=Outcome.DENIED, why="wrong-code"
    )


def _record(action: Action, request: HttpRequest, user: User, authenticator: Authenticator) -> None:
    client = client_of(request.META)
    by = Principal.of(user, via="session", request_id=client.request_id, ip=client.ip, user_agent=client.user_agent)
    append_alone(action, by=by, obj=user.ledger_ref(), after={"type": str(authenticator.type)})


def _nobody_yet(request: HttpRequest) -> Principal:
    client = client_of(request.META)
    return Principal.anonymous(request_id=client.request_id, ip=client.ip, user_agent=client.user_agent)
