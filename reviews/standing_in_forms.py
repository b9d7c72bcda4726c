"""What people fill in to let somebody sign for them, and to except a gate. Actions check again."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Any

from django import forms
from django.contrib.auth.models import Group
from django.utils import timezone

from access.models import User
from reviews.forms import ReauthenticatedForm


class DelegationForm(forms.Form):
    """Letting somebody sign in one's capacity, from the beginning of one day to the end of another (UTC)."""

    delegate = forms.ModelChoiceField(
        queryset=User.objects.none(),
        to_field_name="username",
        label="Who signs for you",
        empty_label="Choose a person",
        error_messages={"required": "Choose who signs for you."},
    )
    group = forms.ModelChoiceField(
        queryset=Group.objects.none(),
        to_field_name="name",
        label="In which capacity",
        empty_label=None,
        help_text="They sign what this group signs, and nothing that you signed already.",
    )
    first_day = forms.DateField(label="From", widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}))
    last_day = forms.DateField(
        label="Until the end of",
        widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}),
        help_text="At most 90 days. Days begin and end at midnight UTC.",
    )
    reason = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 2}),
        max_length=1_000,
        label="Why",
        error_messages={"required": "Say why somebody signs for you."},
    )

    def __init__(self, *args: Any, person: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        others = User.objects.people().active().exclude(pk=person.pk).order_by("display_name", "username")
        self.fields["delegate"].queryset = others  # type: ignore[attr-defined]  # a ModelChoiceField
        self.fields["group"].queryset = person.groups.order_by("name")  # type: ignore[attr-defined]  # the same
        self.fields["first_day"].initial = timezone.now().date()

    def starts_at(self) -> datetime:
        """The beginning of the first day."""
        return datetime.combine(self.cleaned_data["first_day"], time(), tzinfo=UTC)

    def ends_at(self) -> datetime:
        """The end of the last day."""
        return end_of(self.cleaned_data["last_day"])


class ExceptionForm(ReauthenticatedForm):
    """Excepting a gate that fails."""

    reason = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 3}),
        max_length=10_000,
        label="Why it is acceptable",
        help_text="Signed, and shown wherever the gate is shown.",
        error_messages={"required": "Give the reason for the exception."},
    )
    compensating_control = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 3}),
        max_length=10_000,
        label="Compensating control",
        help_text="What keeps the risk in check meanwhile: who does what, how often.",
        error_messages={"required": "Say what keeps the risk in check while the requirement is not met."},
    )
    ends = forms.DateField(
        label="It ends on",
        widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}),
        help_text="The approval ends with it, at the end of that day in UTC.",
        error_messages={"required": "Give the day on which the exception ends."},
    )
    expected_subject = forms.CharField(widget=forms.HiddenInput, max_length=64)
    field_order = ("reason", "compensating_control", "ends")

    def ends_at(self) -> datetime:
        """The end of the chosen day."""
        return end_of(self.cleaned_data["ends"])


def end_of(day: Any) -> datetime:
    """The last second of a day, in UTC."""
    return datetime.combine(day, time(23, 59, 59), tzinfo=UTC)
