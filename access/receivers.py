"""Records what allauth does with second factors, by signals: allauth.mfa calls no hook that we could put this into."""

from __future__ import annotations

from typing import Any

from allauth.core import context
from allauth.mfa import signals
from allauth.mfa.models import Authenticator
from django.db.models.signals import post_save
from django.dispatch import receiver
from django.http import HttpRequest

from access.models import User
from access.passkeys import enrol, retire
from access.requests import acting
from audit.actions import append_alone
from audit.events import Action, Outcome
from countersign.proof.webauthn import encoded


@receiver(post_save, sender=Authenticator)
def record_app_set_up(instance: Authenticator, created: bool, **_: Any) -> None:
    """A person set up an authenticator app: recorded as its row is written, for allauth's own signal comes after the commit."""
    request = context.request
    if created and instance.type == Authenticator.Type.TOTP and request is not None:
        _record(Action.AUTHENTICATOR_ADD, request, instance.user, instance)


@receiver(signals.authenticator_added)
def record_added(request: HttpRequest, user: User, authenticator: Authenticator, **_: Any) -> None:
    """A person got recovery codes, or added a passkey, whose key is then bound to them for signatures."""
    if authenticator.type == Authenticator.Type.TOTP:
        return  # see `record_app_set_up`
    if authenticator.type != Authenticator.Type.WEBAUTHN:
        _record(Action.AUTHENTICATOR_ADD, request, user, authenticator)
        return
    try:
        enrol(authenticator, by=acting(request, user))
    except Exception:
        authenticator.delete()  # a key that could log in and not sign would only look like a passkey
        raise


@receiver(signals.authenticator_reset)
def record_reset(request: HttpRequest, user: User, authenticator: Authenticator, **_: Any) -> None:
    """A person made new recovery codes."""
    _record(Action.AUTHENTICATOR_RESET, request, user, authenticator)


@receiver(signals.authenticator_removed)
def record_removed(request: HttpRequest, user: User, authenticator: Authenticator, **_: Any) -> None:
    """A person took an authenticator or a passkey away."""
    if authenticator.type != Authenticator.Type.WEBAUTHN:
        _record(Action.AUTHENTICATOR_REMOVE, request, user, authenticator)
        return
    credential = authenticator.wrap().authenticator_data.credential_data.credential_id
    retire(user, encoded(credential), by=acting(request, user))


@receiver(signals.authentication_failed)
def record_failure(request: HttpRequest, user: User, **_: Any) -> None:
    """The password was right and the code was not."""
    append_alone(
        Action.SESSION_START, by=acting(request, None), obj=user.ledger_ref(), outcome=Outcome.DENIED, why="wrong-code"
    )


def _record(action: Action, request: HttpRequest, user: User, authenticator: Authenticator) -> None:
    append_alone(action, by=acting(request, user), obj=user.ledger_ref(), after={"type": str(authenticator.type)})
