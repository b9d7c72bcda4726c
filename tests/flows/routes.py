"""Every address that the URLconf knows, with arguments that lead to things that exist."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from django.urls import URLPattern, URLResolver, get_resolver

_CONVERTER: Final = re.compile(r"<(?:(?P<kind>\w+):)?(?P<name>\w+)>")
_GROUP: Final = re.compile(r"\(\?P<(?P<name>\w+)>(?P<body>[^()]*)\)")


def templates(resolver: URLResolver | None = None, prefix: str = "") -> Iterator[str]:
    """Every pattern below `resolver` (all of them, by default) as one text, joined from the includes that lead to it."""
    for entry in (resolver or get_resolver()).url_patterns:
        here = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from templates(entry, here)
        elif isinstance(entry, URLPattern):
            yield here


def address(template: str, arguments: Mapping[str, object]) -> str:
    """The path of a pattern with every argument filled in: by its name below the first two words or the first, else by its name alone."""
    room, _, rest = template.removeprefix("api/v1/").lstrip("^").partition("/")
    places = (f"{room}/{rest.partition('/')[0]}.", f"{room}.", "")

    def fill(match: re.Match[str]) -> str:
        names = [place + match["name"] for place in places]
        return str(next((arguments[name] for name in names if name in arguments), "1"))

    text = _CONVERTER.sub(fill, _GROUP.sub(fill, template))
    return "/" + re.sub(r"[\^$\\]", "", text)
