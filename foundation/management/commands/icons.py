"""`manage.py icons FOLDER [name=tabler-name …]`: rebuild the icon sprite from an unpacked `@tabler/icons` package.

FOLDER comes from `npm pack @tabler/icons@VERSION`. The names and their sources are kept in assets/vendor/vendor.json with the
sprite's digest, which tests re-check; names given on the command line are added.
"""

from __future__ import annotations

import hashlib
import json
import re
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

HEAD: Final = (
    "{# Tabler icons (MIT), one symbol a line; names, version and digest are in assets/vendor/vendor.json. "
    "Used through c-ico. #}\n"
    '<svg class="sprite" aria-hidden="true" focusable="false">\n'
)
_OPENING: Final = re.compile(r"^.*?<svg[^>]*>", re.DOTALL)
_BOUNDS: Final = re.compile(r'\s*<path stroke="none" d="M0 0h24v24H0z" fill="none"\s*/>\s*')


def symbol(name: str, svg: str) -> str:
    """One icon as a line of the sprite."""
    body = _BOUNDS.sub("", _OPENING.sub("", svg)).replace("</svg>", "")
    drawn = "".join(line.strip() for line in body.splitlines()).replace(" />", "/>")
    return f'<symbol id="i-{name}" viewBox="0 0 24 24">{drawn}</symbol>\n'


class Command(BaseCommand):
    """Rebuilds templates/components/_sprite.html."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path)
        parser.add_argument("names", nargs="*", metavar="name=tabler-name")

    def handle(self, *args: Any, folder: Path, names: list[str], **options: Any) -> None:
        manifest_path = Path(settings.BASE_DIR) / "assets" / "vendor" / "vendor.json"
        manifest = json.loads(manifest_path.read_text())
        sprite = manifest["sprite"]
        parts = [name.partition("=") for name in names]
        added = {name: source or name for name, _, source in parts}
        sprite["icons"] = dict(sorted((sprite["icons"] | added).items()))
        outline = folder / "icons" / "outline"
        unknown = [source for source in sprite["icons"].values() if not (outline / f"{source}.svg").exists()]
        if unknown:
            raise CommandError(f"The package in {folder} has no icon named {', '.join(unknown)}.")
        lines = [symbol(name, (outline / f"{source}.svg").read_text()) for name, source in sprite["icons"].items()]
        text = HEAD + "".join(lines) + "</svg>\n"
        (Path(settings.BASE_DIR) / sprite["path"]).write_text(text)
        sprite["sha256"] = hashlib.sha256(text.encode()).hexdigest()
        sprite["version"] = json.loads((folder / "package.json").read_text())["version"]
        manifest_path.write_text(json.dumps(manifest, indent=2) + "\n")
        self.stdout.write(f"{len(lines)} icons.")
