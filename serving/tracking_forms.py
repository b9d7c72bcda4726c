"""What a person says about who has an experiment, on the page and over the API alike."""

from __future__ import annotations

from typing import Any

from django import forms

from access.forms import HolderForm
from access.models import User
from serving.tracking_models import Level, Others


class ExperimentFilter(forms.Form):
    """What to look for in the list."""

    q = forms.CharField(required=False, max_length=200, label="Name contains")
    mine = forms.BooleanField(required=False, label="Only mine")


class ShareForm(HolderForm):
    """Who is to have which level."""

    level = forms.ChoiceField(label="May", choices=[(one.value, one.label.capitalize()) for one in Level])

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.order_fields(["holder", "level"])


class OwnerForm(HolderForm):
    """The person who is to own it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, people_only=True, **kwargs)

    def person(self) -> User:
        """The person, from valid data."""
        holder = self.holder()
        if not isinstance(holder, User):
            raise TypeError("An owner is a person.")
        return holder


class OthersForm(forms.Form):
    """What everybody else may."""

    others = forms.ChoiceField(label="Everybody else may", choices=Others.choices)
