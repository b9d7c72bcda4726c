"""Decides which passkeys may be added: made at the portal's own address, checking who is there, with a key that anybody can verify."""

from __future__ import annotations

from typing import Any, Final

from allauth.core import context
from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn.forms import AddWebAuthnForm, EditWebAuthnForm
from allauth.mfa.webauthn.internal.auth import parse_registration_response
from django import forms
from django.db import transaction
from fido2 import cbor

from access import passkeys
from access.models import Passkey
from access.requests import principal_of
from countersign.proof.webauthn import BadAssertion, algorithm_of, encoded

LONGEST_NAME: Final = 100


class AddPasskey(AddWebAuthnForm):  # type: ignore[misc]  # allauth has no types
    """allauth has checked the ceremony; this checks what makes the key good for signatures."""

    name = forms.CharField(
        required=False,
        max_length=LONGEST_NAME,
        help_text="What you will know it by, for example “Laptop” or “Blue key”.",
    )

    def clean(self) -> dict[str, Any]:
        """Origin, verification of the person, algorithm, and that nobody has enrolled it before."""
        values: dict[str, Any] = super().clean()
        if values.get("credential"):
            response = parse_registration_response(values["credential"]).response
            if wrong := _why_unfit(response.client_data.origin, response.attestation_object.auth_data):
                self.add_error(None, wrong)
        return values


def _why_unfit(origin: str, data: Any) -> str:
    if origin != passkeys.origin():
        return f"Passkeys are added at {passkeys.origin()} only."
    if not data.is_user_verified():
        return "This passkey did not check who you are. Use one that asks for a PIN, a finger or a face."
    try:
        algorithm_of(cbor.encode(dict(data.credential_data.public_key)))
    except BadAssertion as bad:
        return str(bad)
    if Passkey.objects.filter(credential_id=encoded(data.credential_data.credential_id)).exists():
        return "This passkey was enrolled before. Make a new one."
    return ""


class RenamePasskey(EditWebAuthnForm):  # type: ignore[misc]  # allauth has no types
    """A passkey's name, kept in both places that know the key."""

    name = forms.CharField(max_length=LONGEST_NAME)

    def save(self) -> Authenticator:
        """Rename it."""
        with transaction.atomic():
            authenticator = super().save()
            passkeys.rename(authenticator, self.cleaned_data["name"], by=principal_of(context.request))
        return authenticator
