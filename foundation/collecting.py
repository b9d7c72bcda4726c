"""Decides when Python's garbage collector looks through what a server loaded at its start: never again.

Django, its applications and MLflow leave some hundred thousand objects that live as long as the process. Going through them takes a
fifth of a second, in which a thread that answers holds all others up.
"""

from __future__ import annotations

import gc


def settle() -> None:
    """Leave out of all later rounds what is there now; called once, when a server has loaded everything and has not answered yet."""
    gc.collect()
    gc.freeze()
