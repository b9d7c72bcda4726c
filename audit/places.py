"""Decides where an entry leads: the page of the thing that it speaks of.

The ledger outlives what it describes and knows none of the rooms above it; whoever joins the rooms says here, kind by kind, where each
thing is shown. A kind that nobody named, and a thing that has no page any more, lead nowhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from django.urls import NoReverseMatch, reverse

from audit.events import Obj

Address = Callable[[Obj], str]
_ADDRESSES: Final[dict[str, Address]] = {}


def leads(kind: str, address: Address) -> None:
    """Say where things of a kind are shown; `address` answers with a path, or with nothing."""
    _ADDRESSES[kind] = address


def place_of(obj: Obj) -> str:
    """The path of the page that shows the thing; empty where there is none."""
    address = _ADDRESSES.get(obj.kind)
    if address is None:
        return ""
    try:
        return address(obj)
    except (NoReverseMatch, ValueError):
        return ""


def page(name: str, /, **arguments: str) -> Address:
    """The page of that name; each argument is the field of the entry's thing that fills it: `page("reviews:model", name="name")`."""

    def address(obj: Obj) -> str:
        return reverse(name, kwargs={argument: getattr(obj, attribute) for argument, attribute in arguments.items()})

    return address


def known_kinds() -> frozenset[str]:
    """The kinds that somebody named."""
    return frozenset(_ADDRESSES)
