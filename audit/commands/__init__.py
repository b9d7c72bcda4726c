"""The subcommands of `manage.py audit`, one module each: `HELP`, `add(parser)` and `run(options, stdout)`."""

from __future__ import annotations

from typing import Final

from audit.events import Actor

OPERATOR: Final = Actor(kind="system", id="operator", via="command")
