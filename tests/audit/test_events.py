"""The words of the ledger: each has a sentence for people, is written somewhere, and stands in the document."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings

from audit.actions import append, append_alone
from audit.events import Action, Outcome
from audit.tally import tallied
from config.vocabulary import document
from tests.audit.conftest import ALICE, CREDIT

ROOMS = (
    "access", "audit", "config", "datasets", "jobs", "monitoring", "notices", "registry", "reports", "reviews", "serving",
    "training",
)  # fmt: skip


def test_every_action_has_a_sentence_of_its_own() -> None:
    sentences = [one.sentence for one in Action]

    assert [one for one in Action if not one.sentence] == []
    assert len(set(sentences)) == len(sentences)
    assert [one for one in sentences if not re.fullmatch(r"[a-z][^|]+[a-z]", one)] == []


def test_every_action_is_a_word_of_two_parts_named_as_it_reads() -> None:
    assert [one for one in Action if not re.fullmatch(r"[a-z_]+\.[a-z_]+", one)] == []
    assert [one for one in Action if one.name != one.replace(".", "_").upper()] == []


def test_every_action_is_written_somewhere() -> None:
    sources = [path for room in ROOMS for path in (settings.BASE_DIR / room).rglob("*.py")]
    text = "\n".join(path.read_text() for path in sources if path.name != "events.py")

    assert [one for one in Action if not re.search(rf"\bAction\.{one.name}\b", text)] == []


def test_the_document_says_what_the_tables_say() -> None:
    drawn = (Path(settings.BASE_DIR) / "docs" / "ledger-entries.md").read_text()

    assert drawn == document(), "Run `manage.py ledger_entries`."


@pytest.mark.django_db
def test_tallies_count_what_is_written_while_they_are_open_also_inside_each_other() -> None:
    append_alone(Action.MODEL_UPDATE, by=ALICE, obj=CREDIT)
    with tallied() as outer:
        append_alone(Action.MODEL_UPDATE, by=ALICE, obj=CREDIT, after={"tier": 1})
        with tallied() as inner:
            append_alone(Action.MODEL_VIEW, by=ALICE, obj=CREDIT, outcome=Outcome.DENIED)
    append(Action.MODEL_VIEW, by=ALICE, obj=CREDIT)

    assert [(one.action, one.outcome) for one in inner] == [(Action.MODEL_VIEW, Outcome.DENIED)]
    assert [one.action for one in outer] == [Action.MODEL_UPDATE, Action.MODEL_VIEW]
    assert outer[0].changed == {"after": {"tier": 1}}
