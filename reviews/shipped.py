"""The policies that ship with the product; a migration puts those of the default pack in force as version 1, and nobody signs them.

A row counts as shipped for what it says, not for a mark on it: its text, read by this release, must be a packaged one.
`policy_pack/earlier/` keeps the default texts of earlier releases, so that an installation that was never touched goes on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec

from reviews.policies import PolicyDocument

FOLDER: Final = Path(__file__).resolve().parent / "policy_pack"
DEFAULT_PACK: Final = "default-by-tier"
NOT_POLICIES: Final = frozenset({"pack.json"})


def texts_in(folder: Path) -> dict[str, dict[str, Any]]:
    """The policies of a folder: name to content, sorted by name."""
    paths = [path for path in sorted(folder.glob("*.json")) if path.name not in NOT_POLICIES]
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}


def shipped_policies() -> dict[str, dict[str, Any]]:
    """The policies that a new installation starts with: name to content, sorted by name."""
    return texts_in(FOLDER / DEFAULT_PACK)


def is_shipped(name: str, number: int, content: Mapping[str, Any]) -> bool:
    """Whether this is the first version of a policy that the product put there, word for word."""
    if number != 1:
        return False
    try:
        return msgspec.convert(content, PolicyDocument) in _shipped(name)
    except msgspec.ValidationError:
        return False


@cache
def _shipped(name: str) -> tuple[PolicyDocument, ...]:
    folders = [FOLDER / DEFAULT_PACK, *sorted((FOLDER / "earlier").glob("*/"))]
    texts = [texts_in(folder).get(name) for folder in folders]
    return tuple(msgspec.convert(text, PolicyDocument) for text in texts if text is not None)
