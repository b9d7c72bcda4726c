"""The packs of policies that ship: each a folder with what it is for and its texts, from which policies are adopted as drafts.

A pack puts nothing in force. What is adopted is a draft like any other: changed, rehearsed, proposed and signed by people.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec

from access.principal import Principal
from foundation.refusals import NotFound
from reviews.actions.drafts import draft_policy
from reviews.models import PolicyVersion
from reviews.policies import PolicyDocument, parse
from reviews.shipped import DEFAULT_PACK, FOLDER, texts_in

MANIFEST: Final = "pack.json"


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a pack says of itself: Markdown in `about`, and in `verified` how far its citations were checked against their sources."""

    title: str
    summary: str
    about: str
    verified: str
    sources: tuple[str, ...] = ()
    order: int = 9


@dataclass(frozen=True)
class Pack:
    """One pack: `key` is its folder's name."""

    key: str
    manifest: Manifest
    contents: dict[str, dict[str, Any]]

    @property
    def documents(self) -> dict[str, PolicyDocument]:
        """Its policies, type-checked, by name."""
        return {name: parse(content) for name, content in self.contents.items()}

    @property
    def in_force_from_the_start(self) -> bool:
        """Whether setup puts its policies in force."""
        return self.key == DEFAULT_PACK


@cache
def packs() -> tuple[Pack, ...]:
    """All packs, in the order in which they are offered."""
    folders = [path.parent for path in sorted(FOLDER.glob(f"*/{MANIFEST}"))]
    return tuple(sorted((_read(folder) for folder in folders), key=lambda pack: (pack.manifest.order, pack.key)))


def find_pack(key: str) -> Pack:
    """The pack of this key."""
    found = next((pack for pack in packs() if pack.key == key), None)
    if found is None:
        raise NotFound(f"There is no pack {key}; the packs are {', '.join(pack.key for pack in packs())}.")
    return found


def adopt(pack: Pack, name: str, *, by: Principal) -> PolicyVersion:
    """Save one policy of a pack as a draft of the policy of that name: its first version, or the next one."""
    content = pack.contents.get(name)
    if content is None:
        raise NotFound(f"The pack {pack.manifest.title} has no policy {name}.")
    return draft_policy(name, content, note=f"From the pack {pack.manifest.title}", by=by)


def _read(folder: Path) -> Pack:
    manifest = msgspec.convert(json.loads((folder / MANIFEST).read_text(encoding="utf-8")), Manifest)
    return Pack(folder.name, manifest, texts_in(folder))
