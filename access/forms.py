"""What people fill in about accounts, groups and roles. Each form names its fields one by one: nothing else can be posted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django import forms
from django.contrib.auth.models import Group

from access.holders import Holder
from access.models import Role, User
from access.permissions import PEOPLE_ONLY, Permission
from access.tokens import MAX_TOKEN_DAYS
from foundation.refusals import Invalid

PERMISSIONS = [(one.value, f"{one.value}: {one.label}") for one in Permission]
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
    """One role to give or to take back; with a team, on that team's models only."""

    role = forms.ModelChoiceField(Role.objects.order_by("name"))
    team = forms.ModelChoiceField(Group.objects.order_by("name"), required=False)
    change = forms.ChoiceField(choices=[("assign", "Assign"), ("withdraw", "Withdraw")])


class GroupChange(forms.Form):
    """One group to join or to leave."""

    group = forms.ModelChoiceField(Group.objects.order_by("name"))
    change = forms.ChoiceField(choices=[("add", "Add"), ("remove", "Remove")])


class MemberChange(forms.Form):
    """One person to join the group or to leave it."""

    person = forms.ModelChoiceField(User.objects.people(), to_field_name="uuid")
    change = forms.ChoiceField(choices=[("add", "Add"), ("remove", "Remove")])


class HolderForm(forms.Form):
    """Who is to get, or to lose, something: an account or a group, as `user:<uuid>` or `group:<id>`."""

    def __init__(self, *args: Any, people_only: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        users = list(User.objects.active().order_by("kind", "username"))
        people = {f"user:{user.uuid}": user for user in users if user.is_person}
        services = {} if people_only else {f"user:{user.uuid}": user for user in users if not user.is_person}
        groups = {} if people_only else {f"group:{group.pk}": group for group in Group.objects.order_by("name")}
        self._holders: dict[str, Holder] = {**people, **services, **groups}
        offered = (("Groups", groups), ("People", people), ("Service accounts", services))
        self.fields["holder"] = forms.ChoiceField(
            label="Who",
            choices=[
                ("", "Choose…"),
                *((title, [(key, str(one)) for key, one in of.items()]) for title, of in offered if of),
            ],
        )

    def holder(self) -> Holder:
        """The account or group, from valid data."""
        return self._holders[self.cleaned_data["holder"]]


class GroupName(forms.Form):
    """What a group is called."""

    name = forms.CharField(max_length=80, help_text="For example Retail lending, or Model validation.")


class GroupFilter(forms.Form):
    """What the list of groups is narrowed to."""

    q = forms.CharField(label="Name", required=False, max_length=100, widget=forms.TextInput(attrs={"type": "search"}))


class RoleFilter(forms.Form):
    """What the table of roles is narrowed to: roles or permissions by part of their name."""

    q = forms.CharField(
        label="Role or permission", required=False, max_length=100, widget=forms.TextInput(attrs={"type": "search"})
    )


class EditRole(forms.Form):
    """What a role lets its holders do."""

    description = forms.CharField(max_length=300, required=False, help_text="Who is to hold it, in one sentence.")
    permissions = forms.MultipleChoiceField(
        choices=PERMISSIONS,
        widget=forms.CheckboxSelectMultiple,
        required=False,
        label="Its holders may",
        help_text="None of these lets anybody sign: that takes membership in a group that a policy names.",
    )
    gives = forms.MultipleChoiceField(
        choices=PERMISSIONS,
        widget=forms.CheckboxSelectMultiple,
        required=False,
        label="Its holders may give to others",
        help_text="Without having it themselves. Whatever they have they may give anyway, if they manage people or access.",
    )


class NewRole(EditRole):
    """A role of one's own."""

    name = forms.CharField(max_length=80, help_text="After what its holders do. It cannot be changed later.")
    field_order = ("name", "description", "permissions", "gives")


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


T = TypeVar("T")


def accepted(form: forms.Form, act: Callable[[], T]) -> T | None:
    """What the action makes of the form; None where it finds the input invalid, and its sentences stand in the form."""
    try:
        return act()
    except Invalid as refusal:
        show_refusal(form, refusal.errors, refusal.detail)
        return None


def show_refusal(form: forms.Form, errors: dict[str, str], sentence: str) -> None:
    """Put the sentences of an `Invalid` beside the fields that they are about, the rest above the form."""
    named = {field: text for field, text in errors.items() if field in form.fields}
    for field, text in named.items():
        form.add_error(field, text)
    if not named:
        form.add_error(None, sentence)
