"""Decides what the search finds, kind by kind, and for whom: each kind asks the same question about seeing as its own pages.

What is hidden from the searcher is not in the rows, so it can be neither counted nor paged to. One statement a kind.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Case, Max, Q, QuerySet, Value, When
from django.urls import reverse

from access.models import User
from access.permissions import Permission, visible_to
from access.principal import Principal
from datasets.models import Dataset
from registry.models import ModelVersion, RegisteredModel
from registry.queries import models_visible_to
from reviews.findings import visible_findings
from reviews.models import Finding, Policy

SHORTEST_DIGEST: Final = 6
_DIGEST: Final = re.compile(rf"(?:sha256:)?(?P<digits>[0-9a-f]{{{SHORTEST_DIGEST},64}})", re.IGNORECASE)
_VERSION: Final = re.compile(
    r"(?:models:/)?(?P<model>.*?)(?:(?:^|/|\s)v(?:ersion\s+|/)?|/|\s)(?P<number>[0-9]{1,9})", re.IGNORECASE
)


@dataclass(frozen=True)
class Hit:
    """One thing that was found, or one place to go to."""

    title: str
    icon: str
    url: str
    note: str = ""


@dataclass(frozen=True)
class Kind:
    """One kind of thing that can be found. `rows`: what matches a query, for one searcher, the nearest first."""

    key: str
    title: str
    icon: str
    rows: Callable[[str, Principal], QuerySet[Any]]
    hit: Callable[[Any, str], Hit]


def _models(query: str, by: Principal) -> QuerySet[RegisteredModel]:
    found = models_visible_to(by).filter(archived_at=None, name__icontains=query)
    return found.order_by(_nearest("name", query), "name")


def _model(row: RegisteredModel, icon: str) -> Hit:
    return Hit(row.name, icon, reverse("reviews:model", args=[row.name]), row.get_tier_display())


def _versions(query: str, by: Principal) -> QuerySet[ModelVersion]:
    """By the first characters of a digest, or by model and number: `credit v3`, `credit/3`, `models:/credit/3`, `v3`."""
    rows = visible_to(ModelVersion.objects.select_related("model"), by, Permission.SEE_MODEL, through="model")
    if digest := _DIGEST.fullmatch(query):
        digits = digest["digits"].lower()
        # A range uses the index on every database; a LIKE with an escape does not. "g" follows every hexadecimal digit.
        return rows.filter(digest__gte=digits, digest__lt=f"{digits}g").order_by("model__name", "-number")
    if named := _VERSION.fullmatch(query):
        name = named["model"].strip(" /")
        matching = rows.filter(number=int(named["number"]), model__name__icontains=name)
        return matching.order_by(_nearest("model__name", name), "model__name")
    return rows.none()


def _version(row: ModelVersion, icon: str) -> Hit:
    where = reverse("reviews:version", args=[row.model.name, row.number])
    return Hit(str(row), icon, where, f"{row.get_state_display()}, sha256:{row.digest[:12]}…")


def _findings(query: str, by: Principal) -> QuerySet[Finding]:
    return visible_findings(by).filter(title__icontains=query).order_by(_nearest("title", query), "due_at", "pk")


def _finding(row: Finding, icon: str) -> Hit:
    note = f"{row.version}, {row.get_severity_display().lower()}, {row.get_state_display().lower()}"
    return Hit(row.title, icon, reverse("reviews:finding", args=[row.uuid]), note)


def _policies(query: str, by: Principal) -> QuerySet[Policy]:
    """Everybody who is signed in may read the policies."""
    if by.is_anonymous:
        return Policy.objects.none()
    matching = Policy.objects.filter(Q(name__icontains=query) | Q(title__icontains=query))
    newest = matching.annotate(newest=Max("versions__number")).filter(newest__isnull=False)
    return newest.order_by(_nearest("name", query), "name")


def _policy(row: Policy, icon: str) -> Hit:
    number: int = row.newest  # type: ignore[attr-defined]  # annotated by `_policies`
    return Hit(row.title, icon, reverse("reviews:policy", args=[row.name, number]), f"{row.name}, version {number}")


def _datasets(query: str, by: Principal) -> QuerySet[Dataset]:
    rows = visible_to(Dataset.objects.all(), by, Permission.SEE_DATASETS)
    matching = rows.filter(Q(name__icontains=query) | Q(title__icontains=query))
    return matching.order_by(_nearest("name", query), "name")


def _dataset(row: Dataset, icon: str) -> Hit:
    return Hit(row.title, icon, reverse("datasets:detail", args=[row.name]), row.name)


def _people(query: str, by: Principal) -> QuerySet[User]:
    rows = visible_to(User.objects.people(), by, Permission.SEE_PEOPLE)
    matching = rows.filter(Q(username__icontains=query) | Q(display_name__icontains=query))
    return matching.order_by(_nearest("username", query), "display_name", "username")


def _person(row: User, icon: str) -> Hit:
    note = row.username if row.is_active else f"{row.username}, deactivated"
    return Hit(str(row), icon, reverse("access:person", args=[row.uuid]), note)


def _nearest(field: str, query: str) -> Case:
    """First what is called exactly so, then what begins so, then what has it somewhere."""
    return Case(
        When(**{f"{field}__iexact": query}, then=Value(0)),
        When(**{f"{field}__istartswith": query}, then=Value(1)),
        default=Value(2),
    )


KINDS: Final = (
    Kind("models", "Models", "box", _models, _model),
    Kind("versions", "Versions", "package", _versions, _version),
    Kind("findings", "Findings", "flag", _findings, _finding),
    Kind("policies", "Policies", "policy", _policies, _policy),
    Kind("datasets", "Datasets", "database", _datasets, _dataset),
    Kind("people", "People", "user", _people, _person),
)
