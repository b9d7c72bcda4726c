"""What people fill in about webhooks. Each form names its fields one by one: nothing else can be posted."""

from __future__ import annotations

from typing import Any

from django import forms

from foundation.states import look
from notices.models import Delivery, Webhook
from notices.webhooks.events import MLFLOW, Event

EVENTS = [
    ("Reviews and releases", [(str(one), f"{one}: {one.sentence}") for one in Event if one not in MLFLOW]),
    ("MLflow's model registry", [(str(one), f"{one}: {one.sentence}") for one in Event if one in MLFLOW]),
]


class WebhookForm(forms.Form):
    """A webhook to be made or changed."""

    name = forms.CharField(
        max_length=63, help_text="Letters, digits, dots, underscores and hyphens, for example deploy-pipeline."
    )
    url = forms.CharField(
        label="Address",
        max_length=1_000,
        help_text="Begins with https://. Only you see all of it; others see the host.",
        widget=forms.URLInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    events = forms.MultipleChoiceField(choices=EVENTS, widget=forms.CheckboxSelectMultiple)
    model_names = forms.CharField(
        label="Models",
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="One name a line. Empty: every model that you may see.",
    )
    description = forms.CharField(max_length=1_000, required=False)

    @classmethod
    def of(cls, webhook: Webhook) -> WebhookForm:
        """The form with what holds now."""
        return cls(
            initial={
                "name": webhook.name,
                "url": webhook.url,
                "events": webhook.events,
                "model_names": "\n".join(webhook.model_names),
                "description": webhook.description,
            }
        )

    def wanted(self) -> dict[str, Any]:
        """What was filled in, as the actions take it."""
        names = self.cleaned_data["model_names"].splitlines()
        return {**self.cleaned_data, "model_names": [one.strip() for one in names if one.strip()]}


class LogFilter(forms.Form):
    """What a delivery log is narrowed to."""

    state = forms.ChoiceField(
        required=False,
        choices=[("", "Every state"), *((one.value, look(one).label) for one in Delivery.State)],
    )
    event = forms.ChoiceField(required=False, choices=[("", "Every event"), *((str(one), str(one)) for one in Event)])
