"""How one wants to be written to, as a form."""

from __future__ import annotations

from django import forms

from notices.models import MailPreference


class PreferenceForm(forms.Form):
    """Mode and hour."""

    mode = forms.ChoiceField(label="Mail", choices=MailPreference.Mode.choices)
    digest_hour = forms.TypedChoiceField(
        label="Hour of the digest",
        choices=[(hour, f"{hour:02}:00 UTC") for hour in range(24)],
        coerce=int,
        help_text="The digest holds what happened up to that hour and was not read here meanwhile.",
    )
