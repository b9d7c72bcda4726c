"""The rows in which a signer writes down what an approval with conditions asks for. The action checks again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time
from typing import Any, Final
from uuid import UUID

from django import forms

from access.models import User
from access.permissions import Permission, people_with
from foundation.refusals import Invalid
from reviews.conditions import Condition
from reviews.findings import MAX_TEXT, MAX_TITLE
from reviews.models import Finding, Review, Round, Thread

ROWS: Final = 3
"""How many conditions the signature page has room for at once."""


def end_of(day: Any) -> datetime:
    """The end of a day that was chosen, in UTC."""
    return datetime.combine(day, time(23, 59), tzinfo=UTC)


def condition_from(thread: str, review: Review) -> dict[str, str]:
    """The first row of a condition that comes out of a thread of the review, by its id; nothing where there is none."""
    try:
        found = Thread.objects.filter(uuid=UUID(thread), review=review).first()
    except ValueError:
        found = None
    first = found.comments.prefetch_related("revisions").first() if found is not None else None
    return {"detail": first.text, "thread": thread} if first is not None else {}


class ConditionForm(forms.Form):
    """One condition of an approval; a row that is left empty asks for nothing."""

    title = forms.CharField(
        max_length=MAX_TITLE, label="What has to be done", error_messages={"required": "Say what has to be done."}
    )
    detail = forms.CharField(
        required=False, max_length=MAX_TEXT, label="Details", widget=forms.Textarea(attrs={"rows": 2})
    )
    severity = forms.ChoiceField(choices=Finding.Severity.choices, initial=Finding.Severity.MAJOR)
    owner = forms.ChoiceField(error_messages={"required": "Choose who has to do it."})
    due = forms.DateField(
        label="Due by",
        widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}),
        error_messages={"required": "Choose a date."},
    )
    verifying_slot = forms.ChoiceField(label="Verified by", error_messages={"required": "Choose who verifies it."})
    thread = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, owners: Sequence[User], slots: Sequence[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **(kwargs | {"empty_permitted": True, "use_required_attribute": False}))
        self.fields["owner"].choices = [("", "Choose"), *((one.username, str(one)) for one in owners)]  # type: ignore[attr-defined]  # a ChoiceField
        self.fields["verifying_slot"].choices = [("", "Choose"), *slots]  # type: ignore[attr-defined]  # a ChoiceField

    def has_changed(self) -> bool:
        """Whether anything was written; a severity alone is nothing."""
        return any(name != "severity" for name in self.changed_data)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was written in this row."""
        return not self.has_changed()

    def condition(self) -> Condition:
        """What the action takes."""
        values = self.cleaned_data
        return Condition(
            title=values["title"],
            detail=values["detail"],
            severity=values["severity"],
            owner=values["owner"],
            due_at=end_of(values["due"]),
            verifying_slot=values["verifying_slot"],
            thread=values["thread"],
        )


class ConditionRows:
    """The rows of conditions on the signature page, `condition-0-title` and so on. Only an approval with conditions reads them."""

    def __init__(self, round_: Round, data: Any = None, *, first: dict[str, str] | None = None) -> None:
        owners = list(people_with(Permission.SEE_MODEL, round_.review.version.model))
        slots = [(slot.key, slot.title) for slot in round_.slots.all()]
        self.rows = [
            ConditionForm(
                data,
                prefix=f"condition-{number}",
                initial=first if number == 0 else None,
                owners=owners,
                slots=slots,
            )
            for number in range(ROWS)
        ]

    def is_valid(self) -> bool:
        """Whether every row is complete or empty."""
        wrong = [row for row in self.rows if not row.is_valid()]
        return not wrong

    def conditions(self) -> list[Condition]:
        """What was written, row by row."""
        return [row.condition() for row in self.rows if not row.is_empty]

    def show(self, refusal: Invalid) -> None:
        """Put what the action refused beside the field that it names (`conditions[0].owner`)."""
        written = [row for row in self.rows if not row.is_empty]
        for place, sentence in refusal.errors.items():
            number, _, name = place.removeprefix("conditions[").partition("].")
            if number.isdigit() and int(number) < len(written):
                field = "due" if name == "due_at" else name
                written[int(number)].add_error(field if field in ConditionForm.base_fields else None, sentence)
