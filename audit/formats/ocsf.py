"""An entry as an event of the Open Cybersecurity Schema Framework, version 1.1.0.

Source: schema.ocsf.io/1.1.0, github.com/ocsf/ocsf-schema, events/iam and events/application. Four classes are used, by what the noun
of the action speaks of: Authentication (3002), Account Change (3001), Entity Management (3004), API Activity (6003); an action that is
in no table is a Base Event (0). The entry itself stands under `unmapped`, so that nothing is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from audit.formats.cloudevents import event_id
from audit.queries import LoggedEntry

VERSION: Final = "1.1.0"
OTHER: Final = 99


@dataclass(frozen=True, slots=True)
class EventClass:
    """A class of the schema and the category that it belongs to."""

    uid: int
    name: str
    category: int
    category_name: str


BASE: Final = EventClass(0, "Base Event", 0, "Uncategorized")
ACCOUNT_CHANGE: Final = EventClass(3001, "Account Change", 3, "Identity & Access Management")
AUTHENTICATION: Final = EventClass(3002, "Authentication", 3, "Identity & Access Management")
ENTITY_MANAGEMENT: Final = EventClass(3004, "Entity Management", 3, "Identity & Access Management")
API_ACTIVITY: Final = EventClass(6003, "API Activity", 6, "Application Activity")

CREATE, READ, UPDATE, DELETE = 1, 2, 3, 4
AUTHENTICATIONS: Final[Mapping[str, int]] = {
    "session.start": 1,  # Logon
    "session.end": 2,  # Logoff
    "session.reauthenticate": OTHER,
    "session.use": 1,
    "token.use": 1,
}
ACCOUNT_CHANGES: Final[Mapping[str, int]] = {
    "person.create": 1,  # Create
    "service.create": 1,
    "person.reactivate": 2,  # Enable
    "person.set_password": 3,  # Password Change
    "person.deactivate": 5,  # Disable
    "subject.erase": 6,  # Delete
    "role.assign": 7,  # Attach Policy
    "group.add": 7,
    "access.grant": 7,
    "role.withdraw": 8,  # Detach Policy
    "group.remove": 8,
    "access.withdraw": 8,
    "authenticator.add": 10,  # MFA Factor Enable
    "authenticator.remove": 11,  # MFA Factor Disable
    "authenticator.reset": 11,
    "person.set_keys": OTHER,
    "token.issue": OTHER,
    "token.revoke": OTHER,
}
API_ACTIVITIES: Final[Mapping[str, int]] = {
    "evidence.export": READ,
    "ledger.export": READ,
    "ledger.verify": READ,
    "ledger.view": READ,
    "model.score": OTHER,
    "model.view": READ,
    "outcomes.feed": CREATE,
    "predictions.count": OTHER,
    "review.read": READ,
    "version.download": READ,
    "version.pull": READ,
}
ENTITIES: Final = frozenset(
    {
        "alert", "alias", "approval", "break_glass", "card", "certificate", "comment", "comparison", "dataset", "dataset_version",
        "delegation", "deployment", "envelope", "evidence", "exception", "experiment", "finding", "grace", "job", "key", "ledger", "model",
        "notification", "policy", "recipe", "retraining", "review", "review_pack", "round", "sign_off", "thread", "thresholds",
        "training", "version", "window",
    }
)  # fmt: skip
"""Nouns of what is managed; their verbs are read by `VERBS`."""
VERBS: Final[Mapping[str, int]] = {
    **dict.fromkeys(
        (
            "add", "ask", "create", "draft", "enqueue", "give", "grant", "issue", "open", "propose", "raise", "register", "request",
            "rotate",
        ),
        CREATE,
    ),
    **dict.fromkeys(("read", "rehearse", "remind"), READ),
    **dict.fromkeys(("delete", "destroy", "dismiss", "withdraw"), DELETE),
}  # fmt: skip
"""What a verb does to an entity; every other verb updates it."""
_STATUS: Final = {"ok": (1, "Success"), "denied": (2, "Failure"), "error": (2, "Failure")}
_SEVERITY: Final = {"ok": (1, "Informational"), "denied": (2, "Low"), "error": (3, "Medium")}
_USER_TYPES: Final = {"person": 1, "service": 3, "system": 3}


def classify(action: str) -> tuple[EventClass, int]:
    """The class of an action and its activity there."""
    for table, found in (
        (AUTHENTICATIONS, AUTHENTICATION),
        (ACCOUNT_CHANGES, ACCOUNT_CHANGE),
        (API_ACTIVITIES, API_ACTIVITY),
    ):
        if action in table:
            return found, table[action]
    noun, _, verb = action.partition(".")
    return (ENTITY_MANAGEMENT, VERBS.get(verb, UPDATE)) if noun in ENTITIES else (BASE, OTHER)


def event(one: LoggedEntry, origin: str) -> bytes:
    """The event of a logged entry, without a line's end."""
    entry = one.entry
    found, activity = classify(entry.action)
    status, severity = _STATUS.get(entry.outcome, (0, "Unknown")), _SEVERITY.get(entry.outcome, (0, "Unknown"))
    fields: dict[str, Any] = {
        "metadata": {
            "version": VERSION,
            "product": {"name": "Countersign", "vendor_name": "Countersign"},
            "uid": event_id(origin, one.seq or 0),
            "log_name": origin,
            "original_time": one.at.isoformat().replace("+00:00", "Z"),
            "correlation_uid": entry.request_id,
        },
        "time": entry.t // 1_000,
        "class_uid": found.uid,
        "class_name": found.name,
        "category_uid": found.category,
        "category_name": found.category_name,
        "activity_id": activity,
        "activity_name": entry.action,
        "type_uid": found.uid * 100 + activity,
        "severity_id": severity[0],
        "severity": severity[1],
        "status_id": status[0],
        "status": status[1],
        "status_detail": entry.why,
        "message": entry.action,
        "actor": {"user": _user(entry.actor_kind, entry.actor_id)},
        **_own(one, found),
    }
    return orjson.dumps(fields)[:-1] + b',"unmapped":{"entry":' + one.payload + b"}}"


def _own(one: LoggedEntry, found: EventClass) -> dict[str, Any]:
    """What the class asks for beyond the base."""
    entry = one.entry
    thing = {"uid": entry.obj_id, "name": entry.obj_name, "type": entry.obj_kind}
    if found is AUTHENTICATION:
        who = _user(entry.obj_kind, entry.obj_id) if entry.obj_id else _user(entry.actor_kind, entry.actor_id)
        return {"user": who, "service": {"name": "Countersign"}, "logon_process": {"name": entry.via or "unknown"}}
    if found is ACCOUNT_CHANGE:
        return {"user": {**_user(entry.obj_kind, entry.obj_id), **({"name": entry.obj_name} if entry.obj_name else {})}}
    if found is ENTITY_MANAGEMENT:
        return {"entity": {**thing, "version": entry.obj_version}}
    if found is API_ACTIVITY:
        api = {"operation": entry.action, "service": {"name": "Countersign"}, "request": {"uid": entry.request_id}}
        return {"api": api, "src_endpoint": {"name": entry.via or "unknown"}, "resources": [thing]}
    return {}


def _user(kind: str, identity: str) -> dict[str, Any]:
    return {"uid": identity, "type": kind, "type_id": _USER_TYPES.get(kind, OTHER if kind else 0)}
