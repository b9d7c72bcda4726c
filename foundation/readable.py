"""Writes JSON for people who read or edit it: what fits on a line stays on one, so that a list of numbers is not a page long."""

from __future__ import annotations

import json
from typing import Any, Final

WIDTH: Final = 100
STEP: Final = "  "


def readable_json(value: Any, *, width: int = WIDTH) -> str:
    """`value` as JSON with lines of at most `width` characters where its parts allow that; keys keep their order."""
    return _written(value, "", 0, width)


def _written(value: Any, indent: str, used: int, width: int) -> str:
    """`value`, whose first line starts after `indent` and `used` more characters."""
    flat = json.dumps(value, ensure_ascii=False)
    if not value or not isinstance(value, dict | list | tuple) or len(indent) + used + len(flat) <= width:
        return flat
    inner = indent + STEP
    if isinstance(value, dict):
        keys = [(json.dumps(str(key), ensure_ascii=False) + ": ", part) for key, part in value.items()]
        lines = [key + _written(part, inner, len(key) + 1, width) for key, part in keys]
        opened, closed = "{", "}"
    else:
        lines = [_written(part, inner, 1, width) for part in value]
        opened, closed = "[", "]"
    return f"{opened}\n{inner}" + f",\n{inner}".join(lines) + f"\n{indent}{closed}"
