"""What people fill in about monitoring: limits, outcomes, a note on an alert."""

from __future__ import annotations

from django import forms

from monitoring.models import Thresholds


class ThresholdsForm(forms.ModelForm[Thresholds]):
    """A deployment's limits; `monitoring.actions.set_thresholds` judges them."""

    class Meta:
        model = Thresholds
        fields = (
            "psi_warn",
            "psi_fail",
            "auc_drop_warn",
            "auc_drop_fail",
            "minimum_rows",
            "minimum_outcomes",
            "window_seconds",
        )
        labels = {
            "psi_warn": "PSI, warning from",
            "psi_fail": "PSI, failure from",
            "auc_drop_warn": "Fall of AUC, warning from",
            "auc_drop_fail": "Fall of AUC, failure from",
            "minimum_rows": "Rows to judge drift",
            "minimum_outcomes": "Outcomes to judge AUC",
            "window_seconds": "Window, in seconds",
        }
        help_texts = {"window_seconds": "3600 is an hour, 86400 a day. Holds for predictions counted from now on."}

    def _post_clean(self) -> None:
        """Leave the model's constraints to the action, which explains them."""

    def limits(self) -> dict[str, float]:
        """What was entered, by name."""
        return {name: self.cleaned_data[name] for name in self.Meta.fields}


class OutcomesForm(forms.Form):
    """A file of outcomes."""

    file = forms.FileField(
        label="Outcomes",
        help_text="CSV with the columns id and label (0 or 1), or JSON: a list of {“id”, “label”}.",
        widget=forms.ClearableFileInput(attrs={"accept": ".csv,.json,text/csv,application/json"}),
    )


class NoteForm(forms.Form):
    """What somebody makes of an alert."""

    note = forms.CharField(label="What you make of it", max_length=2_000, widget=forms.Textarea(attrs={"rows": 2}))
