"""What people fill in about people and service accounts. Each form names its fields one by one: nothing else can be posted."""

from __future__ import annotations

from django import forms
from django.contrib.auth.models import Group

from access.models import Role, User
from access.permissions import PEOPLE_ONLY, Permission
from access.tokens import MAX_TOKEN_DAYS

SCOPES = [(one.value, f"{one.value}: {one.label}") for one in Permission if one not in PEOPLE_ONLY]


class PeopleFilter(forms.Form):
    """What the list of people is narrowed to; everything is optional."""

    q = forms.CharField(label="Name", required=False, max_length=100, widget=forms.TextInput(attrs={"type": "search"}))
    group = forms.ModelChoiceField(Group.objects.order_by("name"), required=False, empty_label="All groups")
    role = forms.ModelChoiceField(Role.objects.order_by("name"), required=False, empty_label="All roles")
    state = forms.ChoiceField(
        choices=[("", "Active and inactive"), ("active", "Active"), ("inactive", "Inactive")], required=False
    )


class NewPerson(forms.Form):
    """A person to be created; roles and groups follow on the person's page."""

    username = forms.CharField(max_length=150, help_text="What they log in with; it cannot be changed later.")
    display_name = forms.CharField(label="Name", max_length=120, help_text="As it is printed beside their signatures.")
    email = forms.EmailField(label="E-mail")
    password = forms.CharField(
        label="First password",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="At least 10 characters, and no common password. They can change it under Your account.",
    )


class RoleChange(forms.Form):
    """One role to give or to take back."""

    role = forms.ModelChoiceField(Role.objects.order_by("name"))
    change = forms.ChoiceField(choices=[("assign", "Assign"), ("withdraw", "Withdraw")])


class GroupChange(forms.Form):
    """One group to join or to leave."""

    group = forms.ModelChoiceField(Group.objects.order_by("name"))
    change = forms.ChoiceField(choices=[("add", "Add"), ("remove", "Remove")])


class NewAccount(forms.Form):
    """A service account to be created."""

    name = forms.CharField(max_length=150, help_text="Letters, digits and . _ - @ +, for example scoring-api.")
    owner = forms.ModelChoiceField(
        User.objects.people().active().order_by("username"), help_text="The person who answers for what it does."
    )
    description = forms.CharField(max_length=300, required=False)


class NewToken(forms.Form):
    """A token to be issued."""

    name = forms.CharField(max_length=80, help_text="Where it will be used, for example “nightly batch on host 7”.")
    scopes = forms.MultipleChoiceField(
        choices=SCOPES,
        widget=forms.CheckboxSelectMultiple,
        help_text="The token can never do more than its account's roles; scopes narrow it further.",
    )
    models = forms.CharField(
        required=False,
        label="Only for these models",
        help_text="Exact names separated by commas; empty means every model that the account may use.",
    )
    days = forms.IntegerField(label="Valid for days", min_value=1, max_value=MAX_TOKEN_DAYS, initial=30)

    def clean_models(self) -> list[str]:
        """The names as a list, without blanks around them."""
        return [name.strip() for name in str(self.cleaned_data["models"]).split(",") if name.strip()]


def show_refusal(form: forms.Form, errors: dict[str, str], sentence: str) -> None:
    """Put the sentences of an `Invalid` beside the fields that they are about, the rest above the form."""
    named = {field: text for field, text in errors.items() if field in form.fields}
    for field, text in named.items():
        form.add_error(field, text)
    if not named:
        form.add_error(None, sentence)
