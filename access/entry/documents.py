"""Decides what an access policy may say: which models and actions it is for, and who is let in or kept out of them, on what terms. Pure.

A document is closed, and everything that is wrong with it is told when it is saved, for expressions with the position.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec

from access.entry.language import check_rule
from countersign.proof.canonical import digest_of
from foundation.cel import BadExpression
from foundation.documents import Flaw, examined, refusal

FORMAT: Final = 1
MOST_RULES: Final = 50
MOST_NAMES: Final = 200
_KEY: Final = re.compile(r"[a-z][a-z0-9-]{0,39}")
_MODEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,127}\*?")
_MOST: Final = {"rules": MOST_RULES}
TIERS: Final = (1, 2, 3)


class Doing(StrEnum):
    """What access policies govern."""

    READ = "read"
    PULL = "pull"
    SCORE = "score"


STAGED: Final = frozenset({Doing.PULL, Doing.SCORE})
"""What is done at a stage; reading is done at none."""


class Effect(StrEnum):
    """Whether a rule lets in or keeps out."""

    ALLOW = "allow"
    DENY = "deny"


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which requests a policy is for; an empty list does not narrow. A model's name may end with `*`, for all that begin so."""

    actions: tuple[Doing, ...] = tuple(Doing)
    models: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()
    tiers: tuple[int, ...] = ()
    stages: tuple[str, ...] = ()

    @property
    def level(self) -> int:
        """How far from the request it stands: first those that name models, then teams, tiers, everything.

        Of those that are equal in this, one that names stages is nearer, and then one that is for some actions only.
        """
        of_models = next((n for n, narrows in enumerate((self.models, self.teams, self.tiers)) if narrows), 3)
        return 4 * of_models + (0 if self.stages else 2) + (0 if set(self.actions) < set(Doing) else 1)


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One rule: `when` is a CEL expression over `language.FIELDS`; `because` and `satisfy` are told to whoever is refused by it."""

    key: str
    effect: Effect
    because: str
    when: str = "true"
    satisfy: str = ""


class EntryDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The text of one version of an access policy."""

    title: str
    rules: tuple[Rule, ...]
    target: Target = Target()
    summary: str = ""
    format: int = FORMAT

    @property
    def digest(self) -> str:
        """The SHA-256 of the canonical document."""
        return digest_of(self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """The document as JSON types, defaults written out: what is stored and hashed."""
        found: dict[str, Any] = json.loads(msgspec.json.encode(self))
        return found


def parse(content: Mapping[str, Any]) -> EntryDocument:
    """The document that `content` is; raises `Invalid` naming everything that is wrong with it."""
    document, flaws = examine(content)
    if document is None or flaws:
        raise refusal(flaws)
    return document


def examine(content: Mapping[str, Any]) -> tuple[EntryDocument | None, list[Flaw]]:
    """The document as far as it can be read, and everything that is wrong with it. One that is far too long is not read at all."""
    return examined(content, EntryDocument, most=_MOST, flaws=_flaws)


def _flaws(document: EntryDocument) -> Iterable[Flaw]:
    if document.format != FORMAT:
        yield Flaw("format", f"This product reads format {FORMAT}.")
    if not document.title.strip() or len(document.title) > 160:
        yield Flaw("title", "A policy needs a title of at most 160 characters.")
    if not document.rules:
        yield Flaw("rules", "A policy needs at least one rule.")
    yield from _target_flaws(document.target)
    keys = [rule.key for rule in document.rules]
    for number, rule in enumerate(document.rules):
        yield from _rule_flaws(f"rules[{number}]", rule, keys[:number])


def _target_flaws(target: Target) -> Iterable[Flaw]:
    if not target.actions:
        yield Flaw("target.actions", f"Name at least one of {', '.join(Doing)}.")
    if not set(target.tiers) <= set(TIERS):
        yield Flaw("target.tiers", "The tiers are 1, 2 and 3.")
    for name in ("models", "teams", "stages"):
        if len(getattr(target, name)) > MOST_NAMES:
            yield Flaw(f"target.{name}", f"At most {MOST_NAMES} names.")
    for number, name in enumerate(target.models):
        if not _MODEL.fullmatch(name):
            yield Flaw(f"target.models[{number}]", "Write a model's name, or its beginning and *.")
    for name in ("teams", "stages"):
        if any(not one.strip() for one in getattr(target, name)):
            yield Flaw(f"target.{name}", "A name must say something.")
    if target.stages and not set(target.actions) <= STAGED:
        yield Flaw(
            "target.stages", "Reading is done at no stage: a policy that names stages is for pull and score only."
        )


def _rule_flaws(where: str, rule: Rule, before: Sequence[str]) -> Iterable[Flaw]:
    if not _KEY.fullmatch(rule.key):
        yield Flaw(f"{where}.key", "Use small letters, digits and hyphens, at most 40, starting with a letter.")
    if rule.key in before:
        yield Flaw(f"{where}.key", f"{rule.key} is used twice.")
    if not rule.because.strip():
        yield Flaw(f"{where}.because", "This must say something: whoever is refused reads it.")
    if (rule.effect is Effect.DENY or rule.when.strip() != "true") and not rule.satisfy.strip():
        yield Flaw(f"{where}.satisfy", "Say what would satisfy the rule: whoever is refused reads it.")
    for name in ("because", "satisfy"):
        if len(getattr(rule, name)) > 300:
            yield Flaw(f"{where}.{name}", "At most 300 characters.")
    try:
        check_rule(rule.when)
    except BadExpression as error:
        yield Flaw(f"{where}.when", error.detail, error.line, error.column)
