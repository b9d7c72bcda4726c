"""The policies that ship with the product, one JSON file each; a migration publishes them as version 1."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).resolve().parent / "policy_pack"


def shipped_policies() -> dict[str, dict[str, Any]]:
    """Name to content, sorted by name."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}
