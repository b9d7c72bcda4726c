"""What people fill in to propose and to sign a retraining envelope."""

from __future__ import annotations

import json
from typing import Any

from django import forms

from reviews.forms import ReauthenticatedForm


class ProposeForm(forms.Form):
    """Bounds as text, starting from how the live version was made."""

    why = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 3}),
        max_length=10_000,
        label="Why retraining should go live by itself",
        help_text="What changes with each retraining, and what does not. Whoever signs reads it first.",
        error_messages={"required": "Say why: whoever signs reads it first."},
    )
    until = forms.DateField(
        label="Until",
        widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}),
        help_text="At most as long as the policy lets an approval last. What goes live by the envelope ends with it.",
        error_messages={"required": "Say until when."},
    )
    text = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 26, "spellcheck": "false", "class": "mono"}),
        max_length=50_000,
        label="Bounds",
        help_text="JSON, from the live version. A setting is allowed values, or a range from low to high. What is not named is outside.",
        error_messages={"required": "Name the bounds."},
    )

    def clean_text(self) -> str:
        """The text, which has to be one JSON object."""
        text: str = self.cleaned_data["text"]
        try:
            found = json.loads(text)
        except json.JSONDecodeError as error:
            raise forms.ValidationError(f"Line {error.lineno}, column {error.colno}: {error.msg}.") from error
        if not isinstance(found, dict):
            raise forms.ValidationError("Bounds are one JSON object.")
        return text

    def bounds(self) -> dict[str, Any]:
        """The bounds as JSON types."""
        found: dict[str, Any] = json.loads(self.cleaned_data["text"])
        return found


class SignEnvelopeForm(ReauthenticatedForm):
    """A signature under the bounds."""

    reason = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 3}),
        max_length=10_000,
        help_text="Kept with the signature.",
        error_messages={"required": "Give the reason for your decision."},
    )
    intent = forms.BooleanField(
        label="I intend this electronic signature to be the equivalent of my handwritten signature.",
        error_messages={"required": "Confirm your intent to sign."},
    )
    field_order = ("reason", "secret", "intent")
