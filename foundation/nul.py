"""Decides what becomes of a request that holds a NUL character: it is wrong, on every database and at every door.

PostgreSQL keeps no NUL in a text and breaks off the statement; SQLite keeps it. So nobody has named anything with one, and each door (the
portal, the pull gateway, MLflow's wire) asks here before anything is looked for or recorded.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote_plus

from foundation.refusals import Invalid

NUL: Final = "\x00"


def refuse_nul(*texts: str) -> None:
    """Return when none of the texts holds a NUL; raises `Invalid`."""
    if any(NUL in text for text in texts):
        raise Invalid("What was sent holds a NUL character, and nothing has one in its name. Leave it out.", code="nul")


def refuse_nul_in_address(path: str, query: str) -> None:
    """As `refuse_nul`, for an address whose path was decoded and whose query was not."""
    refuse_nul(path, unquote_plus(query) if "%00" in query else query)
