"""Decides when a delivery that did not arrive is tried again, and when it is given up. Pure."""

from __future__ import annotations

from typing import Final

FIRST_PAUSE_SECONDS: Final = 5.0
LONGEST_PAUSE_SECONDS: Final = 3_600.0
MOST_TRIES: Final = 12
MOST_TRIES_WHERE_REFUSED: Final = 4
JITTER: Final = 0.25
PAUSED_AFTER: Final = 5
"""As many deliveries given up in a row pause their webhook."""

_LATER: Final = frozenset({408, 425, 429})


def wait_after(tries: int, *, status: int | None, asked: float = 0.0, chance: float = 0.5) -> float | None:
    """Seconds until the next try after `tries` that failed; None: give up. `status` is None where nobody answered.

    5 seconds, doubling, an hour at most, each a quarter shorter or longer by `chance` (0 to 1), so that many receivers that failed
    together are not asked together; never sooner than was `asked` for. That is twelve tries in about two and a half hours. A receiver
    that refuses the delivery itself (3xx, and 4xx but for 408, 425 and 429) will hardly change its mind: four tries in half a minute.
    """
    refused = status is not None and 300 <= status < 500 and status not in _LATER
    if tries >= (MOST_TRIES_WHERE_REFUSED if refused else MOST_TRIES):
        return None
    pause: float = min(FIRST_PAUSE_SECONDS * 2 ** max(tries - 1, 0), LONGEST_PAUSE_SECONDS)
    return max(pause * (1 - JITTER + 2 * JITTER * chance), asked)
