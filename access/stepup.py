"""Decides whether a person has just proved again that it is them, which a signature asks for.

Failures are counted by axes under a name of their own and per person, whatever the address: whoever holds a stolen session
cannot try passwords in the signature dialog, and locking it does not lock the person out of logging in.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from allauth.mfa.models import Authenticator
from axes.handlers.proxy import AxesProxyHandler
from django.conf import settings
from django.contrib.auth.hashers import check_password
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from access.models import Passkey, Reauthentication, User
from access.principal import Principal
from audit.actions import append
from audit.events import Action
from audit.governed import governed
from foundation.refusals import Conflict, Forbidden, Invalid, Refusal
from foundation.rehearsal import Rehearsed

FRESH: Final = timedelta(minutes=5)
_COUNTED_AT: Final = "0.0.0.0"  # noqa: S104 - no address to listen on: the count is per person, from wherever they try

Method = Reauthentication.Method
_WRONG: Final[dict[str, str]] = {
    Method.PASSWORD: "The password is not right.",
    Method.TOTP: "The code is not right; wait for the next one, each works once.",
}


def reauthenticate(user: User, *, method: str, secret: str, by: Principal) -> Reauthentication:
    """Proof that `user` knows the password or the current authenticator code; good for one signature within five minutes.

    Raises `Invalid` for a wrong secret, `Conflict` after too many. Runs in no transaction of the caller: failures stay counted.
    """
    be_oneself(user, by)
    if method not in _WRONG or method not in methods_of(user):
        known = next(one for one in methods_of(user) if one in _WRONG)
        raise Invalid(
            f"Confirm with your {known.label.lower()}.", code="wrong-method", errors={"method": "Choose another way."}
        )
    wrong = attempt(user, lambda current: _wrong(current, method, secret), by=by)
    return record(user, wrong, lambda: Reauthentication(user=user, method=method), by=by)


def be_oneself(user: User, by: Principal) -> None:
    """Refuse whoever confirms somebody else's identity."""
    if by.user is None or by.user.pk != user.pk:
        raise Forbidden("Everyone confirms their own identity; sign in as yourself.", code="not-yourself")


def attempt(user: User, check: Callable[[User], Refusal | None], *, by: Principal) -> Refusal | None:
    """What is wrong with an attempt of `user` to prove that it is them, or nothing. A wrong one is counted; too many lock it."""
    with transaction.atomic(durable=True):
        tried, credentials = _attempt(by), {"username": f"step-up:{user.uuid}"}
        # The person's row is the lock: parallel attempts are counted one after the other.
        current = User.objects.locked(user.pk)
        if not current.is_active or not AxesProxyHandler.is_allowed(tried, credentials):
            return _locked_out()
        wrong = check(current)
        if wrong is None:
            AxesProxyHandler.reset_attempts(username=credentials["username"])
        else:
            AxesProxyHandler.user_login_failed(__name__, credentials, tried)
        return wrong


def _locked_out() -> Conflict:
    minutes = round(settings.AXES_COOLOFF_TIME * 60)
    return Conflict(
        f"Too many wrong attempts to confirm that it is you. Try again in {minutes} minutes.", code="locked-out"
    )


def _wrong(user: User, method: str, secret: str) -> Refusal | None:
    if method == Method.PASSWORD:
        right = check_password(secret, user.password)
    else:
        totp = Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP).first()
        right = totp is not None and totp.wrap().validate_code(secret)
    return None if right else Invalid(_WRONG[method], code="not-you", errors={"secret": _WRONG[method]})


@governed(Action.SESSION_REAUTHENTICATE)
def record(
    user: User, wrong: Refusal | None, confirmed: Callable[[], Reauthentication], *, by: Principal
) -> Reauthentication:
    """Keep what became of an attempt: the refusal `wrong` is raised and on the ledger, else the row that `confirmed` makes is kept."""
    if wrong is not None:
        raise wrong
    proof = confirmed()
    proof.save(force_insert=True)
    append(Action.SESSION_REAUTHENTICATE, by=by, obj=user.ledger_ref(), after={"method": str(proof.method)})
    return proof


def methods_of(user: User) -> list[Reauthentication.Method]:
    """How this person can confirm that it is them, best first: by passkey where one is enrolled; by code where an authenticator
    app is set up, and only then; else by password. Identity providers join here once one is configured.
    """
    has_totp = Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP).exists()
    has_passkey = Passkey.objects.usable().filter(user=user).exists()
    return [*([Method.PASSKEY] if has_passkey else []), Method.TOTP if has_totp else Method.PASSWORD]


@dataclass(frozen=True)
class Rehearsal:
    """Stands where a confirmation will: the decision is carried out up to its statement, whose digest a passkey then signs.

    `at` and `nonce` enter the statement, so that the real decision makes the same one.
    """

    at: datetime
    nonce: str

    @classmethod
    def now(cls) -> Rehearsal:
        """With a fresh nonce."""
        return cls(timezone.now(), secrets.token_hex(16))


Confirmation = Reauthentication | Rehearsal


class StatementReady(Rehearsed):
    """What a rehearsed decision would sign: `digest` is the SHA-256 of its statement, the challenge of the passkey."""

    def __init__(self, digest: str, rehearsal: Rehearsal) -> None:
        super().__init__(digest)
        self.digest, self.rehearsal = digest, rehearsal


@dataclass(frozen=True)
class Proof:
    """How a person proved that it was them, once, for one statement. `at` and `nonce` are the statement's own."""

    person: User
    method: str
    at: datetime
    nonce: str
    confirmation: Confirmation

    @property
    def reauthentication(self) -> Reauthentication:
        """The row behind it, used up by this proof."""
        if isinstance(self.confirmation, Rehearsal):
            raise TypeError("A rehearsal has no row: its decision ends at the statement.")
        return self.confirmation

    def stands_for(self, digest: str) -> None:
        """Ends a rehearsal with `StatementReady`; raises `Conflict` where a passkey signed another statement than `digest`."""
        if isinstance(self.confirmation, Rehearsal):
            raise StatementReady(digest, self.confirmation)
        if self.method == Reauthentication.Method.PASSKEY and self.confirmation.challenge != digest:
            raise Conflict(
                "What your passkey signed is not what would be recorded now: something changed while you signed. "
                "Nothing was recorded. Look at the page again and sign anew.",
                code="other-statement",
            )

    def as_predicate(self) -> dict[str, str]:
        """How a statement tells it."""
        said = {"method": self.method, "at": self.at.isoformat()}
        if isinstance(self.confirmation, Reauthentication) and self.method != Reauthentication.Method.PASSKEY:
            said["id"] = str(self.confirmation.uuid)
        return said


def prove(confirmation: Confirmation, *, user: User, accepted: Collection[str] | None = None) -> Proof:
    """Use up a confirmation for the one decision whose transaction this runs in.

    `accepted`: the methods that the rules of the decision allow; None: every method.
    """
    if isinstance(confirmation, Rehearsal):
        _check_accepted(Reauthentication.Method.PASSKEY, accepted)
        return Proof(user, Reauthentication.Method.PASSKEY, confirmation.at, confirmation.nonce, confirmation)
    now = timezone.now()
    _check_accepted(confirmation.method, accepted)
    used = consume(confirmation, user=user, now=now)
    if used.method == Reauthentication.Method.PASSKEY:
        return Proof(user, used.method, used.at, used.nonce, used)
    return Proof(user, used.method, now, secrets.token_hex(16), used)


def _check_accepted(method: str, accepted: Collection[str] | None) -> None:
    if accepted is None or method in accepted:
        return
    labels = [label for value, label in Reauthentication.Method.choices if value in accepted]
    raise Conflict(
        f"The rules of this decision ask for another confirmation: {' or '.join(labels).lower()}. "
        "You can set up a passkey or an authenticator on your own page.",
        code="method-not-accepted",
        extra={"accepted": sorted(accepted)},
    )


def consume(reauthentication: Reauthentication, *, user: User, now: datetime) -> Reauthentication:
    """Use up a proof, inside the transaction of the signature it is for: theirs, unused, at most five minutes old."""
    proof = Reauthentication.objects.locked(reauthentication.pk)
    if proof.user_id != user.pk:
        raise Forbidden("This confirmation of identity is somebody else's.", code="not-yourself")
    if proof.consumed_at is not None:
        raise Conflict(
            "This confirmation of identity was already used for a signature. Confirm again.", code="proof-used"
        )
    if not timedelta(0) <= now - proof.at <= FRESH:
        raise Conflict("You confirmed your identity more than 5 minutes ago. Confirm again.", code="proof-stale")
    proof.consumed_at = now
    proof.save(update_fields=["consumed_at"])
    return proof


def _attempt(by: Principal) -> HttpRequest:
    """The attempt in the only form that axes counts: a request, which carries no secret."""
    request = HttpRequest()
    request.META.update(REMOTE_ADDR=_COUNTED_AT, HTTP_USER_AGENT=by.user_agent, PATH_INFO="step-up")
    return request
