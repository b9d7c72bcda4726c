"""Forms of the dataset pages."""

from __future__ import annotations

import json
from typing import Any

from django import forms

from datasets.models import slug


class _JsonField(forms.CharField):
    """JSON written by a person: parsed, with the line of a mistake."""

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        if not text:
            return {}
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise forms.ValidationError(f"This is not JSON: {error.msg} in line {error.lineno}.") from error
        except RecursionError as error:
            raise forms.ValidationError("This JSON is nested too deeply.") from error


def _area(rows: int) -> forms.Textarea:
    return forms.Textarea(attrs={"class": "input", "rows": rows, "spellcheck": "false"})


def _line() -> forms.TextInput:
    return forms.TextInput(attrs={"class": "input"})


class DatasetForm(forms.Form):
    """A new dataset."""

    name = forms.CharField(
        max_length=63,
        validators=[slug],
        widget=_line(),
        help_text="Lower-case letters, digits, hyphens and underscores. It cannot be changed.",
    )
    title = forms.CharField(max_length=160, widget=_line())
    description = forms.CharField(required=False, widget=_area(3), help_text="Where it comes from and what it is for.")
    licence = forms.CharField(required=False, max_length=160, widget=_line())
    target = forms.CharField(max_length=128, widget=_line(), help_text="The column to predict.")
    time_column = forms.CharField(
        required=False,
        max_length=128,
        widget=_line(),
        help_text="The column that separates training from held-out rows, for example the year.",
    )
    protected = forms.CharField(
        required=False, widget=_line(), help_text="Columns that hold protected attributes, separated by commas."
    )
    schema = _JsonField(
        required=False,
        widget=_area(8),
        help_text="Columns with kinds, codes and age bands as JSON. Left empty, the first file settles them.",
    )

    def clean_protected(self) -> list[str]:
        """The names, one by one."""
        return [name.strip() for name in self.cleaned_data["protected"].split(",") if name.strip()]


class VersionForm(forms.Form):
    """A file with the rows of a new version."""

    file = forms.FileField(
        widget=forms.ClearableFileInput(attrs={"class": "input", "accept": ".parquet,.csv"}),
        help_text="Parquet or CSV with the dataset's columns.",
    )
    note = forms.CharField(required=False, max_length=300, widget=_line(), help_text="What is new in it.")


class RecipeForm(forms.Form):
    """A transformation recipe as JSON."""

    name = forms.CharField(
        max_length=63, validators=[slug], widget=_line(), help_text="An existing name gets the next number."
    )
    content = _JsonField(widget=_area(18), help_text="Format 1: recipe, target and steps.")
