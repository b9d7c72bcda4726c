"""What a reader of the ledger may ask for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any, Final, NoReturn

from django import forms
from django.contrib.auth import get_user_model
from django.http import QueryDict

from audit.events import Action, Outcome
from audit.places import known_kinds
from audit.search import Filter, object_kinds
from foundation.refusals import Invalid

OUTCOMES: Final = {"": "Any outcome", Outcome.OK: "Done", Outcome.DENIED: "Refused", Outcome.ERROR: "Failed"}
FILTERS: Final = ("action", "actor", "obj", "kind", "outcome", "since", "until", "request")
_LARGEST: Final = 2**53
_MINUTE: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d")


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


def _kind_choices() -> list[tuple[str, str]]:
    kinds = sorted({*known_kinds(), *object_kinds()})
    return [("", "Anything"), *((kind, kind.replace("_", " ").capitalize()) for kind in kinds)]


class _MomentInput(forms.DateTimeInput):
    """The browser's own control for a moment; plain text for what it could not show, so that one sees what one wrote."""

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        """Chosen by the value."""
        context: dict[str, Any] = super().get_context(name, value, attrs)
        readable = not value or _MINUTE.fullmatch(str(value))
        context["widget"]["type"] = "datetime-local" if readable else "text"
        return context


class MomentField(forms.CharField):
    """A minute in UTC, or a day; `last` reads a day as its last minute, so that a range of days includes both."""

    widget = _MomentInput

    def __init__(self, *, label: str, last: bool) -> None:
        super().__init__(label=label, required=False, max_length=40)
        self.last = last

    def bound_data(self, data: Any, initial: Any) -> Any:
        """What was asked for, as the browser's control writes it."""
        moment = self._read(str(data or ""))
        return f"{moment:%Y-%m-%dT%H:%M}" if moment else super().bound_data(data, initial)

    def clean(self, value: Any) -> datetime | None:
        """The moment, or None."""
        text = super().clean(value)
        if not text:
            return None
        moment = self._read(text)
        if moment is None:
            raise forms.ValidationError("Enter a day or a minute in UTC, such as 2026-11-23 or 2026-11-23T14:30.")
        return moment

    def _read(self, text: str) -> datetime | None:
        try:
            moment = datetime.fromisoformat(text.strip())
        except ValueError:
            return None
        if self.last and len(text.strip()) <= 10:
            moment = moment.replace(hour=23, minute=59)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Chip:
    """One filter that is on: what it says, and the query without it."""

    label: str
    value: str
    query: str


class FilterForm(forms.Form):
    """The filters of the log, all optional, and where to go on; times are in UTC, the last minute included."""

    action = forms.ChoiceField(choices=_action_choices, required=False)
    actor = forms.CharField(required=False, max_length=200, label="Who (user name or id)")
    kind = forms.ChoiceField(choices=_kind_choices, required=False, label="Kind of thing")
    obj = forms.CharField(required=False, max_length=200, label="What (name or id)")
    outcome = forms.ChoiceField(choices=list(OUTCOMES.items()), required=False)
    since = MomentField(label="From (UTC)", last=False)
    until = MomentField(label="To (UTC)", last=True)
    request = forms.CharField(required=False, max_length=200, label="Request id")
    before = forms.IntegerField(required=False, min_value=0, max_value=_LARGEST, widget=forms.HiddenInput)
    after = forms.IntegerField(required=False, min_value=0, max_value=_LARGEST, widget=forms.HiddenInput)

    def clean(self) -> dict[str, Any]:
        """A kind narrows a name; a range runs forwards."""
        given = self.cleaned_data
        if given.get("kind") and "obj" in given and not given["obj"]:
            self.add_error("obj", "Give a name or an id too, or choose a group of actions instead of a kind.")
        since, until = given.get("since"), given.get("until")
        if since and until and since > until:
            self.add_error("until", "This is before the beginning of the range.")
        return given

    def wanted(self) -> Filter:
        """The filter that was filled in; only for a form that is valid."""
        data = self.cleaned_data
        return Filter(
            action=data["action"],
            actors=_identifiers(data["actor"]),
            obj=data["obj"],
            obj_kind=data["kind"],
            outcome=data["outcome"],
            since=data["since"],
            until=data["until"] + timedelta(minutes=1) if data["until"] else None,
            request=data["request"],
        )

    @property
    def filtered(self) -> bool:
        """Whether anything was filled in."""
        return any(self.data.get(name) for name in FILTERS)

    def query(self, **changed: object) -> str:
        """The filters as the query of an address, `changed` taken over and empty ones left out."""
        query = QueryDict(mutable=True)
        for name, value in {name: self.data.get(name) for name in FILTERS}.items():
            if value and name not in changed:
                query[name] = str(value)
        for name, new in changed.items():
            if new not in ("", None):
                query[name] = str(new)
        return query.urlencode()

    def chips(self) -> Iterator[Chip]:
        """What is on, each with the address that leaves it out."""
        for name in FILTERS:
            value = self.data.get(name)
            if value and name not in self.errors:
                field = self.fields[name]
                label = str(field.label or name.capitalize()).partition(" (")[0]
                yield Chip(label, self._shown(name, str(value)), self.query(**{name: ""}))

    def _shown(self, name: str, value: str) -> str:
        if name == "outcome":
            return OUTCOMES[value]
        if isinstance(self.fields[name], MomentField):
            return f"{self.cleaned_data[name]:%Y-%m-%d %H:%M} UTC"
        return f"any {value[:-1].replace('_', ' ')}" if name == "action" and value.endswith(".") else value

    def recorded(self) -> dict[str, str]:
        """The filters as an entry of the ledger names them."""
        return {name: str(self.data[name]) for name in FILTERS if self.data.get(name)}

    def refuse(self) -> NoReturn:
        """Say what is wrong where there is no page to say it on."""
        said = {name: str(errors[0]) for name, errors in self.errors.items()}
        raise Invalid(
            "The filter cannot be read: " + " ".join(f"{name}: {text}" for name, text in said.items()), errors=said
        )


def _identifiers(actor: str) -> frozenset[str]:
    """What was typed, and the identifiers of people with that user name: the ledger itself names people by identifier only."""
    if not actor:
        return frozenset()
    people = get_user_model().objects.filter(username__iexact=actor)
    return frozenset({actor, *(ledger_ref().id for one in people if (ledger_ref := getattr(one, "ledger_ref", None)))})
