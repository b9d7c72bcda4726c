"""Decides what a person means by `credit@production`, `credit/3` or `credit`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from countersign.errors import Misused

_REF: Final = re.compile(
    r"(?P<model>[^/@\s]{1,128})(?:@(?P<alias>[^/@\s]{1,128})|/(?:v(?:ersion\s*)?)?(?P<number>[0-9]{1,9}))?"
)
SCHEMES: Final = ("countersign://", "countersign:/", "models:/")


@dataclass(frozen=True, slots=True)
class Ref:
    """A model by name, and which version of it: behind an alias, by its number, or (both empty) the newest."""

    model: str
    alias: str = ""
    version: int | None = None

    @classmethod
    def parse(cls, text: str, *, whole: bool = False) -> Ref:
        """Read a reference; `whole` insists on an alias or a number. Raises `Misused`."""
        bare = next((text[len(one) :] for one in SCHEMES if text.startswith(one)), text).lstrip("/")
        found = _REF.fullmatch(bare)
        if found is None or (whole and found["alias"] is None and found["number"] is None):
            raise Misused(
                f"“{text}” names no version: write model@alias or model/number, for example credit@production or credit/3.",
                reason="ref",
            )
        return cls(found["model"], found["alias"] or "", int(found["number"]) if found["number"] else None)

    def __str__(self) -> str:
        """As people write it."""
        if self.alias:
            return f"{self.model}@{self.alias}"
        return self.model if self.version is None else f"{self.model}/{self.version}"

    @property
    def address(self) -> str:
        """Where its pull document is, below the registry's address."""
        where = f"/api/v1/models/{quote(self.model, safe='')}"
        return f"{where}/aliases/{quote(self.alias, safe='')}" if self.alias else f"{where}/versions/{self.version}"
