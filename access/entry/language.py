"""Decides what the rules of an access policy may ask for: names, types and meanings, and tests of networks and zones. Pure."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from foundation.cel import BadExpression, Checked, FactType, Language

STRENGTHS: Final = ("password", "totp", "passkey", "idp", "token", "workload")
"""How somebody can have proved who they are: people by the first four, services by the last two."""


@dataclass(frozen=True, slots=True)
class EntryField:
    """One name that a rule may use. `of_request`: it belongs to the request and not to the person, so the same person may come again."""

    name: str
    type: FactType
    meaning: str
    of_request: bool = False


FIELDS: Final = (
    EntryField("subject.kind", FactType.TEXT, '"person" or "service"'),
    EntryField("subject.id", FactType.TEXT, "the account's name"),
    EntryField("subject.roles", FactType.TEXTS, "names of the roles held, directly or through a group"),
    EntryField("subject.groups", FactType.TEXTS, "names of the groups"),
    EntryField("subject.strength", FactType.TEXT, f"how they proved who they are: {', '.join(STRENGTHS)}", True),
    EntryField("action", FactType.TEXT, '"read", "pull" or "score"'),
    EntryField("stage", FactType.TEXT, "the stage that is pulled from or scored at; empty for reading"),
    EntryField("model.tier", FactType.WHOLE, "the risk tier: 1 high, 2 medium, 3 low"),
    EntryField("model.team", FactType.TEXT, "the team that the model belongs to; empty where it has none"),
    EntryField("model.owned", FactType.FLAG, "whether who asks owns the model"),
    EntryField("purpose", FactType.TEXT, "what was declared with the request; empty where nothing was", True),
    EntryField("network", FactType.TEXT, 'the client\'s address; ask network.within("10.0.0.0/8")', True),
    EntryField("now", FactType.MOMENT, 'the moment; ask now.getHours("Europe/Berlin"), now.getDayOfWeek(…)', True),
    EntryField("rate", FactType.WHOLE, "requests of this account on record in the last minute", True),
)
OF_REQUEST: Final = frozenset(one.name for one in FIELDS if one.of_request)
EXAMPLE: Final = 'subject.kind == "person"'
_WITHIN: Final = re.compile(r"\.\s*within\s*\(\s*(\"[^\"]*\"|'[^']*'|)")
_ZONED: Final = re.compile(
    r"\.\s*get(?:FullYear|Month|Date|DayOfMonth|DayOfWeek|DayOfYear|Hours|Minutes|Seconds|Milliseconds)\s*\(\s*(\"[^\"]*\"|'[^']*'|)"
)


def within(address: str, network: str) -> bool:
    """Whether the address lies in the network; an unknown address lies in none. IPv4 mapped into IPv6 counts as IPv4."""
    found, place = _address(address), _network(network)
    return found is not None and place is not None and found.version == place.version and found in place


LANGUAGE: Final = Language({one.name: one.type for one in FIELDS}, tests={"within": within}, example=EXAMPLE)


def check_rule(expression: str) -> None:
    """Raise `BadExpression` with the position of what is wrong: types, names, a network that is none, a time without a zone."""
    LANGUAGE.check(expression)
    for found in _WITHIN.finditer(expression):
        network = found[1][1:-1]
        if _network(network) is None:
            raise _at(
                expression, found.start(1), f'Write a network, for example "10.0.0.0/8"; {found[1] or "this"} is none.'
            )
    for found in _ZONED.finditer(expression):
        zone = found[1][1:-1]
        if not zone or not _is_zone(zone):
            raise _at(expression, found.start(1), 'Name the zone of the time, for example "Europe/Berlin" or "UTC".')


def examined(expression: str) -> Checked:
    """What is known of a rule for whoever types it."""
    try:
        check_rule(expression)
    except BadExpression as error:
        return Checked("", error.detail, error.line, error.column, error.marked_in(expression))
    return Checked(LANGUAGE.gives(expression))


def _at(expression: str, place: int, detail: str) -> BadExpression:
    before = expression[:place]
    return BadExpression(detail, before.count("\n") + 1, place - (before.rfind("\n") + 1) + 1)


@lru_cache(maxsize=4_096)
def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


@lru_cache(maxsize=4_096)
def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return None


@lru_cache(maxsize=256)
def _is_zone(zone: str) -> bool:
    """Whether the engine knows the zone; it brings its own reader of them."""
    if not re.fullmatch(r"[A-Za-z0-9_+:/-]{1,64}", zone):
        return False
    return not LANGUAGE.ask(f'now.getHours("{zone}") >= 0', {"now": datetime.now(UTC)}).error
