"""What people fill in about models, aliases and cards. Each form names its fields one by one: nothing else can be posted."""

from __future__ import annotations

from typing import Any

from django import forms

from access.catalogue import GRANTED_BY_ADMINISTRATORS
from access.forms import HolderForm
from access.permissions import Permission
from access.principal import Principal
from registry import cards
from registry.models import RegisteredModel


class ModelFilter(forms.Form):
    """What the list of models is narrowed to; everything is optional."""

    q = forms.CharField(
        label="Name or use", required=False, max_length=200, widget=forms.TextInput(attrs={"type": "search"})
    )
    tier = forms.TypedChoiceField(
        label="Risk tier", required=False, coerce=int, choices=[("", "All tiers"), *RegisteredModel.Tier.choices]
    )
    standing = forms.ChoiceField(
        required=False,
        choices=[
            ("", "Any"),
            ("production", "In production"),
            ("review", "Something in review"),
            ("idle", "Nothing in production"),
            ("archived", "Archived"),
        ],
    )
    owner = forms.ChoiceField(required=False, choices=[("", "Anybody"), ("me", "Me")])


class NewModel(forms.Form):
    """A model to be registered."""

    name = forms.CharField(
        max_length=128,
        help_text="As callers will write it, for example employment. It cannot be changed later: signatures carry it.",
    )
    tier = forms.TypedChoiceField(
        label="Risk tier",
        coerce=int,
        choices=RegisteredModel.Tier.choices,
        initial=RegisteredModel.Tier.HIGH,
        help_text="How much harm a wrong answer can do. It decides which policy applies, and can only become stricter later.",
    )
    intended_use = forms.CharField(
        label="Intended use",
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Which decision does it support, and for whom?",
    )
    description = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 3}))


class GrantForm(HolderForm):
    """Who is to get, or to lose, which permission on one model."""

    def __init__(self, *args: Any, by: Principal, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["holder"].help_text = "A person, a service account, or everybody in a group."
        beyond = frozenset() if by.allows(Permission.MANAGE_PEOPLE) else GRANTED_BY_ADMINISTRATORS
        offered = [(one.value, one.label) for one in Permission if one.on_models and one not in beyond]
        self.fields["permission"] = forms.ChoiceField(label="May", choices=[("", "Choose…"), *offered])

    def permission(self) -> Permission:
        """The permission, from valid data."""
        return Permission(self.cleaned_data["permission"])


class AliasForm(forms.Form):
    """Where a free alias is to point."""

    name = forms.CharField(
        label="Alias",
        max_length=80,
        help_text="For example shadow or candidate. The aliases of stages move by promotion only.",
    )

    def __init__(self, *args: Any, model: RegisteredModel, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        versions = model.versions.usable().select_related("model").order_by("-number")
        self.fields["version"] = forms.ModelChoiceField(versions, empty_label=None)


class CardForm(forms.Form):
    """Every section of a model card."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for section in cards.SECTIONS:
            self.fields[section.key] = forms.CharField(
                label=section.title,
                help_text=section.question,
                required=False,
                max_length=cards.MAX_SECTION_CHARACTERS,
                widget=forms.Textarea(attrs={"rows": 4}),
            )
