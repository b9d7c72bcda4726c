"""Statements that the registry never made, under its signature: what somebody with its key could write."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from countersign.proof.dsse import Envelope, open_sealed, seal
from foundation.keys import registry_signer


def resealed(envelope: Mapping[str, Any] | None, /, *, artifact: str = "", kind: str = "", **changes: Any) -> Envelope:
    """The same statement with other words in its predicate, about another `artifact` or of another `kind`, signed by the registry."""
    value = copy.deepcopy(open_sealed(envelope or {}, registry_signer().public))
    value["predicate"] |= changes
    value["predicateType"] = kind or value["predicateType"]
    if artifact:
        value["subject"][0]["digest"]["sha256"] = artifact
    return seal(value, registry_signer())
