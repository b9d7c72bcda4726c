"""How every state in the product is shown: a colour class, an icon and a word, for people who cannot see the colour.

The one table that pages, fragments and the palette read. A state that is not listed is shown in grey with its own name.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Look:
    """`css` is the suffix of `badge--…`, `icon` a name in the sprite, `label` the word on the badge."""

    css: str
    icon: str
    label: str


LOOKS: Final[dict[str, Look]] = {
    # model versions and reviews
    "quarantined": Look("warn", "shield-lock", "In quarantine"),
    "refused": Look("bad", "shield-x", "Refused"),
    "draft": Look("draft", "pencil", "Draft"),
    "registered": Look("draft", "box", "Registered"),
    "in_review": Look("in_review", "eye", "In review"),
    "approved_with_conditions": Look("approved", "check-circle", "Approved with conditions"),
    "changes_requested": Look("changes_requested", "undo", "Changes requested"),
    "approved": Look("approved", "check-circle", "Approved"),
    "in_production": Look("in_production", "broadcast", "In production"),
    "live": Look("in_production", "broadcast", "Live"),
    "rejected": Look("bad", "x", "Rejected"),
    "revoked": Look("revoked", "ban", "Revoked"),
    "expired": Look("expired", "hourglass", "Expired"),
    "withdrawn": Look("draft", "undo", "Withdrawn"),
    "superseded": Look("draft", "history", "Superseded"),
    "archived": Look("draft", "box", "Archived"),
    "retired": Look("draft", "box", "Retired"),
    # decisions
    "approve": Look("approved", "check-circle", "Approved"),
    "approve_with_conditions": Look("approved", "check-circle", "Approved with conditions"),
    "request_changes": Look("changes_requested", "undo", "Changes requested"),
    "reject": Look("bad", "x", "Rejected"),
    # emergencies and envelopes
    "asked": Look("warn", "clock", "Waits for the second person"),
    "in_force": Look("bad", "alert", "In force"),
    "rolled_back": Look("draft", "undo", "Rolled back"),
    "declined": Look("draft", "x", "Declined"),
    "signed": Look("ok", "check-circle", "Signed"),
    # policies
    "proposed": Look("warn", "pencil", "Waiting for signatures"),
    "published": Look("ok", "policy", "In force"),
    # jobs
    "queued": Look("draft", "clock", "Queued"),
    "running": Look("info", "progress", "Running"),
    "succeeded": Look("ok", "check-circle", "Succeeded"),
    "failed": Look("bad", "x", "Failed"),
    "cancelled": Look("draft", "ban", "Cancelled"),
    "cancelling": Look("warn", "stop", "Cancelling"),
    # deployments
    "starting": Look("info", "progress", "Starting"),
    "serving": Look("in_production", "broadcast", "Serving"),
    "stopped": Look("draft", "stop", "Stopped"),
    "unhealthy": Look("bad", "alert", "Unhealthy"),
    # webhooks and deliveries
    "on": Look("ok", "check-circle", "On"),
    "paused": Look("warn", "hourglass", "Paused"),
    "off": Look("draft", "stop", "Off"),
    "waiting": Look("info", "clock", "Waits"),
    "delivered": Look("ok", "check-circle", "Delivered"),
    "withheld": Look("warn", "lock", "Withheld"),
    # alerts and findings
    "open": Look("warn", "flag", "Open"),
    "acknowledged": Look("info", "eye", "Acknowledged"),
    "resolved": Look("ok", "check-circle", "Resolved"),
    "answered": Look("info", "comment", "Answered"),
    "closed": Look("ok", "check-circle", "Verified"),
    "lapsed": Look("bad", "hourglass", "Lapsed"),
    "overdue": Look("bad", "clock", "Overdue"),
    "minor": Look("draft", "circle", "Minor"),
    "major": Look("warn", "alert", "Major"),
    "critical": Look("bad", "bolt", "Critical"),
    # measurements
    "ok": Look("ok", "check-circle", "Within limits"),
    "warn": Look("warn", "alert", "Warning"),
    "fail": Look("bad", "x", "Outside limits"),
    "insufficient": Look("draft", "help", "Too few rows"),
    # people, tokens, datasets
    "active": Look("ok", "check-circle", "Active"),
    "inactive": Look("draft", "lock", "Inactive"),
    "ready": Look("ok", "check-circle", "Ready"),
    "pending": Look("draft", "clock", "Pending"),
}


def look(state: object) -> Look:
    """The look of `state`; matching ignores case and reads a blank or hyphen as an underscore."""
    name = str(state or "").strip()
    key = name.lower().replace("-", "_").replace(" ", "_")
    return LOOKS.get(key) or Look("draft", "circle", key.replace("_", " ").capitalize() or "Unknown")
