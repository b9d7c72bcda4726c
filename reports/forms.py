"""What people fill in to get a report or to check an attestation."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from django import forms

from registry.models import RegisteredModel


@dataclass(frozen=True)
class Period:
    """What a report is narrowed to; days are in UTC and inclusive."""

    since: date | None = None
    until: date | None = None
    tier: int | None = None
    model: str = ""


class PeriodForm(forms.Form):
    """Everything is optional."""

    since = forms.DateField(
        label="From", required=False, widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"})
    )
    until = forms.DateField(
        label="As of (inclusive)", required=False, widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"})
    )
    tier = forms.TypedChoiceField(
        choices=[("", "All tiers"), *RegisteredModel.Tier.choices], coerce=int, empty_value=None, required=False
    )
    model = forms.CharField(label="Model's name", max_length=128, required=False)

    def period(self) -> Period:
        """What was asked for; fields that cannot be read do not narrow."""
        data = self.cleaned_data if self.is_valid() else {}
        return Period(data.get("since"), data.get("until"), data.get("tier"), data.get("model", ""))


class CheckForm(forms.Form):
    """An attestation, a digest, or a piece of the ledger."""

    text = forms.CharField(
        label="Attestation, receipt or digest",
        required=False,
        max_length=5_000_000,
        widget=forms.Textarea(attrs={"rows": 6, "spellcheck": "false"}),
        help_text="The JSON of a release attestation or of one signature, a receipt of the ledger, "
        "or the artifact's SHA-256 as the certificate prints it.",
    )
    file = forms.FileField(
        label="File",
        required=False,
        help_text="Also an offline bundle of the ledger (.tar, up to 32 MB); it is checked and not kept.",
        widget=forms.ClearableFileInput(attrs={"accept": ".json,.tlog-proof,.tar,application/json,application/x-tar"}),
    )
