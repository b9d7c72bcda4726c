"""The ledger's words as a document: every action with its sentence, and every address with whether opening it is on record."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from audit.events import Action
from config.reads import NOT_READS, READS, REFUSED_AS

HEADER: Final = """# What the ledger records

Drawn from `audit/events.py` and `config/reads.py` by `manage.py ledger_entries`; do not edit it here.

Each entry says who, what, to which thing, when, and how it ended: done, refused, or failed. A refused attempt has the word of what was
tried and the outcome `denied`.
"""

READING: Final = """
## What is read

One line speaks for all addresses that begin so; the longest counts. Whoever is signed in and opens one writes exactly one entry, in a
transaction of its own, before the answer leaves; where it cannot be written, nothing is shown. A file that is taken away is recorded by
its own word where that says more. Who is refused (403, 404, 409) at any address writes one entry with the outcome `denied`: of the same
word where something was to be read, else `address.request`, unless the action that refused has written its own. A thing that may not be
seen and one that does not exist answer alike; the entry names what was tried. Who is not signed in writes nothing but failed logins
and refused tokens: nobody fills the ledger from outside.
"""

NOT_READING: Final = """
## What is not

Opening these writes nothing; the reason stands beside them.
"""


def document() -> str:
    """The whole text of `docs/ledger-entries.md`."""
    actions = _table(("word", "what somebody did"), ((f"`{one}`", one.sentence) for one in sorted(Action)))
    reads = [(f"`/{begins.lstrip('^')}…`", f"`{read.action}`") for begins, read in sorted(READS.items())]
    refused = [(f"`/{begins}`, when it refuses", f"`{action}`") for begins, action in REFUSED_AS.items()]
    others = [(f"`/{begins}…`" if begins else "`/`", why) for begins, why in sorted(NOT_READS.items())]
    return "".join(
        (
            HEADER,
            actions,
            READING,
            _table(("address", "recorded as"), reads + refused),
            NOT_READING,
            _table(("address", "why"), others),
        )
    )


def _table(head: tuple[str, str], rows: Iterable[tuple[str, str]]) -> str:
    lines = [head, ("---", "---"), *rows]
    return "\n" + "".join(f"| {one} | {other} |\n" for one, other in ((_cell(a), _cell(b)) for a, b in lines))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
