"""What people fill in to roll back and to break the glass; all of it ends in a signature."""

from __future__ import annotations

from typing import Any

from django import forms

from reviews.forms import ReauthenticatedForm
from reviews.models import BreakGlass


class RollbackForm(ReauthenticatedForm):
    """Putting the version before back."""

    reason = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 3}),
        max_length=10_000,
        help_text="Signed, and kept with the rollback.",
        error_messages={"required": "Give the reason: it is signed, and kept with the rollback."},
    )
    field_order = ("reason", "secret")


class AskForm(ReauthenticatedForm):
    """Asking for a version to go live ahead of its review."""

    reason = forms.ChoiceField(
        choices=BreakGlass.Reason.choices,
        label="Why it cannot wait",
        error_messages={"required": "Choose why it cannot wait."},
    )
    text = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 4}),
        max_length=10_000,
        label="What happens, and why this version helps",
        help_text="At least 20 characters. The second person decides on it, and everybody who is told reads it.",
        error_messages={"required": "Say what happens and why this version helps."},
    )
    hours = forms.IntegerField(min_value=1, label="For how many hours")
    field_order = ("reason", "text", "hours", "secret")

    def __init__(self, *args: Any, most_hours: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["hours"].widget.attrs["max"] = max(most_hours, 1)
        self.fields[
            "hours"
        ].help_text = f"At most {most_hours}; then it is rolled back, unless its review has approved it."


class AnswerForm(ReauthenticatedForm):
    """Seconding a break-glass, or declining it with a reason."""

    answer = forms.ChoiceField(
        choices=[("second", "Second it"), ("decline", "Decline it")],
        widget=forms.RadioSelect,
        label="Your answer",
        error_messages={"required": "Choose your answer."},
    )
    reason = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        max_length=10_000,
        help_text="Needed when you decline.",
    )
    field_order = ("answer", "reason", "secret")
