"""Decides what the database itself refuses: pointing a stage's alias past a promotion, and changing what is immutable.

The same sentences on SQLite and PostgreSQL, against mistakes, stray SQL and the ORM alike. A superuser can take them off, which
is why a release is believed for its signature and not for its row (see `releases`); `missing` says when they are off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from django.db.backends.base.base import BaseDatabaseWrapper


@dataclass(frozen=True, slots=True)
class Rule:
    """One trigger: on which event of which table it refuses (when `condition` holds), and the sentence.

    `{same}` stands for the operator that compares with NULL as a value.
    """

    name: str
    table: str
    event: str
    sentence: str
    condition: str = ""


def _immutable(table: str, what: str, *, keys: Sequence[Sequence[str]]) -> list[Rule]:
    """Refuse UPDATE and DELETE, and the replacing INSERT that SQLite has."""
    return [
        Rule(f"{table}_no_update", table, "UPDATE", f"{what} is never changed"),
        Rule(f"{table}_no_delete", table, "DELETE", f"{what} is never deleted"),
        *_no_replace(table, what, keys),
    ]


def _no_replace(table: str, what: str, keys: Sequence[Sequence[str]]) -> list[Rule]:
    same = " OR ".join(
        "(" + " AND ".join(f"there.{column} = NEW.{column}" for column in key) + ")" for key in (("id",), *keys) if key
    )
    return [
        Rule(
            f"{table}_no_replace",
            table,
            "INSERT",
            f"{what} is never replaced",
            f"EXISTS (SELECT 1 FROM {table} AS there WHERE {same})",  # noqa: S608 - our own constants
        )
    ]


_PROVENANCE: Final = (
    "id",
    "model_id",
    "number",
    "created_by_id",
    "created_at",
    "trained_by_id",
    "dataset_version_id",
    "recipe_id",
    "retrain_of_id",
    "job_uuid",
)
_BYTES: Final = ("manifest", "digest", "size_bytes", "source", "run_id", "logged_model_id", "code_reference", "flavour")


def _changed(columns: Sequence[str]) -> str:
    return " OR ".join(f"NEW.{column} {{differs}} OLD.{column}" for column in columns)


_VERSION: Final = "registry_modelversion"
_ALIAS: Final = "registry_alias"
_STAGE: Final = "registry_stage"
_UNPROMOTED: Final = (
    "NEW.stage_id IS NOT NULL AND NOT EXISTS ("
    "SELECT 1 FROM registry_promotion AS promotion "
    "JOIN registry_stage AS stage ON stage.id = promotion.stage_id "
    "JOIN registry_modelversion AS version ON version.id = promotion.version_id "
    "WHERE promotion.id = NEW.promotion_id AND promotion.model_id = NEW.model_id "
    "AND promotion.version_id = NEW.version_id AND promotion.stage_id = NEW.stage_id "
    "AND stage.alias = NEW.name AND version.model_id = NEW.model_id AND version.state IN ('approved', 'live') "
    "AND NOT EXISTS (SELECT 1 FROM registry_promotion AS later WHERE later.model_id = promotion.model_id "
    "AND later.stage_id = promotion.stage_id AND later.id > promotion.id))"
)
_TAKES_A_STAGE: Final = (
    "NEW.stage_id IS NULL AND EXISTS (SELECT 1 FROM registry_stage AS stage WHERE lower(stage.alias) = lower(NEW.name))"
)
_OF_ANOTHER_MODEL: Final = (
    "NOT EXISTS (SELECT 1 FROM registry_modelversion AS own "
    "WHERE own.id = NEW.version_id AND own.model_id = NEW.model_id)"
)

_ALIAS_RULES: Final = [
    Rule(f"{_ALIAS}_{name}_{event.lower()}", _ALIAS, event, sentence, condition)
    for event in ("INSERT", "UPDATE")
    for name, sentence, condition in (
        ("promoted", "a stage alias points only at what its newest promotion promoted", _UNPROMOTED),
        ("free", "a free alias does not take the name of a stage", _TAKES_A_STAGE),
        ("own", "an alias points at a version of its own model", _OF_ANOTHER_MODEL),
    )
]

RULES: Final = (
    *_ALIAS_RULES,
    Rule(
        f"{_ALIAS}_stays_protected",
        _ALIAS,
        "UPDATE",
        "a stage alias stays the alias of its stage",
        "OLD.stage_id IS NOT NULL AND (" + _changed(("stage_id", "name", "model_id")) + ")",
    ),
    *_immutable("registry_promotion", "a promotion", keys=[["uuid"], ["release_digest"]]),
    *_immutable("registry_evidence", "evidence", keys=[]),
    *_immutable("registry_modelcardrevision", "a card revision", keys=[["version_id", "number"]]),
    Rule("registry_blob_no_update", "registry_blob", "UPDATE", "a stored file is never changed"),
    Rule("registry_blob_no_delete", "registry_blob", "DELETE", "a stored file is never deleted"),
    Rule(
        "registry_blob_no_replace",
        "registry_blob",
        "INSERT",
        "a stored file is never replaced",
        "EXISTS (SELECT 1 FROM registry_blob AS there WHERE there.digest = NEW.digest)",
    ),
    Rule(f"{_VERSION}_no_delete", _VERSION, "DELETE", "a version is never deleted"),
    *_no_replace(_VERSION, "a version", [["model_id", "number"]]),
    Rule(
        f"{_VERSION}_provenance",
        _VERSION,
        "UPDATE",
        "where a version came from is never changed",
        _changed(_PROVENANCE),
    ),
    Rule(
        f"{_VERSION}_bytes",
        _VERSION,
        "UPDATE",
        "the bytes of a version are never changed",
        f"OLD.state <> 'quarantined' AND ({_changed(_BYTES)} OR NEW.state = 'quarantined')",
    ),
    Rule(f"{_STAGE}_no_delete", _STAGE, "DELETE", "a stage is never deleted"),
    *_no_replace(_STAGE, "a stage", [["name"], ["alias"]]),
    Rule(
        f"{_STAGE}_name",
        _STAGE,
        "UPDATE",
        "name and alias of a stage are never changed",
        _changed(("id", "name", "alias")),
    ),
    Rule(
        f"{_STAGE}_alias_taken",
        _STAGE,
        "INSERT",
        "a free alias has the name of this stage already",
        "EXISTS (SELECT 1 FROM registry_alias AS there WHERE lower(there.name) = lower(NEW.alias))",
    ),
)


def install(connection: BaseDatabaseWrapper, rules: Sequence[Rule] = RULES) -> None:
    """Create the triggers of `rules`."""
    found = _rules(connection.vendor, rules)
    _execute(connection, [statement for rule in found for statement in _create(connection.vendor, rule)])


def remove(connection: BaseDatabaseWrapper, rules: Sequence[Rule] = RULES) -> None:
    """Drop the triggers, as the reverse of the migration that creates them."""
    rules = _rules(connection.vendor, rules)
    if connection.vendor == "sqlite":
        _execute(connection, [f"DROP TRIGGER {rule.name}" for rule in rules])
    else:
        _execute(connection, [f"DROP FUNCTION {rule.name}() CASCADE" for rule in rules])


def expected(vendor: str, rules: Sequence[Rule] = RULES) -> frozenset[str]:
    """The names of the triggers that have to be there."""
    return frozenset(rule.name for rule in _rules(vendor, rules))


def missing(connection: BaseDatabaseWrapper, rules: Sequence[Rule] = RULES) -> frozenset[str]:
    """The names of the triggers that are not there, or are switched off."""
    query = (
        "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        if connection.vendor == "sqlite"
        else "SELECT tgname FROM pg_trigger WHERE tgenabled IN ('O', 'A')"
    )
    with connection.cursor() as cursor:
        cursor.execute(query)
        return expected(connection.vendor, rules) - {name for (name,) in cursor.fetchall()}


def _rules(vendor: str, rules: Sequence[Rule]) -> list[Rule]:
    """PostgreSQL has no replacing INSERT but a TRUNCATE; SQLite the other way round."""
    if vendor == "sqlite":
        return list(rules)
    kept = [rule for rule in rules if not rule.name.endswith("_no_replace")]
    deleted = [rule for rule in kept if rule.event == "DELETE"]
    return kept + [
        Rule(rule.name.replace("_no_delete", "_no_truncate"), rule.table, "TRUNCATE", rule.sentence) for rule in deleted
    ]


def _create(vendor: str, rule: Rule) -> list[str]:
    if vendor == "sqlite":
        condition = f"WHEN {rule.condition.format(differs='IS NOT')} " if rule.condition else ""
        return [
            f"CREATE TRIGGER {rule.name} BEFORE {rule.event} ON {rule.table} {condition}"
            f"BEGIN SELECT RAISE(ABORT, '{rule.sentence}'); END"
        ]
    # PostgreSQL allows no subquery in WHEN, so the condition stands in the function.
    refuse = f"RAISE EXCEPTION '{rule.sentence}' USING ERRCODE = 'integrity_constraint_violation';"
    if rule.condition:
        refuse = f"IF {rule.condition.format(differs='IS DISTINCT FROM')} THEN {refuse} END IF;"
    rows = "STATEMENT" if rule.event == "TRUNCATE" else "ROW"
    result = {"DELETE": "OLD", "TRUNCATE": "NULL"}.get(rule.event, "NEW")
    return [
        f"CREATE FUNCTION {rule.name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {refuse} RETURN {result}; END $$",
        f"CREATE TRIGGER {rule.name} BEFORE {rule.event} ON {rule.table} FOR EACH {rows} EXECUTE FUNCTION {rule.name}()",
    ]


def _execute(connection: BaseDatabaseWrapper, statements: Sequence[str]) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
