"""Says what happened to a version in words, for everybody who reads its history: no keys, no ids, no codes of refusals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from django.urls import NoReverseMatch, reverse

from audit.events import Action, Outcome
from audit.queries import LoggedEntry
from foundation.states import look
from foundation.templatetags.countersign import utc

Fields = Mapping[str, Any]

WHY: Final = {
    "forbidden": "Their roles do not allow it.",
    "not-eligible": "They were not eligible to sign.",
    "not-exceptable": "The policy does not let anybody except this gate.",
    "requirements-unmet": "Requirements were not met.",
    "round-closed": "No round was open.",
    "round-changed": "Another round was open by then.",
    "review-closed": "The review was closed.",
    "review-open": "A review was open already.",
    "subject-changed": "What was to be signed had changed.",
    "policy-changed": "The policy had changed.",
    "stage-moved": "Another version had gone live meanwhile.",
    "already-live": "The version was live already.",
    "already-signed": "They had signed already.",
    "already-resolved": "It was resolved already.",
    "state": "The version's state did not allow it.",
    "not-author": "Only the author may.",
    "may-not-revoke": "They may not revoke it.",
    "proof-stale": "They had proved who they are too long ago.",
    "proof-used": "They had used that proof of who they are before.",
    "method-not-accepted": "The policy asks for another way to prove who they are.",
}
"""What codes of refusals mean. One that is not listed is left out: the audit log has it."""


class Told(NamedTuple):
    """One line of a history. `mark` is the component's; `details` are sentences; `seq` is None while it waits to be logged."""

    who: str
    did: str
    mark: str
    refused: str
    details: tuple[str, ...]
    at: datetime
    seq: int | None
    href: str


def told(logged: LoggedEntry) -> Told:
    """One entry of the ledger as people read it."""
    entry = logged.entry
    before, after = _fields(entry.before), _fields(entry.after)
    done = entry.outcome == Outcome.OK
    did = _SPECIAL[entry.action](before, after) if done and entry.action in _SPECIAL else _sentence(entry.action)
    return Told(
        who=logged.actor_name,
        did=did,
        mark="ok" if done else "warn" if entry.outcome == Outcome.DENIED else "bad",
        refused="" if done else _refused(entry.outcome, entry.why),
        details=tuple(_details(after)) if done else (),
        at=logged.at,
        seq=logged.seq,
        href=_page_of(logged.seq),
    )


def _fields(side: object) -> Fields:
    return side if isinstance(side, Mapping) else {}


def _sentence(action: str) -> str:
    try:
        return Action(action).sentence
    except ValueError:
        return action.replace(".", " ").replace("_", " ")


def _refused(outcome: str, why: str) -> str:
    if outcome != Outcome.DENIED:
        return "It failed."
    return f"Refused. {WHY.get(why, '')}".strip()


def _moved(before: Fields, after: Fields) -> str:
    return f"moved it from “{look(before.get('state')).label}” to “{look(after.get('state')).label}”"


def _signed(_before: Fields, after: Fields) -> str:
    decision = {"request_changes": "asked for changes", "reject": "refused the version"}.get(
        str(after.get("decision")), look(after.get("decision")).label.lower()
    )
    return f"{decision} as {_words(after.get('slot'))}, for {_words(after.get('stage'))}"


def _asked(_before: Fields, after: Fields) -> str:
    return f"asked for a review for {_words(after.get('stage'))}"


def _closed(_before: Fields, after: Fields) -> str:
    return f"closed the round: {look(after.get('state')).label.lower()}"


def _placed(verb: str) -> Callable[[Fields, Fields], str]:
    def words(before: Fields, after: Fields) -> str:
        held = before.get("version")
        instead = f", in place of version {held}" if held and held != after.get("version") else ""
        return f"{verb} {_words(after.get('stage'))}{instead}"

    return words


_SPECIAL: Final[Mapping[str, Callable[[Fields, Fields], str]]] = {
    Action.VERSION_MOVE: _moved,
    Action.SIGN_OFF_GIVE: _signed,
    Action.REVIEW_REQUEST: _asked,
    Action.ROUND_CLOSE: _closed,
    Action.VERSION_PROMOTE: _placed("promoted it to"),
    Action.VERSION_ROLL_BACK: _placed("put it back in"),
}


def _details(after: Fields) -> list[str]:
    """What else the entry says that reads as words: reasons, what was measured, and dates."""
    said = [f"“{after['reason']}”"] if isinstance(after.get("reason"), str) and " " in after["reason"] else []
    if after.get("measured") and after.get("required"):
        said.append(f"Measured {after['measured']}, required {after['required']}.")
    if severity := after.get("severity"):
        said.append(f"{look(severity).label}.")
    for name, words in (("due", "Due"), ("until", "Until"), ("ends_at", "Until")):
        if moment := _moment(after.get(name)):
            said.append(f"{words} {utc(moment)}.")
    if isinstance(conditions := after.get("conditions"), list) and conditions:
        said.append(f"With {len(conditions)} condition{'s' * (len(conditions) != 1)}.")
    return said


def _moment(value: object) -> datetime | None:
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _words(name: object) -> str:
    return str(name or "").replace("_", " ").replace("-", " ")


def _page_of(seq: int | None) -> str:
    try:
        return "" if seq is None else reverse("audit:entry", args=[seq])
    except NoReverseMatch:
        return ""
