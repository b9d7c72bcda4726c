"""Where others reach it, an installation does not start while its checkpoints are held on its own machine only."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from audit.startup import WORDS, check_outside_anchor

ROOT = Path(__file__).resolve().parents[2]


def ids() -> list[str | None]:
    return [message.id for message in check_outside_anchor(None)]


def test_production_without_an_outside_sink_is_refused(settings: Settings) -> None:
    settings.AUDIT_IN_PRODUCTION, settings.AUDIT_NO_OUTSIDE_ANCHOR = True, ""

    assert ids() == ["audit.E001"]


@pytest.mark.parametrize("words", ["yes", "true", WORDS.lower(), WORDS + "."])
def test_only_the_exact_words_accept_it(settings: Settings, words: str) -> None:
    settings.AUDIT_IN_PRODUCTION, settings.AUDIT_NO_OUTSIDE_ANCHOR = True, words

    assert ids() == ["audit.E001"]


def test_accepted_in_words_it_starts_and_says_so(settings: Settings) -> None:
    settings.AUDIT_IN_PRODUCTION, settings.AUDIT_NO_OUTSIDE_ANCHOR = True, WORDS

    assert ids() == ["audit.W001"]


def test_with_a_sink_there_is_nothing_to_say(settings: Settings) -> None:
    settings.AUDIT_IN_PRODUCTION = True
    settings.AUDIT_ANCHORS = [{"sink": "git", "repository": "/srv/anchors"}]

    assert ids() == []


def test_a_trial_on_one_machine_needs_none(settings: Settings) -> None:
    settings.AUDIT_IN_PRODUCTION = False

    assert ids() == []


def test_a_misconfigured_sink_is_refused_anywhere(settings: Settings) -> None:
    settings.AUDIT_IN_PRODUCTION = False
    settings.AUDIT_ANCHORS = [{"sink": "git"}]

    (message,) = check_outside_anchor(None)

    assert message.id == "audit.E002"
    assert "lacks repository" in message.msg


@pytest.mark.parametrize(
    ("environment", "refused"),
    [
        ({"COUNTERSIGN_PUBLIC_URL": "https://models.example.org"}, True),
        ({"COUNTERSIGN_HOST": "0.0.0.0"}, True),  # noqa: S104 - the setting under test
        ({"COUNTERSIGN_PUBLIC_URL": "https://models.example.org", "COUNTERSIGN_DEBUG": "true"}, False),
        ({}, False),
    ],
)
def test_a_real_start_is_refused_where_others_reach_it(
    tmp_path: Path, environment: dict[str, str], refused: bool
) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("COUNTERSIGN_")}

    done = subprocess.run(
        [sys.executable, "manage.py", "audit", "status"],
        cwd=ROOT,
        env={**inherited, "COUNTERSIGN_VAR_DIR": str(tmp_path), **environment},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 1
    assert ("audit.E001" in done.stderr) is refused
