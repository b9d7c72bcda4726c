"""What people fill in about models, aliases and cards. Each form names its fields one by one: nothing else can be posted."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.models import Group

from access.catalogue import GRANTED_BY_ADMINISTRATORS
from access.models import User
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


class GrantForm(forms.Form):
    """Who is to get, or to lose, which permission on one model. `holder` is `user:<uuid>` or `group:<id>`."""

    def __init__(self, *args: Any, by: Principal, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.people = {f"user:{user.uuid}": user for user in User.objects.active().order_by("kind", "username")}
        self.groups = {f"group:{group.pk}": group for group in Group.objects.order_by("name")}
        self.fields["holder"] = forms.ChoiceField(
            label="Who",
            help_text="A person, a service account, or everybody in a group.",
            choices=[
                ("", "Choose…"),
                ("Groups", [(key, group.name) for key, group in self.groups.items()]),
                ("People", [(key, str(user)) for key, user in self.people.items() if user.is_person]),
                ("Service accounts", [(key, str(user)) for key, user in self.people.items() if not user.is_person]),
            ],
        )
        beyond = frozenset() if by.allows(Permission.MANAGE_PEOPLE) else GRANTED_BY_ADMINISTRATORS
        offered = [(one.value, one.label) for one in Permission if one.on_models and one not in beyond]
        self.fields["permission"] = forms.ChoiceField(label="May", choices=[("", "Choose…"), *offered])

    def chosen(self) -> tuple[Permission, User | Group]:
        """The permission and its holder, from valid data."""
        holder = self.cleaned_data["holder"]
        return Permission(self.cleaned_data["permission"]), (self.people | self.groups)[holder]


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


def show_refusal(form: forms.Form, errors: dict[str, str], detail: str) -> None:
    """Put a refusal's sentences beside the fields they are about, the rest on top."""
    named = {field: text for field, text in errors.items() if field in form.fields}
    for field, text in named.items():
        form.add_error(field, text)
    if not named:
        form.add_error(None, detail)
