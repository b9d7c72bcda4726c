"""An entry as a CloudEvent (CloudEvents 1.0.2, JSON format): `source` and `id` together name it for ever.

`source` is the ledger, `id` its origin and the entry's number: a receiver that was sent the same event twice sees it. `data` is the
entry's exact bytes.
"""

from __future__ import annotations

from typing import Final

import orjson

from audit.queries import LoggedEntry

TYPE_PREFIX: Final = "org.countersign.ledger."


def event_id(origin: str, seq: int) -> str:
    """The id of an event, the same whenever and to whomever it is sent."""
    return f"{origin}/{seq}"


def event(one: LoggedEntry, origin: str) -> bytes:
    """The event of a logged entry, without a line's end."""
    entry = one.entry
    subject = "/".join(part for part in (entry.obj_kind, entry.obj_id or entry.obj_name) if part)
    attributes = {
        "specversion": "1.0",
        "id": event_id(origin, one.seq or 0),
        "source": f"//{origin}",
        "type": TYPE_PREFIX + entry.action,
        "time": one.at.isoformat().replace("+00:00", "Z"),
        "subject": subject,
        "datacontenttype": "application/json",
        "sequence": f"{one.seq:020}",
    }
    return (
        orjson.dumps({name: value for name, value in attributes.items() if value})[:-1]
        + b',"data":'
        + one.payload
        + b"}"
    )
