"""Decides how strongly the person of a session proved who they are: by the strongest way that allauth recorded in it."""

from __future__ import annotations

from typing import Final

from allauth.account.authentication import get_authentication_records
from django.http import HttpRequest

WEAKEST: Final = "password"
TOKEN: Final = "token"  # noqa: S105 - a word, not a secret
_STRONGEST_FIRST: Final = ("passkey", "totp", "idp", WEAKEST)
_SECOND_FACTORS: Final = {"webauthn": "passkey", "totp": "totp", "recovery_codes": "totp"}


def strength_of(request: HttpRequest) -> str:
    """`passkey`, `totp` (a code beside the password, a recovery code too), `idp`, or `password`, also where nothing is recorded."""
    found = {_word(record) for record in get_authentication_records(request, request.user)}
    return next(one for one in _STRONGEST_FIRST if one in {*found, WEAKEST})


def _word(record: dict[str, object]) -> str:
    method = record.get("method")
    if method == "mfa":
        return _SECOND_FACTORS.get(str(record.get("type")), WEAKEST)
    return "idp" if method == "socialaccount" else WEAKEST
