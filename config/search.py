"""The palette and the search page: what matches, grouped by kind, and the places that one can go to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

from django.core.paginator import Page, Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from access.permissions import Permission
from access.principal import Principal
from access.requests import principal_of, reader_of
from audit.actions import append_alone
from audit.events import Action, Obj
from config.search_kinds import KINDS, Hit, Kind
from foundation.navigation import entries_for

LONGEST: Final = 100
IN_PALETTE: Final = 5
ON_PAGE: Final = 8
PER_PAGE: Final = 25
PLACES: Final = (
    ("Go to notifications", "bell", "notices:list"),
    ("Go to your account", "user", "access:me"),
    ("Verify a release", "certificate", "reports:verify"),
    ("API documentation", "code", "api-docs"),
)
DEEDS: Final = (
    (Permission.CREATE_MODEL, "Register a model", "box", "registry:new"),
    (Permission.EDIT_DATASETS, "Register a dataset", "database", "datasets:new"),
    (Permission.RUN_TRAINING, "Start a training", "cpu", "training:new"),
    (Permission.MANAGE_PEOPLE, "Add a person", "user", "access:new-person"),
)


@dataclass(frozen=True)
class Group:
    """What was found of one kind. `more`: whether there is more of it than `hits`. Options of the palette are numbered through."""

    key: str
    title: str
    hits: Sequence[Hit]
    first: int = 0
    more: bool = False

    @property
    def numbered(self) -> list[tuple[int, Hit]]:
        """The hits with their numbers in the palette."""
        return list(zip(count(self.first), self.hits, strict=False))


@require_safe
def search(request: HttpRequest) -> HttpResponse:
    """What matches `?q=`, by kind: for htmx the palette's list; `?kind=` pages through one kind. Without a query, the places.

    Each search that is answered is on record; the palette asks once the keys have rested, so a word that is typed is one search.
    """
    by = reader_of(request)
    query = " ".join(request.GET.get("q", "").replace("\0", "").split())[:LONGEST]
    context = {"query": query, "kinds": KINDS}
    if query:
        _record(request, query)
    if request.htmx:  # type: ignore[attr-defined]  # set by django-htmx
        return render(request, "search/_hits.html", context | {"groups": _numbered(_groups(query, by, IN_PALETTE))})
    kind = next((one for one in KINDS if one.key == request.GET.get("kind")), None)
    if kind is not None and query:
        return render(request, "search/search.html", context | _page(kind, query, by, request.GET.get("page")))
    return render(request, "search/search.html", context | {"groups": _groups(query, by, ON_PAGE)})


def _record(request: HttpRequest, query: str) -> None:
    """Put on record that somebody searched. What for enters as an erasable disclosure: it may name a person."""
    append_alone(
        Action.SEARCH_RUN,
        by=principal_of(request),
        obj=Obj("search", ""),
        after={"kind": request.GET.get("kind", "")[:LONGEST], "palette": bool(getattr(request, "htmx", False))},
        private={"query": query},
    )


def _page(kind: Kind, query: str, by: Principal, number: str | None) -> dict[str, object]:
    page: Page[object] = Paginator(kind.rows(query, by), PER_PAGE).get_page(number)
    return {"kind": kind, "page": page, "hits": [kind.hit(row, kind.icon) for row in page]}


def _groups(query: str, by: Principal, most: int) -> list[Group]:
    found = [_group(kind, query, by, most) for kind in KINDS] if query else []
    return [one for one in (*found, _places(query, by), _deeds(query, by)) if one.hits]


def _group(kind: Kind, query: str, by: Principal, most: int) -> Group:
    rows = list(kind.rows(query, by)[: most + 1])
    return Group(kind.key, kind.title, [kind.hit(row, kind.icon) for row in rows[:most]], more=len(rows) > most)


def _numbered(groups: Sequence[Group]) -> list[Group]:
    numbered, first = [], 1
    for one in groups:
        numbered.append(Group(one.key, one.title, one.hits, first, one.more))
        first += len(one.hits)
    return numbered


def _places(query: str, by: Principal) -> Group:
    rooms = [Hit(f"Go to {room.label.lower()}", room.icon, room.url) for room in entries_for("", allows=by.allows)]
    others = [Hit(title, icon, reverse(name)) for title, icon, name in PLACES]
    return Group("places", "Go to", _called(query, [*rooms, *others]))


def _deeds(query: str, by: Principal) -> Group:
    allowed = [Hit(title, icon, reverse(name)) for needs, title, icon, name in DEEDS if by.allows(needs)]
    return Group("deeds", "Do", _called(query, allowed))


def _called(query: str, hits: Sequence[Hit]) -> list[Hit]:
    return [hit for hit in hits if query.lower() in hit.title.lower()]
