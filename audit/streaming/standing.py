"""Decides what operators are told of the streams: how far each is, which fail, which are parked."""

from __future__ import annotations

from audit import store
from audit.alerts import when
from audit.models import StreamState


def sentences() -> list[str]:
    """One line for each stream."""
    latest = store.latest_checkpoint()
    size = latest.size if latest else 0
    return [_sentence(state, size) for state in StreamState.objects.order_by("name")]


def _sentence(state: StreamState, size: int) -> str:
    behind = max(0, size - state.position)
    where = f"{state.name}: has taken {state.position:,} entries, {behind:,} wait"
    if state.parked:
        return f"{where}; PARKED since {when(state.failing_since)}: {state.error}. `manage.py audit stream --resume {state.name}` goes on."
    if state.failing_since:
        return f"{where}; fails since {when(state.failing_since)}, tried {state.attempts:,} times: {state.error}."
    return f"{where}."
