"""The form that asks for a training: what is trained on which data, by which algorithm with which settings, and how it is judged."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db.models import QuerySet
from django.forms.boundfield import BoundField

from datasets.models import DatasetVersion, Recipe
from registry.models import ModelVersion, RegisteredModel
from training.algorithms import MAX_SEED, OFFERS, Algorithm, Setting


def _select() -> forms.Select:
    return forms.Select(attrs={"class": "input"})


def _line(**attributes: str) -> forms.TextInput:
    return forms.TextInput(attrs={"class": "input", **attributes})


class SettingField(forms.Field):
    """One setting of an algorithm, as its schema says: label, help, bounds and default; validated by `Setting.mistake`."""

    def __init__(self, setting: Setting) -> None:
        """`setting`: a row of the schema."""
        self.setting = setting
        keys = "decimal" if not setting.whole else "numeric"
        choices = [(choice, choice) for choice in setting.choices]
        default = setting.write(setting.default)
        super().__init__(
            required=not setting.optional,
            widget=forms.Select(attrs={"class": "input"}, choices=choices)
            if choices
            else _line(inputmode=keys, spellcheck="false"),
            label=f"{setting.title} ({setting.name})",
            initial=default,
            help_text=f"{setting.help} {setting.expected.capitalize()}; default {default or 'nothing'}.",
        )

    def clean(self, value: Any) -> float | int | str | None:
        """What was written, as the estimator takes it; a sentence with what is accepted where it is not."""
        read = self.setting.read(value or "")
        if mistake := self.setting.mistake(read):
            raise forms.ValidationError(mistake)
        return read


class TrainingForm(forms.Form):
    """Model, data, recipe, algorithm, a field for each setting of that algorithm, and how to judge the result."""

    model = forms.ModelChoiceField(
        RegisteredModel.objects.none(), widget=_select(), help_text="A registered model that you may add versions to."
    )
    dataset_version = forms.ModelChoiceField(DatasetVersion.objects.none(), widget=_select(), label="Data")
    recipe = forms.ModelChoiceField(Recipe.objects.none(), widget=_select(), help_text="A recipe of the same dataset.")
    algorithm = forms.ChoiceField(
        choices=[(algorithm.value, offer.title) for algorithm, offer in OFFERS.items()], widget=forms.RadioSelect()
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
        for name, what in (("model", "a model"), ("dataset_version", "the data to train on"), ("recipe", "a recipe")):
            self.fields[name].error_messages["required"] = f"Choose {what} from the list."
        self.offer_of = self._algorithm()
        self._settings = {
            f"{self.offer_of}-{setting.name}": SettingField(setting) for setting in OFFERS[self.offer_of].settings
        }
        self.fields.update(self._settings)
        self._show_unseen_settings()
        recipe = self.fields["recipe"]
        if isinstance(recipe, forms.ModelChoiceField):
            recipe.label_from_instance = _recipe_label  # type: ignore[method-assign]  # Django's hook, set on one field

    def _choose(self, field: str, rows: QuerySet[Any]) -> None:
        choice = self.fields[field]
        if isinstance(choice, forms.ModelChoiceField):
            choice.queryset = rows
            choice.empty_label = "Choose one" if choice.required else "None"

    def _algorithm(self) -> Algorithm:
        """The algorithm that is chosen so far; logistic regression where none is."""
        chosen = (
            self.data.get("algorithm")
            if self.is_bound
            else self.get_initial_for_field(self.fields["algorithm"], "algorithm")
        )
        return Algorithm(chosen) if chosen in set(Algorithm) else Algorithm.LOGISTIC_REGRESSION

    def _show_unseen_settings(self) -> None:
        """Fill the defaults in where another algorithm's settings were on the page, so that they are seen before they are used."""
        self._unseen = self.is_bound and not any(name in self.data for name in self._settings)
        if self._unseen:
            defaults = {name: field.initial for name, field in self._settings.items()}
            self.data = {**dict(self.data.items()), **defaults}

    @property
    def settings(self) -> list[BoundField]:
        """The fields of the chosen algorithm's settings, in the order of its schema."""
        return [self[name] for name in self._settings]

    @property
    def before_settings(self) -> list[BoundField]:
        """The fields up to the algorithm."""
        return [self[name] for name in ("model", "dataset_version", "recipe", "algorithm")]

    @property
    def after_settings(self) -> list[BoundField]:
        """The other fields: how the data is split, how the result is judged, and why."""
        shown = {field.name for field in (*self.before_settings, *self.settings)}
        return [self[name] for name in self.fields if name not in shown]

    def clean(self) -> dict[str, Any]:
        """Both lists of periods, or neither; the mitigation as one value, and so the settings."""
        values = super().clean() or {}
        if self._unseen:
            self.add_error(
                "algorithm",
                f"The settings of {OFFERS[self.offer_of].title} were not on the page yet. Look them over below, then start again.",
            )
        values["parameters"] = {
            field.setting.name: values.pop(name) for name, field in self._settings.items() if name in values
        }
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
