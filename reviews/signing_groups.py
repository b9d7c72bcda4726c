"""Tells `access` which groups policies name: their members sign, decide or are told, so they are neither renamed nor deleted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from access.duties import signing_groups_from
from reviews.models import PolicyVersion

_NAMES: Final = frozenset({"group", "alternates", "seconded_by", "to"})


@signing_groups_from
def groups_that_sign() -> frozenset[str]:
    """The groups of every slot, exception and approval in policies that are published or wait for their signatures; one statement."""
    counted = (PolicyVersion.Status.PUBLISHED, PolicyVersion.Status.PROPOSED)
    texts = PolicyVersion.objects.filter(status__in=counted).values_list("content", flat=True)
    return frozenset(name for text in texts for name in _names_in(text))


def _names_in(value: Any) -> Iterator[str]:
    """Every group that a text names, wherever it stands."""
    if isinstance(value, dict):
        for key, one in value.items():
            if key in _NAMES and isinstance(one, str) and one:
                yield one
            else:
                yield from _names_in(one)
    elif isinstance(value, list):
        for one in value:
            yield from _names_in(one)
