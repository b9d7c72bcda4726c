import copy
from typing import Any

import pytest

from foundation.documents import read
from foundation.refusals import Invalid
from reviews.policies import PolicyRef, Rules, examine, parse
from reviews.shipped import shipped_policies

NAMES = sorted(shipped_policies())


def content() -> dict[str, Any]:
    return copy.deepcopy(shipped_policies()["production-tier-1"])


@pytest.mark.parametrize("name", NAMES)
def test_shipped_policy_is_valid(name: str) -> None:
    document, flaws = examine(shipped_policies()[name])

    assert document is not None
    assert flaws == []


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_gate_explains_itself(name: str) -> None:
    for gate in parse(shipped_policies()[name]).gates:
        assert gate.explanation.endswith(".")
        assert gate.cleared_by


def test_document_hashes_the_same_with_defaults_left_out_or_written() -> None:
    document = parse(content())

    assert parse(document.as_dict()).digest == document.digest


@pytest.mark.parametrize(
    ("path", "value", "where", "words"),
    [
        (("gates", 5, "passes"), "metrics.auk >= 0.75", "gates[5].passes", "Did you mean metrics.auc"),
        (("gates", 5, "passes"), "metrics.auc", "gates[5].passes", "true or false"),
        (("gates", 5, "when"), "metrics.auc >", "gates[5].when", "Syntax error"),
        (("gates", 5, "shows"), "nothing.there", "gates[5].shows", "undeclared"),
        (("gates", 5, "explanation"), " ", "gates[5].explanation", "must say something"),
        (("gates", 5, "section"), "elsewhere", "gates[5].section", "Choose one of"),
        (("gates", 1, "key"), "scan", "gates[1].key", "used twice"),
        (("gates", 1, "key"), "Not A Key", "gates[1].key", "small letters"),
        (("slots",), [], "slots", "nothing goes live unsigned"),
        (("slots", 0, "people"), 0, "slots[0].people", "1 to 9"),
        (("slots", 0, "answers_for"), ["weather"], "slots[0].answers_for", "Name at least one"),
        (("slots", 0, "answers_for"), [], "slots[0].answers_for", "Name at least one"),
        (("slots", 0, "alternates"), "Model validation", "slots[0].alternates", "another one"),
        (("applies_to", "tiers"), [4], "applies_to.tiers", "tiers 1, 2 and 3"),
        (("valid_months",), 0, "valid_months", "1 to 60"),
        (("valid_months",), "long", "valid_months", "Expected `int`"),
        (("format",), 2, "format", "format 1"),
        (("weakens",), True, "policy", "unknown field `weakens`"),
        (("gates", 0, "skip"), True, "gates[0]", "unknown field `skip`"),
    ],
)
def test_flaw_is_named_with_its_place(path: tuple[Any, ...], value: Any, where: str, words: str) -> None:
    changed = content()
    target: Any = changed
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value

    with pytest.raises(Invalid) as caught:
        parse(changed)

    assert where in str(caught.value.errors)
    assert words in str(caught.value.errors)


def test_refusal_carries_the_position_inside_the_expression() -> None:
    changed = content()
    changed["gates"][0]["passes"] = "true &&\n metrics.auk > 0.5"

    with pytest.raises(Invalid) as caught:
        parse(changed)

    assert caught.value.extra["flaws"][0]["line"] == 2
    assert caught.value.extra["flaws"][0]["column"] == 9
    assert caught.value.extra["flaws"][0]["where"] == "gates[0].passes"


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "line 1, column 2"), ("[]", "JSON object"), ('{"title": "a", "title": "b"}', "stands twice")],
)
def test_text_that_is_no_policy_is_refused(text: str, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        read(text)


def test_policies_together_ask_for_everything_that_any_asks_for() -> None:
    strict, loose = parse(content()), parse(shipped_policies()["production-tier-3"])
    rules = Rules(((PolicyRef("b-loose", 1, loose.digest), loose), (PolicyRef("a-strict", 1, strict.digest), strict)))

    assert rules.valid_months == 12
    assert {slot.group for slot in rules.slots} == {"Model validation", "Risk officers"}
    assert len({slot.key for slot in rules.slots}) == len(rules.slots) == 3
    assert len({gate.key for gate in rules.gates}) == len(rules.gates) == len(strict.gates) + len(loose.gates)
    assert [ref.name for ref in rules.refs] == ["a-strict", "b-loose"]


def test_slots_of_two_policies_are_told_apart_whatever_they_are_called() -> None:
    text = content()
    validator = next(slot for slot in text["slots"] if slot["key"] == "validator")
    gates = [gate | {"excepted_by": "validator"} for gate in text["gates"]]
    one = parse(text | {"slots": [validator, validator | {"key": "validator-zz"}], "gates": gates})
    other = parse(text | {"slots": [validator], "gates": gates})
    pairs = [(PolicyRef("zz", 1, other.digest), other), (PolicyRef("aa", 1, one.digest), one)]

    rules = Rules(tuple(pairs))

    assert [slot.key for slot in rules.slots] == ["validator", "validator-zz", "validator_zz"]
    assert [slot.key for slot in Rules(tuple(reversed(pairs))).slots] == [slot.key for slot in rules.slots]
    assert {gate.excepted_by for gate in rules.gates} == {"validator", "validator_zz"}


@pytest.mark.parametrize("key", ["validator_zz", "_validator"])
def test_a_key_contains_no_underscore_which_tells_keys_apart(key: str) -> None:
    text = content()
    text["slots"][0]["key"] = text["gates"][0]["key"] = key

    _, flaws = examine(text)

    assert {"slots[0].key", "gates[0].key"} <= {flaw.where for flaw in flaws}


def test_digest_of_rules_does_not_depend_on_the_order_of_policies() -> None:
    one, other = parse(content()), parse(shipped_policies()["staging"])
    pairs = [(PolicyRef("one", 1, one.digest), one), (PolicyRef("other", 2, other.digest), other)]

    assert Rules(tuple(pairs)).digest == Rules(tuple(reversed(pairs))).digest
