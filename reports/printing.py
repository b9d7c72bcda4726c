"""What stands around the import of `reports.pdf`, which draws with libraries of the system that pip does not bring."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from foundation.refusals import Unavailable


@contextmanager
def printing() -> Iterator[None]:
    """Around the import: raises `Unavailable`, with what to install, where the libraries are missing."""
    try:
        yield
    except OSError as missing:
        raise Unavailable(
            "PDF files cannot be made on this host, for Pango is missing. Install the system's package for it "
            "(Debian: libpangoft2-1.0-0) and start the portal again. The page says everything that the paper would say.",
            title="No paper on this host",
        ) from missing
