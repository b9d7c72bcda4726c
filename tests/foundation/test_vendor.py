"""What we ship from others is what they published: every digest in vendor.json is checked again."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

ROOT = Path(settings.BASE_DIR)
VENDOR = ROOT / "assets" / "vendor"
MANIFEST: dict[str, Any] = json.loads((VENDOR / "vendor.json").read_text())
ENTRIES = [*MANIFEST["files"], MANIFEST["sprite"]]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: Path(entry["path"]).name)
def test_a_vendored_file_has_the_recorded_digest_and_a_licence(entry: dict[str, Any]) -> None:
    assert hashlib.sha256((ROOT / entry["path"]).read_bytes()).hexdigest() == entry["sha256"]
    assert (ROOT / entry["licence_file"]).read_text().strip()


def test_no_file_stands_in_the_vendor_folder_unrecorded() -> None:
    recorded = {entry["path"] for entry in ENTRIES} | {entry["licence_file"] for entry in ENTRIES}
    present = {str(path.relative_to(ROOT)) for path in VENDOR.rglob("*") if path.is_file()}

    assert present - recorded == {"assets/vendor/vendor.json"}


def test_every_icon_that_a_template_or_the_code_names_is_in_the_sprite() -> None:
    icons = set(MANIFEST["sprite"]["icons"])
    named = set()
    for template in (ROOT / "templates").rglob("*.html"):
        text = template.read_text()
        named |= set(re.findall(r'<c-ico n="([\w-]+)"', text)) | set(re.findall(r'\bicon="([\w-]+)"', text))

    assert named - icons == set()
