"""Issues and revokes the credentials of service accounts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from django.utils import timezone

from access.models import ServiceToken, User
from access.permissions import PEOPLE_ONLY, Permission, permit
from access.principal import Principal
from access.token_format import NewToken
from audit.actions import append
from audit.events import Action
from audit.governed import governed
from foundation.refusals import Conflict, Invalid

MAX_TOKEN_DAYS: Final = 90
MAX_MODELS: Final = 100
MAX_NAME: Final = 80


@dataclass(frozen=True)
class IssuedToken:
    """A token as its row and, this once, as the text that its holder sends; the text is left out of the representation."""

    token: ServiceToken
    secret: str = field(repr=False)


@governed(Action.TOKEN_ISSUE)
def issue_token(
    account: User, *, name: str, scopes: Iterable[Permission], models: Iterable[str], days: int, by: Principal
) -> IssuedToken:
    """A credential for a service account: at most 90 days, for `scopes` only, and for the named registered models only (none: all).

    A scope narrows what the account's roles and grants give; it adds nothing to them.
    """
    account = User.objects.locked(account.pk)
    permit(by, Permission.MANAGE_TOKENS)
    if account.is_person or not account.is_active:
        raise Conflict(f"{account} cannot have a token: tokens are for active service accounts.", code="not-a-service")
    kept, names = sorted(set(scopes)), sorted(set(models))
    _check(name, kept, names, days)
    fresh, now = NewToken.make(), timezone.now()
    token = ServiceToken.objects.create(
        user=account,
        name=name.strip(),
        prefix=fresh.prefix,
        digest=fresh.digest,
        scopes=[scope.value for scope in kept],
        objects_scope=names,
        created_at=now,
        created_by=by.user,
        expires_at=now + timedelta(days=days),
    )
    append(
        Action.TOKEN_ISSUE,
        by=by,
        obj=token.ledger_ref(),
        after={
            "account": str(account.uuid),
            "scopes": token.scopes,
            "models": [*names],
            "expires": token.expires_at.isoformat(),
        },
    )
    return IssuedToken(token, fresh.text)


def _check(name: str, scopes: list[Permission], models: list[str], days: int) -> None:
    errors = {}
    if not 0 < len(name.strip()) <= MAX_NAME:
        errors["name"] = f"Name the token in 1 to {MAX_NAME} characters, after where it will be used."
    reserved = [scope for scope in scopes if scope in PEOPLE_ONLY]
    if reserved:
        errors["scopes"] = f"Only people may {reserved[0].label}; choose other scopes."
    elif not scopes:
        errors["scopes"] = "Choose at least one scope."
    if not 1 <= days <= MAX_TOKEN_DAYS:
        errors["days"] = f"A token lives 1 to {MAX_TOKEN_DAYS} days."
    if len(models) > MAX_MODELS or any(not 0 < len(model) <= 128 for model in models):
        errors["models"] = f"Name at most {MAX_MODELS} models by their exact names, or none for all of them."
    if errors:
        raise Invalid(" ".join(errors.values()), errors=errors)


@governed(Action.TOKEN_REVOKE)
def revoke_token(token: ServiceToken, *, by: Principal) -> ServiceToken:
    """End a token with this call. Its account's owner may as well as whoever manages tokens."""
    token = ServiceToken.objects.select_for_update(of=("self",)).select_related("user").get(pk=token.pk)
    if by.user is None or by.user.pk != token.user.owner_id or not by.user.is_active:
        permit(by, Permission.MANAGE_TOKENS)
    if token.revoked_at:
        raise Conflict(f"The token {token} is already revoked.", code="token-revoked")
    token.revoked_at, token.revoked_by = timezone.now(), by.user
    token.save(update_fields=["revoked_at", "revoked_by"])
    append(Action.TOKEN_REVOKE, by=by, obj=token.ledger_ref(), after={"account": str(token.user.uuid)})
    return token
