"""The page on which an auditor asks what stood at a moment, with the answer in words."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from access.models import User
from access.permissions import Permission, permit
from access.principal import Principal
from access.requests import principal_of
from countersign.proof.canonical import sha256_hex
from foundation.refusals import Invalid, NotFound, Refusal
from registry.models import Stage
from registry.queries import find_model
from reports.as_of import Json
from reports.as_of_answer import ask, encode
from reports.printing import printing

_TIMES: Final = frozenset({"at", "ends_at", "expires", "from", "until"})
_ACCOUNT: Final = re.compile(r"(?:person|service):[0-9a-f-]{36}")


class AsOfForm(forms.Form):
    """A model, a stage, and a moment in UTC."""

    model = forms.CharField(label="Model's name", max_length=128)
    stage = forms.ChoiceField()
    at = forms.DateTimeField(
        label="Moment (UTC)",
        widget=forms.DateTimeInput(format="%Y-%m-%dT%H:%M:%S", attrs={"type": "datetime-local", "step": "1"}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["stage"]
        field.choices = [(one.name, one.title) for one in Stage.objects.order_by("-order")]

    def clean_at(self) -> datetime:
        """In UTC, whatever zone the portal shows."""
        at: datetime = self.cleaned_data["at"]
        return at.replace(tzinfo=UTC)


@require_GET
def as_of(request: HttpRequest) -> HttpResponse:
    """The form, and the answer where something was asked."""
    by = principal_of(request)
    permit(by, Permission.SEE_AUDIT)
    form = AsOfForm(request.GET if "model" in request.GET else None)
    context: dict[str, Any] = {"form": form}
    if form.is_bound and form.is_valid():
        try:
            found = _asked(form, by)
        except Refusal as refusal:
            context["refusal"] = refusal
        else:
            context |= {
                "found": in_words(found),
                "download": _address("reports-api:as-of", found),
                "paper": _address("reports:as_of_pdf", found),
            }
    return render(request, "reports/as_of.html", context)


@require_GET
def as_of_pdf(request: HttpRequest) -> HttpResponse:
    """The answer on paper: identifiers and no names, so that the same question has the same bytes."""
    with printing():  # WeasyPrint takes a second to import, which no other page should wait for
        from reports.pdf import pdf_of, printed_answer

    by = principal_of(request)
    permit(by, Permission.SEE_AUDIT)
    form = AsOfForm(request.GET)
    if not form.is_valid():
        wrong = {name: " ".join(map(str, errors)) for name, errors in form.errors.items()}
        raise Invalid("Name a model, a stage and a moment in UTC, for example 2026-03-31T16:00:00.", errors=wrong)
    found = _asked(form, by)
    data = pdf_of(printed_answer(_shown(found, {}), sha256_hex(encode(found))))
    response = HttpResponse(data, content_type="application/pdf", headers={"Cache-Control": "private, no-store"})
    response["Content-Disposition"] = 'inline; filename="as-of.pdf"'
    return response


def _asked(form: AsOfForm, by: Principal) -> Json:
    asked = form.cleaned_data
    return ask(find_model(asked["model"], by), find_stage(asked["stage"]), asked["at"], by=by)


def find_stage(name: str) -> Stage:
    """The stage of this name; raises `NotFound` with those there are."""
    stage = Stage.objects.filter(name=name).first()
    if stage is None:
        names = ", ".join(Stage.objects.values_list("name", flat=True))
        raise NotFound(f"There is no stage “{name}”. The stages: {names}.", code="stage-unknown")
    return stage


def in_words(found: Json) -> Json:
    """The answer as the page shows it: accounts, of which it knows identifiers only, by what they are called today; times as times."""
    accounts = {one.partition(":")[2] for one in _strings(found) if _ACCOUNT.fullmatch(one)}
    names = {f"{user.kind}:{user.uuid}": str(user) for user in User.objects.filter(uuid__in=accounts)}
    shown: Json = _shown(found, names | {"system:clock": "the clock"})
    return shown


def _shown(value: Any, names: dict[str, str], key: str = "") -> Any:
    if isinstance(value, dict):
        return {("since" if name == "from" else name): _shown(one, names, name) for name, one in value.items()}
    if isinstance(value, list):
        return [_shown(one, names) for one in value]
    if isinstance(value, str) and key in _TIMES:
        return datetime.fromisoformat(value)
    return names.get(value, value) if isinstance(value, str) else value


def _strings(value: Any) -> set[str]:
    if isinstance(value, str):
        return {value}
    if isinstance(value, dict):
        value = [one for key, one in value.items() if key not in {"receipts", "read"}]
    return set().union(*map(_strings, value)) if isinstance(value, list) and value else set()


def _address(name: str, found: Json) -> str:
    return f"{reverse(name)}?{urlencode(found['question'])}"
