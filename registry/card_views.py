"""The pages of a model card: what it says beside what evidence says, the form that revises it, its history and differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from access.forms import show_refusal
from access.permissions import Permission
from access.requests import principal_of
from foundation.numbers import whole_number
from foundation.refusals import Refusal
from registry import actions, cards, queries
from registry.card_facts import Block, blocks, drafted, is_newer
from registry.forms import CardForm
from registry.models import ModelCardRevision, ModelVersion


@dataclass(frozen=True)
class Shown:
    """One section as the page shows it. `newer`: evidence came after these words; `as_before`: they are those of the version before."""

    section: cards.Section
    text: str
    block: Block | None
    newer: bool
    as_before: bool


@require_http_methods(["GET", "POST"])
def card(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """The model card of a version. `?insert=<section>` puts what evidence says into the draft, `?from=&to=` compares revisions."""
    by = principal_of(request)
    version = queries.find_version(name, number, by)
    if request.method == "POST" and "restore" in request.POST:
        return _restore(request, version)
    revisions = list(version.card_revisions.select_related("author").order_by("-number"))
    newest = revisions[0] if revisions else None
    before = _card_before(version)
    known = _blocks(version)
    sections: dict[str, str] = dict(newest.sections) if newest else {}
    start = sections if newest else dict(before.sections) if before else {}
    form = CardForm(request.POST or None, initial=drafted(start, request.GET.getlist("insert"), known))
    if request.method == "POST" and form.is_valid() and _revised(request, version, form):
        return redirect("registry:card", version.model.name, version.number)
    missing = cards.missing(sections)
    context = {
        "version": version,
        "model": version.model,
        "card_completeness": cards.completeness(sections),
        "form": form,
        "newest": newest,
        "before": before,
        "drafting": not newest and before is not None,
        "shown": _shown(sections, known, revisions, before),
        "inserted": [key for key in request.GET.getlist("insert") if key in known],
        "missing": missing,
        "done": len(cards.SECTIONS) - len(missing),
        "total": len(cards.SECTIONS),
        "revisions": revisions,
        "may_edit": by.allows(Permission.EDIT_MODEL, version.model),
    } | _difference(request, revisions)
    return render(request, "registry/card.html", context, status=400 if form.errors else 200)


def _revised(request: HttpRequest, version: ModelVersion, form: CardForm) -> bool:
    try:
        revision = actions.revise_card(version, form.cleaned_data, by=principal_of(request))
    except Refusal as refusal:
        if refusal.status not in (400, 409):
            raise
        show_refusal(form, getattr(refusal, "errors", {}), refusal.detail)
        return False
    _say_saved(request, revision)
    return True


def _restore(request: HttpRequest, version: ModelVersion) -> HttpResponse:
    number = whole_number(request.POST["restore"]) or 0
    revision = actions.restore_card(version, number, by=principal_of(request))
    messages.success(request, f"The card says again what revision {number} said.")
    _say_saved(request, revision)
    return redirect("registry:card", version.model.name, version.number)


def _say_saved(request: HttpRequest, revision: ModelCardRevision) -> None:
    messages.success(
        request, f"Revision {revision.number} is saved. Sign-offs that answer for the card ask for a new look."
    )


def _card_before(version: ModelVersion) -> ModelCardRevision | None:
    """The newest card of the nearest version before that has one: where a new card starts from."""
    rows = ModelCardRevision.objects.filter(version__model=version.model, version__number__lt=version.number)
    return rows.select_related("version").order_by("-version__number", "-number").first()


def _blocks(version: ModelVersion) -> dict[str, Block]:
    evidence = queries.evidence_of(version)
    return blocks(evidence, owner=str(version.model.owner), intended_use=version.model.intended_use)


def _shown(
    sections: Mapping[str, str],
    known: Mapping[str, Block],
    revisions: Sequence[ModelCardRevision],
    before: ModelCardRevision | None,
) -> list[Shown]:
    written = cards.last_written(revisions)
    return [
        Shown(
            section,
            sections.get(section.key, ""),
            known.get(section.key),
            bool(sections.get(section.key))
            and section.key in known
            and is_newer(known[section.key], written.get(section.key)),
            bool(
                before and sections.get(section.key) and sections.get(section.key) == before.sections.get(section.key)
            ),
        )
        for section in cards.SECTIONS
    ]


def _difference(request: HttpRequest, revisions: Sequence[ModelCardRevision]) -> dict[str, Any]:
    """What changed between two revisions: those asked for, else the newest and the one before it."""
    by_number: dict[int, Any] = {revision.number: revision.sections for revision in revisions} | {0: {}}
    newest = revisions[0].number if revisions else 0
    after = _number(request, "to", "revision", known=by_number, default=newest)
    earlier = _number(request, "from", known=by_number, default=max(0, after - 1))
    return {
        "compared_to": after,
        "compared_from": earlier,
        "difference": cards.difference(by_number[earlier], by_number[after]) if revisions else [],
    }


def _number(request: HttpRequest, *names: str, known: Mapping[int, Any], default: int) -> int:
    asked = next((whole_number(request.GET[name]) for name in names if name in request.GET), None)
    return asked if asked is not None and asked in known else default
