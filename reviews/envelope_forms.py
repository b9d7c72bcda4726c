"""What people fill in to propose and to sign a retraining envelope."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django import forms
from django.forms import BoundField

from reviews.bounds import MOST_USES, NUMBER, Bounds, Setting
from reviews.facts import LOWER_IS_BETTER, METRIC_NAMES, METRICS
from reviews.forms import ReauthenticatedForm

NO_DIRECTION: Final = frozenset({"selection_rate"})
"""Metrics of which neither more nor less is better, so that nothing can be worse than the champion's."""
WORDS: Final = {"none": None, "true": True, "false": False}
ANY: Final = {"step": "any"}


@dataclass(frozen=True)
class SettingRow:
    """The fields of one setting; a setting that is no number has no range."""

    name: str
    allowed: BoundField
    low: BoundField | None = None
    high: BoundField | None = None


class ProposeForm(forms.Form):
    """Bounds, a field for each, starting from how the live version was made (`start`; None: it is not known)."""

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
    max_uses = forms.IntegerField(
        label="Versions that may go live by it",
        min_value=1,
        max_value=MOST_USES,
        help_text=f"From 1 to {MOST_USES}.",
        error_messages={
            "required": "Say how many versions may go live by it.",
            "min_value": f"From 1 to {MOST_USES} versions may go live by one envelope.",
            "max_value": f"From 1 to {MOST_USES} versions may go live by one envelope.",
        },
    )
    dataset = forms.CharField(
        label="Dataset", max_length=200, error_messages={"required": "Name the dataset that retraining takes."}
    )
    recipe = forms.RegexField(
        r"\A[0-9a-f]{64}\Z",
        label="Recipe",
        help_text="The SHA-256 of the recipe that prepares the data.",
        error_messages={
            "required": "Give the recipe's SHA-256.",
            "invalid": "A recipe is named by its SHA-256: 64 hexadecimal digits.",
        },
    )
    algorithm = forms.CharField(label="Algorithm", max_length=100, error_messages={"required": "Name the algorithm."})
    features = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 5, "spellcheck": "false"}),
        max_length=20_000,
        help_text="Exactly these columns, one a line.",
        error_messages={"required": "Name the features, one a line."},
    )
    worst_gap_at_most = forms.FloatField(
        label="Worst fairness gap, at most",
        widget=forms.NumberInput(attrs=ANY),
        min_value=0,
        max_value=1,
        help_text="Upper end of the interval of the worst equal-opportunity gap, from 0 to 1.",
        error_messages={
            "required": "Say how wide the worst gap may be, from 0 to 1.",
            "min_value": "The worst gap lies between 0 and 1.",
            "max_value": "The worst gap lies between 0 and 1.",
        },
    )

    def __init__(
        self, data: Mapping[str, Any] | None = None, *, start: Bounds | None, initial: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(data, initial={**(_initial(start) if start else {}), **(initial or {})})
        self._settings = dict(start.settings) if start else {}
        for name, setting in self._settings.items():
            self._add_setting(name, setting)
        margins = {one.metric: one.margin for one in start.metrics} if start else {}
        for metric in METRICS:
            if metric not in NO_DIRECTION:
                self.fields[f"margin-{metric}"] = _margin(metric, margins.get(metric))

    def _add_setting(self, name: str, setting: Setting) -> None:
        if all(isinstance(one, NUMBER) and not isinstance(one, bool) for one in setting.allowed):
            for end, word in (("low", "from"), ("high", "to")):
                self.fields[f"{name}-{end}"] = forms.FloatField(
                    required=False,
                    label=f"{name}, {word}",
                    widget=forms.NumberInput(attrs=ANY),
                    error_messages={"invalid": "Give a number, or leave the range empty and name values."},
                )
        self.fields[f"{name}-allowed"] = forms.CharField(
            required=False,
            max_length=1_000,
            label=f"{name}, only",
            help_text="Values with commas between them; none, true and false are values.",
            initial=", ".join(_text(one) for one in setting.allowed),
        )

    def setting_rows(self) -> Iterator[SettingRow]:
        """The fields of every setting, for the page."""
        for name in self._settings:
            ends = [self[f"{name}-{end}"] if f"{name}-{end}" in self.fields else None for end in ("low", "high")]
            yield SettingRow(name, self[f"{name}-allowed"], *ends)

    def margin_fields(self) -> list[BoundField]:
        """One field for each metric, for the page."""
        return [self[name] for name in self.fields if name.startswith("margin-")]

    def clean_features(self) -> list[str]:
        """The columns, each once."""
        found = [line.strip() for line in self.cleaned_data["features"].splitlines() if line.strip()]
        twice = sorted({one for one in found if found.count(one) > 1})
        if twice:
            raise forms.ValidationError(f"{', '.join(twice)} stands there twice; name each column once.")
        return found

    def clean(self) -> dict[str, Any]:
        """Every setting has a range or values, and at least one metric is bounded."""
        data: dict[str, Any] = super().clean() or self.cleaned_data
        for name in self._settings:
            if not {f"{name}-low", f"{name}-high", f"{name}-allowed"} & self.errors.keys():
                self._check_setting(name, data)
        margins = [name for name in self.fields if name.startswith("margin-")]
        if all(data.get(name) is None and name not in self.errors for name in margins):
            self.add_error(margins[0], "Bound at least one metric: by how much it may be worse than the champion's.")
        return data

    def _check_setting(self, name: str, data: Mapping[str, Any]) -> None:
        low, high = data.get(f"{name}-low"), data.get(f"{name}-high")
        if _listed(data[f"{name}-allowed"]):
            if low is not None or high is not None:
                self.add_error(f"{name}-allowed", "Give either a range or values: empty one of the two.")
        elif f"{name}-low" not in self.fields:
            self.add_error(f"{name}-allowed", f"Name the values that {name} may have.")
        elif low is None or high is None:
            self.add_error(f"{name}-{'low' if low is None else 'high'}", "Give both ends of the range, or name values.")
        elif low > high:
            self.add_error(f"{name}-high", f"The range ends below its beginning: give {low:g} or more.")

    def bounds(self) -> dict[str, Any]:
        """The bounds as JSON types, as `bounds.parse` reads them."""
        data = self.cleaned_data
        plain = ("dataset", "recipe", "features", "algorithm", "worst_gap_at_most", "max_uses")
        return {name: data[name] for name in plain} | {
            "settings": {name: self._setting(name) for name in self._settings},
            "metrics": [
                {
                    "metric": metric,
                    "margin": data[f"margin-{metric}"],
                    "better": "lower" if metric in LOWER_IS_BETTER else "higher",
                }
                for metric in METRICS
                if data.get(f"margin-{metric}") is not None
            ],
        }

    def _setting(self, name: str) -> dict[str, Any]:
        if allowed := _listed(self.cleaned_data[f"{name}-allowed"]):
            return {"allowed": allowed}
        return {"low": self.cleaned_data[f"{name}-low"], "high": self.cleaned_data[f"{name}-high"]}


def _initial(start: Bounds) -> dict[str, Any]:
    plain = ("dataset", "recipe", "algorithm", "worst_gap_at_most", "max_uses")
    return {name: getattr(start, name) for name in plain} | {"features": "\n".join(start.features)}


def _margin(metric: str, start: float | None) -> forms.FloatField:
    worse = "above" if metric in LOWER_IS_BETTER else "below"
    outside = "A margin lies between 0 and 0.5; leave it empty to let the metric be as it will."
    return forms.FloatField(
        required=False,
        min_value=0,
        max_value=0.5,
        label=METRIC_NAMES[metric],
        initial=start,
        widget=forms.NumberInput(attrs=ANY),
        help_text=f"At most so much {worse} the champion's, by the worse end of the interval.",
        error_messages={"min_value": outside, "max_value": outside, "invalid": outside},
    )


def _text(value: Any) -> str:
    """A value as it is typed in a field."""
    return next((word for word, meant in WORDS.items() if meant is value), str(value))


def _listed(said: str) -> list[Any]:
    """The values that were typed with commas between them."""
    return [_value(one.strip()) for one in said.split(",") if one.strip()]


def _value(text: str) -> Any:
    """What was typed: a number, one of `WORDS`, or the text itself."""
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return text
    return found if isinstance(found, NUMBER) else text


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
