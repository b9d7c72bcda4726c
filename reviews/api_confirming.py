"""Decides how a signature given over the API is confirmed, the same way for everything that is signed.

With a code or a password in one request. With a passkey in two: the first, without `assertion`, is answered with 428 and the options
for the authenticator (`publicKey`, whose challenge is the digest of the statement); the same request again with `assertion` signs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from rest_framework import serializers

from access import passkeys
from access.models import Reauthentication
from access.principal import Principal
from access.stepup import Confirmation, reauthenticate
from foundation.refusals import Invalid, Refusal
from reviews.views.confirming import options, person_signing

T = TypeVar("T")
Method = Reauthentication.Method


class ProofIn(serializers.Serializer[Any]):
    """How the person proves that it is them. A passkey signs in a second request: leave `assertion` out first (428 has the challenge)."""

    method = serializers.ChoiceField(choices=Method.choices, default=Method.PASSWORD)
    secret = serializers.CharField(
        trim_whitespace=False, write_only=True, max_length=1_000, required=False, default="", allow_blank=True
    )
    assertion = serializers.JSONField(
        required=False, default=None, write_only=True, help_text="passkey: PublicKeyCredential.toJSON()"
    )


def confirmed(
    values: Mapping[str, Any],
    by: Principal,
    act: Callable[[Confirmation], T],
    *,
    earlier: Reauthentication | None = None,
) -> T:
    """What `act` gives once the person has confirmed it; `values` are those of a `ProofIn`. `earlier`: see `reviews.views.confirming`."""
    return act(earlier or _proof(values, by, act))


def _proof(values: Mapping[str, Any], by: Principal, act: Callable[[Confirmation], T]) -> Reauthentication:
    person = person_signing(by)
    if values["method"] != Method.PASSKEY:
        if not values["secret"]:
            raise Invalid("Confirm that it is you: send `secret`.", errors={"secret": "Send your password or code."})
        return reauthenticate(person, method=values["method"], secret=values["secret"], by=by)
    if values["assertion"] is None:
        raise Refusal(
            "Let your passkey sign the challenge, then send the same request again with `assertion`.",
            code="passkey-wanted",
            title="Your passkey has to sign",
            status=428,
            extra={"publicKey": options(person, act)},
        )
    return passkeys.finish(person, values["assertion"], by=by)
