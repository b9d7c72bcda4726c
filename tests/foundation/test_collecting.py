"""What a server loaded at its start is left alone by the garbage collector."""

from __future__ import annotations

import gc

from foundation.collecting import settle


def test_what_is_there_is_left_out_of_later_rounds() -> None:
    before = gc.get_freeze_count()
    try:
        settle()

        assert gc.get_freeze_count() > before + 10_000
    finally:
        gc.unfreeze()
