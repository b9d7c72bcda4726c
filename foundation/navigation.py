"""The main navigation: which rooms are named where, on a wide screen and on a phone.

Entries are named by URL; `entries_for` marks the one whose address is the longest beginning of the current path, and leaves out
the rooms that would not let the person in.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from django.urls import NoReverseMatch, reverse


@dataclass(frozen=True)
class Room:
    """`places`: `bar`, `more` on a wide screen; `tab`, `tabmore` on a phone. `key`: the second key after `g`. `needs`: the
    permission without which the room refuses; empty: whoever is signed in gets an answer.
    """

    label: str
    url_name: str
    icon: str
    places: frozenset[str]
    key: str = ""
    needs: str = ""


@dataclass(frozen=True)
class Entry:
    """A room as it stands in the navigation of one page."""

    label: str
    url: str
    icon: str
    key: str
    current: bool


def _room(label: str, url_name: str, icon: str, places: str, key: str = "", needs: str = "") -> Room:
    return Room(label, url_name, icon, frozenset(places.split()), key, needs)


ROOMS: Final = (
    _room("Inbox", "reviews:inbox", "inbox", "bar tab", "i"),
    _room("Models", "registry:models", "box", "bar tab", "m"),
    _room("Datasets", "datasets:list", "database", "bar tabmore", "d", "datasets.see"),
    _room("Training", "training:list", "cpu", "bar tab", "t"),
    _room("Experiments", "serving:experiments", "list", "more tabmore", "e"),
    _room("Deployments", "serving:deployments", "rocket", "bar tabmore", "p"),
    _room("Monitoring", "monitoring:list", "activity", "bar tab", "o"),
    _room("Findings", "reviews:findings", "flag", "more tabmore", "f"),
    _room("Policies", "reviews:policies", "policy", "more tabmore"),
    _room("Reports", "reports:index", "report", "more tabmore", needs="see_model"),
    _room("Audit log", "audit:log", "history", "more tabmore", "l", "audit.see"),
    _room("People", "access:people", "users", "more tabmore", needs="people.see"),
    _room("Webhooks", "webhooks:list", "webhook", "more tabmore", needs="webhooks.manage"),
)


def _address(room: Room) -> str:
    try:
        return reverse(room.url_name)
    except NoReverseMatch:
        return ""


def entries_for(path: str, place: str = "", *, allows: Callable[[str], bool] = lambda needs: True) -> list[Entry]:
    """Entries standing in `place` (all when empty); left out: rooms without an address, and those that `allows` does not let one into."""
    rooms = [(room, _address(room)) for room in ROOMS]
    inside = [url for _, url in rooms if url and (path == url or (url != "/" and path.startswith(url)))]
    current = max(inside, key=len, default=None)
    return [
        Entry(room.label, url, room.icon, room.key, url == current)
        for room, url in rooms
        if url and (not place or place in room.places) and (not room.needs or allows(room.needs))
    ]
