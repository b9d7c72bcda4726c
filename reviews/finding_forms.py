"""What people fill in about findings and threads, field by field. Actions check again."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.models import Group

from access.models import User
from access.permissions import Permission, people_with
from registry.models import ModelVersion, RegisteredModel
from reviews.findings import MAX_TEXT, MAX_TITLE
from reviews.forms import ReauthenticatedForm
from reviews.models import Comment, Finding


class FindingForm(forms.Form):
    """Raising a finding."""

    title = forms.CharField(
        max_length=MAX_TITLE,
        label="What is wrong or owed",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        error_messages={"required": "Say what is wrong or owed."},
    )
    detail = forms.CharField(
        required=False,
        max_length=MAX_TEXT,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text="Markdown. What was seen, and what would settle it.",
    )
    severity = forms.ChoiceField(choices=Finding.Severity.choices, initial=Finding.Severity.MINOR)
    owner = forms.ModelChoiceField(
        queryset=User.objects.none(),
        to_field_name="username",
        help_text="Who has to settle it.",
        error_messages={"required": "Choose who has to settle it."},
    )
    due = forms.DateField(
        label="Due by",
        widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}),
        help_text="The end of that day, UTC.",
        error_messages={"required": "Choose a date."},
    )
    verifying_group = forms.ModelChoiceField(
        queryset=Group.objects.order_by("name"),
        to_field_name="name",
        label="Verified by a member of",
        help_text="Somebody independent of the version confirms that it is settled.",
        error_messages={"required": "Choose who verifies it."},
    )

    def __init__(self, *args: Any, version: ModelVersion, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["owner"].queryset = people_with(Permission.SEE_MODEL, version.model)  # type: ignore[attr-defined]  # a ModelChoiceField


class TextForm(forms.Form):
    """What goes with one step of a finding."""

    body = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 3}),
        max_length=MAX_TEXT,
        error_messages={"required": "Write something before you send it."},
    )


class ExtendForm(ReauthenticatedForm):
    """A later due date, which is signed."""

    due = forms.DateField(
        label="New due date",
        widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}),
        help_text="The end of that day, UTC.",
        error_messages={"required": "Choose the new date."},
    )
    reason = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 3}),
        max_length=MAX_TEXT,
        help_text="Signed, and kept with the finding.",
        error_messages={"required": "Give the reason: it is signed with the new date."},
    )


class FilterForm(forms.Form):
    """Which findings are listed."""

    whose = forms.ChoiceField(
        required=False,
        label="Whose",
        choices=[("", "Everybody's"), ("mine", "That I own"), ("verify", "That I verify"), ("raised", "That I raised")],
    )
    state = forms.ChoiceField(
        required=False,
        choices=[("", "Any"), ("owed", "Open or answered"), ("overdue", "Overdue"), *Finding.State.choices],
    )
    severity = forms.ChoiceField(required=False, choices=[("", "Any"), *Finding.Severity.choices])
    kind = forms.ChoiceField(
        required=False, choices=[("", "Any"), ("condition", "Conditions"), ("plain", "Findings alone")]
    )
    model = forms.ModelChoiceField(
        required=False, queryset=RegisteredModel.objects.none(), to_field_name="name", empty_label="All"
    )

    def __init__(self, *args: Any, models: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["model"].queryset = models  # type: ignore[attr-defined]  # a ModelChoiceField


class ThreadForm(forms.Form):
    """Opening a thread."""

    body = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 4}),
        max_length=20_000,
        label="Comment",
        help_text="Markdown; @name tells somebody. Comments become part of the record and cannot be deleted.",
        error_messages={"required": "Write something before you send it."},
    )
    feedback = forms.ChoiceField(
        required=False,
        label="What you think of it",
        choices=[("", "No opinion"), *Comment.Feedback.choices],
        help_text="Advice: it is shown beside the comment and decides nothing.",
    )
    must_resolve = forms.BooleanField(required=False, label="Must be resolved before approval")
    section = forms.CharField(required=False, widget=forms.HiddenInput)
    path = forms.CharField(required=False, widget=forms.HiddenInput, max_length=200)


class ReplyForm(forms.Form):
    """A reply."""

    body = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 3}),
        max_length=20_000,
        label="Reply",
        error_messages={"required": "Write something before you send it."},
    )
    feedback = forms.ChoiceField(
        required=False, label="What you think of it", choices=[("", "No opinion"), *Comment.Feedback.choices]
    )


class EditForm(forms.Form):
    """A comment said anew."""

    body = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 6}),
        max_length=20_000,
        label="Comment",
        help_text="A new revision; the earlier text stays to be read.",
        error_messages={"required": "Write something before you send it."},
    )
