"""What a reader of the ledger may ask for."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from itertools import groupby

from django import forms
from django.contrib.auth import get_user_model

from audit.events import Action, Outcome
from audit.queries import Filter

OUTCOMES = {"": "Any outcome", Outcome.OK: "Done", Outcome.DENIED: "Refused", Outcome.ERROR: "Failed"}


def _action_choices() -> list[tuple[str, object]]:
    """All actions by what they are about, each group with a choice for the whole of it."""
    by_noun = groupby(sorted(Action), key=lambda action: action.noun)
    groups = [(noun.replace("_", " ").capitalize(), noun, list(actions)) for noun, actions in by_noun]
    return [
        ("", "Any action"),
        *(
            (title, [(f"{noun}.", f"{title}: any"), *((action.value, action.value) for action in actions)])
            for title, noun, actions in groups
        ),
    ]


class FilterForm(forms.Form):
    """The filters of the log, all optional; dates are days in UTC."""

    action = forms.ChoiceField(choices=_action_choices, required=False)
    actor = forms.CharField(required=False, max_length=200, label="Who (user name or id)")
    obj = forms.CharField(required=False, max_length=200, label="What (name or id)")
    outcome = forms.ChoiceField(choices=list(OUTCOMES.items()), required=False)
    since = forms.DateField(required=False, label="From", widget=forms.DateInput({"type": "date"}, format="%Y-%m-%d"))
    until = forms.DateField(required=False, label="To", widget=forms.DateInput({"type": "date"}, format="%Y-%m-%d"))

    def wanted(self) -> Filter:
        """The filter that was filled in; a field that is wrong does not narrow."""
        data = getattr(self, "cleaned_data", {})
        since, until = data.get("since"), data.get("until")
        return Filter(
            action=data.get("action", ""),
            actors=_identifiers(data.get("actor", "")),
            obj=data.get("obj", ""),
            outcome=data.get("outcome", ""),
            since=datetime.combine(since, time.min, UTC) if since else None,
            until=datetime.combine(until, time.min, UTC) + timedelta(days=1) if until else None,
        )


def _identifiers(actor: str) -> frozenset[str]:
    """What was typed, and the identifiers of people with that user name: the ledger itself names people by identifier only."""
    if not actor:
        return frozenset()
    people = get_user_model().objects.filter(username__iexact=actor)
    return frozenset({actor, *(ledger_ref().id for one in people if (ledger_ref := getattr(one, "ledger_ref", None)))})
