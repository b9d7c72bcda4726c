"""What an access policy may say."""

from typing import Any

import pytest

from access.entry.documents import examine, parse
from foundation.refusals import Invalid

RULE: dict[str, Any] = {"key": "inside", "effect": "allow", "because": "From the office."}


def content(**changes: Any) -> dict[str, Any]:
    return {"title": "Office", "rules": [RULE]} | changes


def flaws(**changes: Any) -> dict[str, str]:
    return {flaw.where: flaw.detail for flaw in examine(content(**changes))[1]}


def test_defaults_are_written_out_where_it_is_hashed() -> None:
    document = parse(content())

    assert document.as_dict()["target"]["actions"] == ["read", "pull", "score"]
    assert parse(document.as_dict()).digest == document.digest


@pytest.mark.parametrize(
    ("changes", "where", "words"),
    [
        ({"title": " "}, "title", "needs a title"),
        ({"rules": []}, "rules", "at least one rule"),
        ({"rules": [RULE, RULE]}, "rules[1].key", "used twice"),
        ({"rules": [RULE | {"key": "No_No"}]}, "rules[0].key", "small letters"),
        ({"rules": [RULE | {"because": ""}]}, "rules[0].because", "whoever is refused reads it"),
        ({"rules": [RULE | {"effect": "deny"}]}, "rules[0].satisfy", "Say what would satisfy"),
        ({"rules": [RULE | {"when": "rate < 9"}]}, "rules[0].satisfy", "Say what would satisfy"),
        ({"rules": [RULE | {"when": "rates < 9", "satisfy": "Wait."}]}, "rules[0].when", "Did you mean rate?"),
        ({"rules": [RULE | {"effect": "maybe"}]}, "rules[0].effect", "Invalid enum value"),
        ({"rules": [RULE] * 51}, "rules", "At most 50"),
        ({"target": {"tiers": [4]}}, "target.tiers", "1, 2 and 3"),
        ({"target": {"actions": []}}, "target.actions", "at least one"),
        ({"target": {"models": ["a*b"]}}, "target.models[0]", "beginning and *"),
        ({"target": {"stages": ["production"]}}, "target.stages", "no stage"),
        ({"targets": {}}, "policy", "unknown field"),
        ({"format": 2}, "format", "format 1"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(changes: dict[str, Any], where: str, words: str) -> None:
    assert words in flaws(**changes)[where]


def test_a_stage_may_be_named_where_models_are_pulled_or_scored() -> None:
    assert not flaws(target={"actions": ["pull", "score"], "stages": ["production"]})


def test_a_refusal_has_the_position_inside_the_rule() -> None:
    with pytest.raises(Invalid) as caught:
        parse(content(rules=[RULE | {"when": "true &&\n rates < 9", "satisfy": "Wait."}]))

    assert caught.value.extra["flaws"][0] | {"detail": ""} == {
        "where": "rules[0].when",
        "detail": "",
        "line": 2,
        "column": 2,
    }
