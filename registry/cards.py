"""What a model card has to say, and how much of it has been said. Pure; for the card's page, its gates and the certificate."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from foundation.refusals import Invalid

MAX_SECTION_CHARACTERS: Final = 20_000
ENOUGH_CHARACTERS: Final = 20


@dataclass(frozen=True, slots=True)
class Section:
    """One section: its key, its title, and the question that it answers."""

    key: str
    title: str
    question: str


SECTIONS: Final = (
    Section("intended_use", "Intended use", "Which decision does it support, for whom, and who acts on the answer?"),
    Section("not_for", "Not for", "For which uses, people or places has it not been made or tested?"),
    Section("data", "Data", "What was it trained and tested on, from where and when, and what is known to be missing?"),
    Section("evaluation", "Evaluation", "How was it tested, how well does it do, and for whom does it do worse?"),
    Section("limitations", "Limitations", "When is it likely to be wrong, and how would one notice?"),
    Section("ethics", "Ethical considerations", "Who could be harmed, how, and what was done about it?"),
    Section(
        "oversight", "Human oversight", "Who watches it, who can stop it, and how does a person contest an answer?"
    ),
    Section("owner", "Owner and contact", "Who answers for it, and how are they reached?"),
)
KEYS: Final = tuple(section.key for section in SECTIONS)


def checked(sections: Mapping[str, object]) -> dict[str, str]:
    """The sections as text; raises `Invalid` for unknown keys, for what is no text, and for more than 20,000 characters."""
    errors = {}
    for key, text in sections.items():
        if key not in KEYS:
            errors[str(key)] = f"There is no such section; the sections are {', '.join(KEYS)}."
        elif not isinstance(text, str):
            errors[key] = "A section is text in Markdown."
        elif len(text) > MAX_SECTION_CHARACTERS:
            errors[key] = f"A section has at most {MAX_SECTION_CHARACTERS:,} characters; this one has {len(text):,}."
    if errors:
        raise Invalid("The card was not saved: " + " ".join(errors.values()), code="card", errors=errors)
    return {key: str(text).replace("\r\n", "\n").strip() for key, text in sections.items()}


def missing(sections: Mapping[str, str]) -> list[Section]:
    """The sections that say nothing yet, or less than 20 characters (the owner's name may be shorter)."""
    return [section for section in SECTIONS if not _says_enough(section.key, sections.get(section.key, ""))]


def completeness(sections: Mapping[str, str]) -> float:
    """The share of sections that say something, from 0 to 1."""
    return 1 - len(missing(sections)) / len(SECTIONS)


class Revision(Protocol):
    """What is read of one revision."""

    sections: Any
    created_at: datetime


@dataclass(frozen=True, slots=True)
class DiffLine:
    """One line of a difference: `kind` is `added`, `removed` or `same`."""

    kind: str
    text: str


def difference(before: Mapping[str, str], after: Mapping[str, str]) -> list[tuple[Section, list[DiffLine]]]:
    """What changed, section by section, line by line; sections that are equal are left out."""
    changed = []
    for section in SECTIONS:
        old, new = before.get(section.key, ""), after.get(section.key, "")
        if old != new:
            changed.append((section, _lines(old, new)))
    return changed


def last_written(revisions: Sequence[Revision]) -> dict[str, datetime]:
    """When each section got the text that it has now: `revisions` newest first."""
    found: dict[str, datetime] = {}
    for place, revision in enumerate(revisions):
        earlier: Mapping[str, str] = revisions[place + 1].sections if place + 1 < len(revisions) else {}
        for key in KEYS:
            if key not in found and revision.sections.get(key, "") != earlier.get(key, ""):
                found[key] = revision.created_at
    return found


def _lines(old: str, new: str) -> list[DiffLine]:
    kinds = {"+ ": "added", "- ": "removed", "  ": "same"}
    lines = difflib.ndiff(old.splitlines(), new.splitlines())
    return [DiffLine(kinds[line[:2]], line[2:]) for line in lines if line[:2] in kinds]


def _says_enough(key: str, text: str) -> bool:
    return len(text.strip()) >= (1 if key == "owner" else ENOUGH_CHARACTERS)
