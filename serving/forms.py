"""What the portal's pages about deployments ask for."""

from __future__ import annotations

from typing import Any

from django import forms

from access.models import User
from access.permissions import Permission, visible_to
from access.principal import Principal
from registry.models import RegisteredModel, Stage


class DeploymentForm(forms.Form):
    """A new scoring endpoint."""

    name = forms.SlugField(max_length=63, help_text="Callers use it in the address: small letters, digits and hyphens.")
    model = forms.ModelChoiceField(RegisteredModel.objects.none(), empty_label="Choose a model")
    stage = forms.ModelChoiceField(
        Stage.objects.order_by("-order"),
        empty_label=None,
        help_text="The worker serves whatever is live in this stage.",
    )
    address = forms.URLField(
        required=False,
        max_length=200,
        assume_scheme="https",
        help_text="Where callers find the worker, such as http://localhost:8100.",
    )
    worker = forms.ModelChoiceField(
        User.objects.none(),
        required=False,
        empty_label="Any service account that may pull the model",
        help_text="The service account with which the worker runs; only it may report for the deployment.",
    )

    def __init__(self, *args: Any, by: Principal, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        models: forms.ModelChoiceField[RegisteredModel] = self.fields["model"]  # type: ignore[assignment]  # declared above
        workers: forms.ModelChoiceField[User] = self.fields["worker"]  # type: ignore[assignment]  # declared above
        models.queryset = visible_to(RegisteredModel.objects.current(), by, Permission.SEE_MODEL)
        workers.queryset = User.objects.services().active().order_by("username")

    @property
    def has_models(self) -> bool:
        """Whether there is anything to deploy."""
        models: forms.ModelChoiceField[RegisteredModel] = self.fields["model"]  # type: ignore[assignment]  # declared above
        return models.queryset is not None and models.queryset.exists()


class ReasonForm(forms.Form):
    """Why the kill switch is moved."""

    reason = forms.CharField(
        min_length=5,
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Kept in the audit log, and shown to callers while paused.",
    )
