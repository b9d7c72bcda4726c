"""Decides what the database itself refuses about decisions: changing or erasing what was signed, published or revoked.

Seat-belts against stray SQL and the ORM, as in `registry.triggers`. Whoever owns the database can take them off, which is why an
approval is believed for its signatures and not for its rows (see `reviews.proof`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from registry.triggers import Rule


def _changed(*columns: str) -> str:
    return " OR ".join(f"NEW.{column} {{differs}} OLD.{column}" for column in columns)


def _kept(table: str, what: str, *columns: str) -> list[Rule]:
    """Never deleted, and the named columns never change."""
    return [
        Rule(f"{table}_no_delete", table, "DELETE", f"{what} is never deleted"),
        Rule(f"{table}_kept", table, "UPDATE", f"{what} is never changed", _changed(*columns)),
    ]


_SIGNED: Final = (
    "id",
    "uuid",
    "round_id",
    "slot_id",
    "person_id",
    "decision",
    "reason",
    "statement",
    "statement_digest",
    "reauthentication_id",
    "delegation_id",
    "idempotency_key",
    "signed_at",
)

RULES: Final[Sequence[Rule]] = (
    *_kept("reviews_signoff", "what was signed", *_SIGNED),
    Rule(
        "reviews_signoff_stays_withdrawn",
        "reviews_signoff",
        "UPDATE",
        "a withdrawn sign-off does not come back",
        "OLD.withdrawn_at IS NOT NULL AND (" + _changed("withdrawn_at", "dismissed_by_id") + ")",
    ),
    *_kept("reviews_revocation", "a revocation", "id", "uuid", "version_id", "reason", "statement", "by_id", "at"),
    *_kept(
        "reviews_approval",
        "whom an approval is for",
        *("id", "version_id", "stage_id", "round_id", "basis", "break_glass_id", "envelope_id", "approved_at"),
    ),
    Rule(
        "reviews_approval_stays_revoked",
        "reviews_approval",
        "UPDATE",
        "a revoked approval does not come back",
        "OLD.revocation_id IS NOT NULL AND (" + _changed("revocation_id") + ")",
    ),
    *_kept("reviews_round", "a round", "id", "review_id", "number", "compared_with_id", "opened_by_id"),
    Rule(
        "reviews_round_stays_closed",
        "reviews_round",
        "UPDATE",
        "a closed round never opens again and keeps what it froze",
        "OLD.state <> 'open' AND (" + _changed("state", "subject", "subject_digest", "valid_until") + ")",
    ),
    *_kept(
        "reviews_slot",
        "a slot",
        *("id", "round_id", "key", "group_id", "alternates_id", "people", "facets", "delegable"),
    ),
    *_kept(
        "reviews_comment",
        "a comment",
        *("id", "review_id", "thread_id", "section", "feedback", "body", "author_id", "at"),
    ),
    *_kept("reviews_commentrevision", "an edit of a comment", "id", "comment_id", "number", "body", "at"),
    *_kept(
        "reviews_thread",
        "where a thread is anchored",
        *("id", "uuid", "review_id", "section", "evidence_id", "path", "opened_by_id", "opened_at"),
    ),
    *_kept(
        "reviews_findingevent",
        "a step of a finding",
        *(
            "id",
            "finding_id",
            "kind",
            "body",
            "due_at",
            "by_id",
            "at",
            "statement",
            "statement_digest",
            "reauthentication_id",
        ),
    ),
    *_kept(
        "reviews_finding",
        "what a finding says",
        *("id", "uuid", "version_id", "sign_off_id", "title", "detail", "severity", "raised_by_id", "raised_at"),
    ),
    *_kept(
        "reviews_gateexception",
        "an exception",
        *(
            "id",
            "uuid",
            "round_id",
            "gate_key",
            "slot_id",
            "person_id",
            "reason",
            "compensating_control",
            "ends_at",
            "statement",
            "statement_digest",
            "reauthentication_id",
            "signed_at",
        ),
    ),
    Rule(
        "reviews_gateexception_stays_withdrawn",
        "reviews_gateexception",
        "UPDATE",
        "a withdrawn exception does not come back",
        "OLD.withdrawn_at IS NOT NULL AND (" + _changed("withdrawn_at") + ")",
    ),
    *_kept(
        "reviews_policysignature",
        "a signature under a policy",
        *(
            "id",
            "uuid",
            "policy_version_id",
            "person_id",
            "decision",
            "reason",
            "statement",
            "statement_digest",
            "reauthentication_id",
            "signed_at",
        ),
    ),
    *_kept(
        "reviews_delegation",
        "a delegation",
        *("id", "uuid", "delegator_id", "delegate_id", "group_id", "starts_at", "ends_at"),
    ),
    Rule(
        "reviews_delegation_stays_ended",
        "reviews_delegation",
        "UPDATE",
        "a delegation that was taken back does not come back",
        "OLD.ended_at IS NOT NULL AND (" + _changed("ended_at") + ")",
    ),
    *_kept(
        "reviews_rollback",
        "a rollback",
        *(
            "id",
            "promotion_id",
            "person_id",
            "reason",
            "statement",
            "statement_digest",
            "reauthentication_id",
            "signed_at",
        ),
    ),
    *_kept("reviews_lapse", "a lapse", "id", "uuid", "approval_id", "kind", "reason", "at"),
    *_kept(
        "reviews_breakglass",
        "what was asked in an emergency",
        *(
            "id",
            "uuid",
            "review_id",
            "version_id",
            "stage_id",
            "previous_id",
            "reason",
            "text",
            "hours",
            "asked_by_id",
            "asked_at",
            "asked_statement",
            "asked_digest",
        ),
    ),
    Rule(
        "reviews_breakglass_stays_ended",
        "reviews_breakglass",
        "UPDATE",
        "a break-glass that ended does not come back",
        "OLD.ended_at IS NOT NULL AND (" + _changed("state", "ended_at", "ends_at") + ")",
    ),
    *_kept(
        "reviews_retrainingenvelope",
        "the bounds of an envelope",
        *(
            "id",
            "uuid",
            "model_id",
            "stage_id",
            "base_id",
            "bounds",
            "digest",
            "valid_until",
            "proposed_by_id",
            "proposed_at",
        ),
    ),
    Rule(
        "reviews_retrainingenvelope_stays_ended",
        "reviews_retrainingenvelope",
        "UPDATE",
        "an envelope that ended does not come back",
        "OLD.ended_at IS NOT NULL AND (" + _changed("state", "ended_at") + ")",
    ),
    *_kept(
        "reviews_envelopesignature",
        "a signature under an envelope",
        *(
            "id",
            "uuid",
            "envelope_id",
            "slot_key",
            "person_id",
            "reason",
            "statement",
            "statement_digest",
            "reauthentication_id",
            "signed_at",
        ),
    ),
    Rule("reviews_policyversion_no_delete", "reviews_policyversion", "DELETE", "a policy version is never deleted"),
    Rule(
        "reviews_policyversion_kept",
        "reviews_policyversion",
        "UPDATE",
        "a published policy never changes",
        "OLD.status IN ('published', 'retired') AND (NEW.status IN ('draft', 'proposed') OR "
        + _changed("id", "policy_id", "number", "content", "digest", "published_by_id", "published_at")
        + ")",
    ),
    Rule(
        "reviews_policyversion_proposed",
        "reviews_policyversion",
        "UPDATE",
        "a policy that waits for its signatures is not changed",
        "OLD.status = 'proposed' AND (" + _changed("id", "policy_id", "number", "content", "digest") + ")",
    ),
    Rule(
        "reviews_policyversion_stays_retired",
        "reviews_policyversion",
        "UPDATE",
        "a retired policy does not come back",
        "OLD.status = 'retired' AND NEW.status <> 'retired'",
    ),
    *_kept(
        "reviews_policyrehearsal",
        "a rehearsal",
        *("id", "uuid", "policy_version_id", "policy_digest", "result", "digest", "by_id", "at"),
    ),
)


@dataclass(frozen=True, slots=True)
class Unique:
    """Columns that no two rows share; `among`: only among rows for which this holds, each named `{row}`."""

    columns: tuple[str, ...]
    among: str = ""

    def shared(self) -> str:
        """Whether the new row and one that is there share them."""
        same = [f"there.{column} = NEW.{column}" for column in self.columns]
        both = [self.among.format(row=row) for row in ("there", "NEW")] if self.among else []
        return "(" + " AND ".join([*same, *both]) + ")"


_UUID: Final = Unique(("uuid",))
_PROOF: Final = (Unique(("statement_digest",)), Unique(("reauthentication_id",)))

UNIQUE: Final[Mapping[str, Sequence[Unique]]] = {
    "reviews_approval": (
        Unique(("promotion_id",)),
        Unique(("break_glass_id",)),
        Unique(("round_id",), "{row}.basis = 'review'"),
    ),
    "reviews_breakglass": (
        _UUID,
        Unique(("asked_digest",)),
        Unique(("seconded_digest",)),
        Unique(("asked_reauthentication_id",)),
        Unique(("seconded_reauthentication_id",)),
        Unique(("version_id", "stage_id"), "{row}.state IN ('asked', 'in_force')"),
    ),
    "reviews_comment": (),
    "reviews_commentrevision": (Unique(("comment_id", "number")),),
    "reviews_delegation": (_UUID,),
    "reviews_envelopesignature": (_UUID, *_PROOF, Unique(("envelope_id", "person_id"))),
    "reviews_finding": (_UUID,),
    "reviews_findingevent": _PROOF,
    "reviews_gateexception": (_UUID, *_PROOF, Unique(("round_id", "gate_key"), "{row}.withdrawn_at IS NULL")),
    "reviews_lapse": (_UUID, Unique(("approval_id",))),
    "reviews_policyrehearsal": (_UUID,),
    "reviews_policysignature": (_UUID, *_PROOF),
    "reviews_policyversion": (
        Unique(("policy_id", "number")),
        Unique(("policy_id",), "{row}.status = 'published'"),
        Unique(("policy_id",), "{row}.status IN ('draft', 'proposed')"),
    ),
    "reviews_retrainingenvelope": (
        _UUID,
        Unique(("model_id", "stage_id"), "{row}.state IN ('proposed', 'signed')"),
    ),
    "reviews_revocation": (_UUID, Unique(("reauthentication_id",))),
    "reviews_rollback": (*_PROOF, Unique(("promotion_id",))),
    "reviews_round": (Unique(("review_id", "number")), Unique(("review_id",), "{row}.state = 'open'")),
    "reviews_signoff": (
        _UUID,
        *_PROOF,
        Unique(("idempotency_key",)),
        Unique(("round_id", "slot_id", "person_id"), "{row}.withdrawn_at IS NULL"),
        Unique(("round_id", "person_id"), "{row}.withdrawn_at IS NULL"),
    ),
    "reviews_slot": (Unique(("round_id", "key")),),
    "reviews_thread": (_UUID,),
}
"""What of each kept table no two rows share, beside `id`: a row that would be in the way of another is not to vanish."""


def _no_replace(table: str, keys: Sequence[Unique]) -> list[Rule]:
    """Refuse what SQLite's `OR REPLACE` does: it removes the rows in the way and fires no DELETE trigger for them."""
    what = next(rule.sentence for rule in RULES if rule.table == table and rule.event == "DELETE")
    sentence = what.replace("is never deleted", "is never replaced")
    there = f"EXISTS (SELECT 1 FROM {table} AS there WHERE "  # noqa: S608 - a name from UNIQUE above
    inserted = " OR ".join(key.shared() for key in (Unique(("id",)), *keys))
    rules = [Rule(f"{table}_no_replace", table, "INSERT", sentence, f"{there}{inserted})")]
    if keys:
        moved = " OR ".join(key.shared() for key in keys)
        others = f"{there}there.id <> OLD.id AND ({moved}))"
        rules.append(Rule(f"{table}_update_no_replace", table, "UPDATE", sentence, others))
    return rules


NOT_REPLACED: Final[Sequence[Rule]] = tuple(rule for table, keys in UNIQUE.items() for rule in _no_replace(table, keys))
"""Installed after `RULES`, by a migration of its own; PostgreSQL has nothing that replaces a row."""
