"""What time decides: one tick, asked with the moment, carries out everything that is due, each thing in a transaction of its own.

Every effect is idempotent, so a tick that is repeated, late, or run by two workers at once changes nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import structlog

from access.principal import Principal
from foundation.refusals import Refusal

log = structlog.get_logger(__name__)

CLOCK: Final = Principal.system("clock")

Effect = Callable[[datetime], None]
Due = Callable[[datetime], Sequence[Effect]]

DUE: list[Due] = []
"""Who is asked at a tick, in order: each returns what it would carry out at that moment. Registered by `due`."""


def due(question: Due) -> Due:
    """Register a function that lists what is due at a moment."""
    DUE.append(question)
    return question


def tick(now: datetime) -> int:
    """Carry out everything that is due at `now`; what fails is logged and tried again at the next tick. Returns how many were done."""
    done = 0
    for question in DUE:
        for effect in _asked(question, now):
            try:
                effect(now)
            except Refusal as refusal:
                log.warning("clock_effect_refused", why=refusal.code, detail=refusal.detail)
            except Exception:
                log.exception("clock_effect_failed")
            else:
                done += 1
    return done


def _asked(question: Due, now: datetime) -> Sequence[Effect]:
    """What is due by one question; one that cannot be answered (a damaged policy, say) keeps no other one waiting."""
    try:
        return question(now)
    except Refusal as refusal:
        log.warning("clock_question_refused", question=question.__qualname__, why=refusal.code, detail=refusal.detail)
    except Exception:
        log.exception("clock_question_failed", question=question.__qualname__)
    return ()
