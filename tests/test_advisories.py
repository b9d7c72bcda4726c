"""What a lock file's advisories make of a run: named and red; and silence, which claims nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests import advisories

REPORT: dict[str, Any] = {
    "dependencies": [
        {"name": "sound", "version": "1.0", "vulns": []},
        {"name": "skipped", "skip_reason": "not on the index"},
        {
            "name": "unsound",
            "version": "2.0",
            "vulns": [
                {"id": "PYSEC-1", "fix_versions": ["2.1", "3.0"], "aliases": [], "description": ""},
                {"id": "PYSEC-2", "fix_versions": [], "aliases": [], "description": ""},
            ],
        },
    ],
    "fixes": [],
}


def test_each_advisory_is_named_with_the_release_that_mends_it() -> None:
    assert advisories.named(REPORT) == [
        "unsound 2.0: PYSEC-1, mended in 2.1, 3.0",
        "unsound 2.0: PYSEC-2, mended in no release",
    ]


def test_what_could_not_be_asked_about_is_counted_beside_the_advisories_on_the_rest() -> None:
    assert advisories.unasked(REPORT) == "1 of 3 packages, first not on the index"
    assert advisories.unasked({"dependencies": [REPORT["dependencies"][0]]}) == ""


@pytest.mark.parametrize(
    ("answer", "arguments", "code", "said"),
    [
        (([], ""), [], 0, "No advisory is published"),
        ((["unsound 2.0: PYSEC-1"], ""), [], 1, "Advisory: unsound 2.0: PYSEC-1"),
        ((["unsound 2.0: PYSEC-1"], "1 of 3 packages"), [], 1, "NOT looked up: 1 of 3 packages"),
        (([], "no route to host"), [], 0, "NOT looked up: no route to host"),
        (([], "no route to host"), ["--required"], 1, "NOT looked up: no route to host"),
    ],
)
def test_an_advisory_fails_the_run_and_silence_only_where_an_answer_is_required(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: tuple[list[str], str],
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    monkeypatch.setattr(advisories, "asked", lambda _: answer)

    assert advisories.main(arguments) == code
    assert said in capsys.readouterr().out
