"""The form that asks for a training."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.db.models import QuerySet

from datasets.models import DatasetVersion, Recipe
from registry.models import ModelVersion, RegisteredModel
from training.algorithms import MAX_SEED, OFFERS


def _select() -> forms.Select:
    return forms.Select(attrs={"class": "input"})


def _line(**attributes: str) -> forms.TextInput:
    return forms.TextInput(attrs={"class": "input", **attributes})


class TrainingForm(forms.Form):
    """Model, data, recipe, algorithm and how to judge the result."""

    model = forms.ModelChoiceField(
        RegisteredModel.objects.none(), widget=_select(), help_text="A registered model that you may add versions to."
    )
    dataset_version = forms.ModelChoiceField(DatasetVersion.objects.none(), widget=_select(), label="Data")
    recipe = forms.ModelChoiceField(Recipe.objects.none(), widget=_select(), help_text="A recipe of the same dataset.")
    algorithm = forms.ChoiceField(
        choices=[(algorithm.value, offer.title) for algorithm, offer in OFFERS.items()], widget=forms.RadioSelect()
    )
    parameters = forms.CharField(
        required=False,
        widget=_line(spellcheck="false"),
        help_text='Settings that differ from the defaults, as JSON: {"C": 0.5}.',
    )
    train = forms.CharField(
        required=False,
        widget=_line(),
        label="Periods to train on",
        help_text="Separated by commas. Empty: all but the newest.",
    )
    test = forms.CharField(
        required=False, widget=_line(), label="Periods to hold out", help_text="Separated by commas. Empty: the newest."
    )
    cutoff = forms.FloatField(
        initial=0.5,
        min_value=0.01,
        max_value=0.99,
        widget=_line(inputmode="decimal"),
        label="Cut-off",
        help_text="Score from which the decision is positive.",
    )
    reweighing = forms.CharField(
        required=False,
        widget=_line(spellcheck="false"),
        label="Reweigh by",
        help_text="Protected attributes, separated by commas: rows get weights that make group and outcome independent. Empty: not.",
    )
    threshold = forms.CharField(
        required=False,
        widget=_line(spellcheck="false"),
        label="Choose the cut-off for",
        help_text="Protected attributes, separated by commas: one cut-off for everybody with the smallest gap between their groups, "
        "chosen on training rows set aside. Empty: the cut-off above.",
    )
    seed = forms.IntegerField(initial=0, min_value=0, max_value=MAX_SEED, widget=_line(inputmode="numeric"))
    retrain_of = forms.ModelChoiceField(
        ModelVersion.objects.none(),
        required=False,
        widget=_select(),
        label="Retraining of",
        help_text="The version that this one is to follow.",
    )
    reason = forms.CharField(
        required=False,
        max_length=2000,
        widget=forms.Textarea(attrs={"class": "input", "rows": 3}),
        help_text="Why it is trained. Reviewers read this first.",
    )

    def __init__(self, *args: Any, models: QuerySet[RegisteredModel], **kwargs: Any) -> None:
        """`models`: those the person may register versions of."""
        super().__init__(*args, **kwargs)
        self._choose("model", models)
        self._choose(
            "dataset_version", DatasetVersion.objects.select_related("dataset").order_by("dataset__name", "-number")
        )
        self._choose("recipe", Recipe.objects.select_related("dataset").order_by("dataset__name", "name", "-number"))
        self._choose("retrain_of", ModelVersion.objects.filter(model__in=models).select_related("model"))
        recipe = self.fields["recipe"]
        if isinstance(recipe, forms.ModelChoiceField):
            recipe.label_from_instance = _recipe_label  # type: ignore[method-assign]  # Django's hook, set on one field

    def _choose(self, field: str, rows: QuerySet[Any]) -> None:
        choice = self.fields[field]
        if isinstance(choice, forms.ModelChoiceField):
            choice.queryset = rows
            choice.empty_label = "Choose one" if choice.required else "None"

    def clean_parameters(self) -> dict[str, Any]:
        """The settings, as an object."""
        text = self.cleaned_data["parameters"].strip()
        try:
            found = json.loads(text) if text else {}
        except (json.JSONDecodeError, RecursionError) as error:
            raise forms.ValidationError('Write an object like {"C": 0.5}.') from error
        if not isinstance(found, dict):
            raise forms.ValidationError('Write an object like {"C": 0.5}.')
        return found

    def clean(self) -> dict[str, Any]:
        """Both lists of periods, or neither; the mitigation as one value."""
        values = super().clean() or {}
        train, test = _periods(values.pop("train", "")), _periods(values.pop("test", ""))
        if bool(train) != bool(test):
            self.add_error("test" if train else "train", "Name periods on both sides, or leave both empty.")
        asked = {name: _names(values.pop(name, "")) for name in ("reweighing", "threshold")}
        values["mitigation"] = {name: names for name, names in asked.items() if names}
        values["split"] = {"train": train, "test": test} if train and test else None
        return values


def _recipe_label(obj: Any) -> str:
    """A recipe with its dataset, since the list holds those of all datasets."""
    return f"{obj.dataset.name}: {obj}"


def _periods(text: str) -> list[int | str]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    return [int(word) if word.isascii() and word.isdigit() else word for word in words]


def _names(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
