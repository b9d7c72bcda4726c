"""What people fill in: field by field, with the sentence that is shown beside a field that is wrong. Actions check again."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, time
from typing import Any

from django import forms

from access import passkeys
from access.models import Reauthentication, User
from access.stepup import methods_of
from foundation.refusals import Invalid, Refusal
from registry.models import Stage
from reviews.condition_forms import ConditionRows
from reviews.conditions import Condition
from reviews.models import PolicySignature, SignOff
from reviews.people import Choice
from reviews.statements import MEANINGS

PROOF_LABELS = {
    "password": "Confirm that it is you: your password",
    "totp": "Confirm that it is you: the code of your authenticator",
}
SECRET_NAMES = {"password": "Password", "totp": "Authenticator code"}


class ReauthenticatedForm(forms.Form):
    """A form that ends in a signature, given through `reviews.views.confirming`; drawn by `reviews/_confirm.html`.

    `accepted` lists the methods that the rules of the decision allow (`rules.reauthentication`); None: every one. Secrets are
    checked once and never shown again.
    """

    method = forms.CharField(required=False, widget=forms.HiddenInput)
    secret = forms.CharField(required=False, strip=False, widget=forms.PasswordInput)
    assertion = forms.JSONField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, person: User, accepted: Collection[str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.person, self.accepted = person, accepted
        self.offered = [one.value for one in methods_of(person) if accepted is None or one in accepted]
        self.by_secret = next((one for one in self.offered if one in PROOF_LABELS), "")
        self.fields["secret"].label = f"{PROOF_LABELS.get(self.by_secret, '')} ({person.username})"
        code = self.by_secret == Reauthentication.Method.TOTP
        self.fields["secret"].widget.attrs |= {"autocomplete": "one-time-code" if code else "current-password"}
        if code:
            self.fields["secret"].widget.attrs["inputmode"] = "numeric"

    @property
    def offers_passkey(self) -> bool:
        """Whether the person may confirm with a passkey of theirs."""
        return "passkey" in self.offered

    @property
    def secret_name(self) -> str:
        """What the other way is called beside the passkey."""
        return SECRET_NAMES.get(self.by_secret, "")

    @property
    def origin(self) -> str:
        """The address at which passkeys work."""
        return passkeys.origin()

    @property
    def preparing(self) -> bool:
        """Whether the passkey's script asks for the challenge, before anything is signed."""
        return bool(self.data.get("prepare") == "passkey")

    @property
    def chosen(self) -> str:
        """How the person confirms: what they chose where it is offered, else the way that works without a script."""
        wanted = self.data.get("method", "")
        return wanted if wanted in self.offered else self.by_secret or "".join(self.offered[:1])

    @property
    def why_no_method(self) -> str:
        """What stands in the place of the confirmation where the person has none of the accepted methods; empty where they have one."""
        return "" if self.offered else why_no_method(self.accepted or ())

    def clean(self) -> dict[str, Any]:
        """A secret has to be there, unless the passkey's challenge is being asked for."""
        values = super().clean() or {}
        if self.preparing or not self.offered:
            return values
        if self.chosen != "passkey" and not values.get("secret"):
            self.add_error("secret", "Confirm that it is you before you sign.")
        return values


def why_no_method(accepted: Collection[str]) -> str:
    """The sentence for a person who has none of the accepted methods."""
    if "passkey" in accepted:
        return "The rules of this decision ask for a passkey, and you have none yet. Add one on your own page, then come back."
    if "totp" in accepted:
        return "The rules of this decision ask for the code of an authenticator app. Set one up on your own page, then come back."
    if "identity_provider" in accepted:
        return "The rules of this decision ask for a new login at your identity provider, and none is connected to this installation."
    return "The rules of this decision ask for your password alone, and your account uses an authenticator app instead."


class SignatureForm(ReauthenticatedForm):
    """What every signature asks for: a reason and the intent. The decision that it is for stands first."""

    reason = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 3}),
        max_length=10_000,
        help_text="Kept with the signature, and shown wherever it is.",
        error_messages={"required": "Give the reason for your decision."},
    )
    intent = forms.BooleanField(
        label="I intend this electronic signature to be the equivalent of my handwritten signature.",
        error_messages={"required": "Confirm your intent to sign."},
    )
    field_order = ("decision", "reason", "intent")


class SignForm(SignatureForm):
    """The signature dialog, and the same as a page."""

    decision = forms.ChoiceField(
        choices=[(decision.value, decision.label) for decision in MEANINGS],
        widget=forms.RadioSelect,
        label="Meaning of your signature",
        error_messages={"required": "Choose what your signature means."},
    )
    slot = forms.CharField(widget=forms.HiddenInput)
    expected_subject = forms.CharField(widget=forms.HiddenInput, max_length=64)
    idempotency_key = forms.CharField(widget=forms.HiddenInput, min_length=8, max_length=64)
    expected_round = forms.IntegerField(widget=forms.HiddenInput, required=False)
    on_behalf_of = forms.ChoiceField(required=False, widget=forms.RadioSelect, label="In whose name")

    @staticmethod
    def fresh(slot: str, subject: str, decision: str = "", *, round_number: int | None = None) -> dict[str, Any]:
        """Values for a form that is shown for the first time."""
        known = decision if decision in SignOff.Decision.values else ""
        return {
            "slot": slot,
            "expected_subject": subject,
            "idempotency_key": uuid.uuid4().hex,
            "decision": known,
            "expected_round": round_number,
        }

    def __init__(
        self, *args: Any, rows: ConditionRows | None = None, choices: Sequence[Choice] = (), **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.rows = rows
        self.choices = choices
        names = [(str(one.delegation.delegator.uuid) if one.delegation else "") for one in choices]
        self.fields["on_behalf_of"].choices = [(name, name) for name in names]  # type: ignore[attr-defined]  # a ChoiceField
        self.fields["on_behalf_of"].initial = next(iter(names), "")

    @property
    def names(self) -> list[tuple[str, str, str, bool]]:
        """In whose name the person may sign, where that is not theirs alone: value, words, sentence, and whether it is chosen."""
        if not any(one.delegation for one in self.choices):
            return []
        chosen = self["on_behalf_of"].value() or ""
        return [
            (
                str(one.delegation.delegator.uuid) if one.delegation else "",
                f"For {one.delegation.delegator}" if one.delegation else "In your own name",
                f"As {one.delegation.group.name}, until {one.delegation.ends_at:%d %b %Y}. The record says that you signed for them."
                if one.delegation
                else one.eligibility.reason,
                chosen == (str(one.delegation.delegator.uuid) if one.delegation else ""),
            )
            for one in self.choices
        ]

    @property
    def meanings(self) -> list[tuple[str, str, str]]:
        """Value, word and sentence of every choice; conditions only where there is room for them (`rows`)."""
        return [
            (decision.value, decision.label, sentence)
            for decision, sentence in MEANINGS.items()
            if self.rows is not None or decision != SignOff.Decision.APPROVE_WITH_CONDITIONS
        ]

    @property
    def conditions(self) -> list[Condition]:
        """What an approval with conditions asks for; nothing with another decision."""
        conditional = self.cleaned_data.get("decision") == SignOff.Decision.APPROVE_WITH_CONDITIONS
        return self.rows.conditions() if self.rows is not None and conditional else []

    def clean(self) -> dict[str, Any]:
        """The rows of conditions are read with the decision that carries them, and only then."""
        values = super().clean()
        conditional = values.get("decision") == SignOff.Decision.APPROVE_WITH_CONDITIONS
        if conditional and self.rows is not None and not self.rows.is_valid():
            raise forms.ValidationError("A condition is not complete; see below.")
        return values


class RevokeForm(ReauthenticatedForm):
    """Taking an approval back."""

    reason = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 3}),
        max_length=10_000,
        help_text="Signed, and shown to everybody who used the version.",
        error_messages={"required": "Give the reason: it is signed, and everyone who used the version will read it."},
    )
    field_order = ("reason", "secret")


class RequestForm(forms.Form):
    """Asking for a review."""

    stage = forms.ModelChoiceField(
        queryset=Stage.objects.order_by("-order"), to_field_name="name", empty_label=None, label="For which stage"
    )
    why = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 5}),
        max_length=10_000,
        label="Why this version",
        help_text="What is new, what stays the same, what reviewers should look at. They read it first.",
        error_messages={"required": "Say why this version: reviewers read it first."},
    )
    due = forms.DateField(
        required=False,
        label="Decision wanted by",
        widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}),
        help_text="Without a date the policy's own time applies.",
    )

    def due_at(self) -> datetime | None:
        """The end of the day that was chosen, in UTC."""
        day = self.cleaned_data.get("due")
        return datetime.combine(day, time(23, 59), tzinfo=UTC) if day else None


class ReasonForm(forms.Form):
    """A reason alone: taking a decision back, dismissing a request for changes."""

    reason = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 3}),
        max_length=10_000,
        error_messages={"required": "Give the reason; it is kept with the record."},
    )


class PolicySignForm(SignatureForm):
    """A decision on a proposed policy."""

    decision = forms.ChoiceField(
        choices=PolicySignature.Decision.choices,
        widget=forms.RadioSelect,
        label="Meaning of your signature",
        error_messages={"required": "Choose what your signature means."},
    )
    expected_rehearsal = forms.CharField(required=False, widget=forms.HiddenInput, max_length=64)


def show_refusal(form: forms.Form, refusal: Refusal) -> None:
    """Put a refusal beside the fields that it names, or over the form."""
    errors = refusal.errors if isinstance(refusal, Invalid) else {}
    for field, sentence in errors.items():
        # A moment is asked for as a day: what is said of `due_at` belongs beside `due`.
        beside = next((one for one in (field, field.removesuffix("_at")) if one in form.fields), None)
        place = field.replace("_", " ")
        form.add_error(
            beside, sentence if beside else f"{place[:1].upper()}{place[1:]}: {sentence.removeprefix(f'{field}: ')}"
        )
    if not errors:
        form.add_error(None, refusal.detail)
