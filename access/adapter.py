"""What allauth asks of us: nobody signs themselves up, and every login, failed login, logout and new password is on record."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest

from access import passkeys
from access.clients import address
from access.models import User
from access.principal import Principal
from access.requests import acting
from audit.actions import append_alone
from audit.events import Action, Obj, Outcome
from foundation.secrecy import decrypted, encrypted


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth has no types
    """The adapter's hooks are called on every path through allauth, so no signal is needed."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Never: an administrator creates people."""
        return False

    def get_client_ip(self, request: HttpRequest) -> str:
        """The address that allauth's rate limits count by; the same one as everywhere else."""
        return address(request.META)

    def pre_login(self, request: HttpRequest, user: AbstractBaseUser, **kwargs: Any) -> Any:
        """A service account has no session, whatever credential somebody set for it."""
        if isinstance(user, User) and not user.is_person:
            return self.respond_user_inactive(request, user)
        return super().pre_login(request, user, **kwargs)

    def respond_user_inactive(self, request: HttpRequest, user: AbstractBaseUser) -> Any:
        """Record the attempt on an account that is closed, or that is no person's, and say no more than that it is inactive."""
        if isinstance(user, User):
            append_alone(
                Action.SESSION_START,
                by=acting(request, None),
                obj=user.ledger_ref(),
                outcome=Outcome.DENIED,
                why="account-closed" if user.is_person else "not-a-person",
            )
        return super().respond_user_inactive(request, user)

    def login(self, request: HttpRequest, user: AbstractBaseUser) -> None:
        """Start the session (under a new key) and record it."""
        super().login(request, user)
        if isinstance(user, User):
            append_alone(Action.SESSION_START, by=acting(request, user), obj=user.ledger_ref())

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        """Record the attempt. The name that was tried enters as an erasable disclosure: it may be a password typed too early."""
        locked = bool(getattr(request, "axes_locked_out", False))
        append_alone(
            Action.SESSION_START,
            by=acting(request, None),
            obj=Obj(kind="person", id=""),
            outcome=Outcome.DENIED,
            why="locked-out" if locked else "wrong-credentials",
            private={"username": str(credentials.get("username", ""))},
        )

    def logout(self, request: HttpRequest) -> None:
        """End the session and record it."""
        user = request.user
        super().logout(request)
        if isinstance(user, User):
            append_alone(Action.SESSION_END, by=acting(request, user), obj=user.ledger_ref())

    def set_password(self, user: AbstractBaseUser, password: str) -> None:
        """Keep a new password that its owner chose, and record that it changed."""
        super().set_password(user, password)
        if isinstance(user, User):
            by = acting(self.request, user) if self.request else Principal.of(user, via="session")
            append_alone(Action.PERSON_SET_PASSWORD, by=by, obj=user.ledger_ref())


class MfaAdapter(DefaultMFAAdapter):  # type: ignore[misc]  # allauth has no types
    """Whose site passkeys belong to (the portal's address, never the Host header), and that stored secrets are encrypted."""

    def generate_authenticator_name(self, user: AbstractBaseUser, type: Authenticator.Type) -> str:  # noqa: A002 - allauth's
        """What a new passkey is called until its person calls it something."""
        number = Authenticator.objects.filter(user_id=user.pk, type=type).count() + 1
        return "Passkey" if number == 1 else f"Passkey {number}"

    def encrypt(self, text: str) -> str:
        """The secret of an authenticator app or of recovery codes, as the database keeps it."""
        return encrypted(text, settings.MFA_KEY, purpose="mfa")

    def decrypt(self, encrypted_text: str) -> str:
        """The secret itself."""
        return decrypted(encrypted_text, settings.MFA_KEY, purpose="mfa")

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        """The relying party, as authenticators show it."""
        return {"id": passkeys.rp_id(), "name": "Countersign"}
