from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.refusals import RequirementStatus
from reviews.facts import VersionFacts, facts_for
from reviews.gates import evaluate, shown
from reviews.policies import Gate, Unit, parse
from reviews.shipped import shipped_policies
from tests.reviews.evidence import CARD, evidence


def gate(passes: str, **more: Any) -> Gate:
    return Gate(
        key="g", title="T", section="performance", passes=passes, explanation="Because.", cleared_by="Somebody", **more
    )


def admitted(**changes: float) -> dict[str, dict[str, object]]:
    return evidence(**changes) | {"scan": {"verdict": "admitted", "reasons": []}}


def test_unmet_gate_says_what_was_measured_and_what_is_required() -> None:
    (outcome,) = evaluate(
        [gate("metrics.auc >= production.metrics.auc - 0.005")],
        facts_for(VersionFacts(2, 1, evidence(auc=0.81)), VersionFacts(1, 1, evidence(auc=0.82))),
    )

    assert outcome.status is RequirementStatus.UNSATISFIED
    assert outcome.measured == "0.81"
    assert outcome.required == "at least 0.815 (by the live version)"
    assert outcome.production == "0.82"
    assert outcome.blocks


def test_first_clause_that_fails_is_the_one_explained() -> None:
    (outcome,) = evaluate(
        [gate("metrics.auc >= 0.75 && metrics.ece <= 0.01")], facts_for(VersionFacts(1, 1, evidence()), None)
    )

    assert (outcome.measured, outcome.required) == ("0.02", "at most 0.01")


def test_gate_that_cannot_be_evaluated_blocks() -> None:
    (outcome,) = evaluate([gate("metrics.auc >= 0.75")], facts_for(VersionFacts(1, 1), None))

    assert outcome.status is RequirementStatus.ERROR
    assert outcome.blocks
    assert "There is no value for metrics.auc" in outcome.explanation


def test_gate_whose_condition_cannot_be_evaluated_blocks() -> None:
    (outcome,) = evaluate([gate("true", when="'sex' in fairness.attributes")], facts_for(VersionFacts(1, 1), None))

    assert outcome.status is RequirementStatus.ERROR
    assert outcome.blocks


def test_gate_that_does_not_apply_does_not_block() -> None:
    (outcome,) = evaluate(
        [gate("metrics.auc >= production.metrics.auc", when="production.exists")],
        facts_for(VersionFacts(1, 1, evidence()), None),
    )

    assert outcome.status is RequirementStatus.NOT_APPLICABLE
    assert not outcome.blocks


def test_warning_is_shown_and_does_not_block() -> None:
    (outcome,) = evaluate(
        [gate("fairness.worst_gap <= 0.2", warning=True, unit=Unit.POINTS)],
        facts_for(VersionFacts(1, 1, evidence()), None),
    )

    assert outcome.warns
    assert not outcome.blocks
    assert outcome.measured == "50.0 points"


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_gate_passes_exactly_when_the_number_reaches_the_floor(value: float) -> None:
    found = evidence()
    found["metrics"]["metrics"]["auc"] = {"value": value}

    (outcome,) = evaluate([gate("metrics.auc >= 0.75")], facts_for(VersionFacts(1, 1, found), None))

    passes = value == value and value not in (float("inf"), float("-inf")) and value >= 0.75
    assert (outcome.status is RequirementStatus.SATISFIED) is passes
    assert outcome.blocks is not passes


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.856, Unit.PLAIN, "0.856"),
        (16_000, Unit.PLAIN, "16,000"),
        (-0.158, Unit.POINTS, "−15.8 points"),
        (0.006, Unit.PERCENT, "0.6%"),
        (True, Unit.PLAIN, "yes"),
        ([], Unit.PLAIN, "none"),
        (["a", "b"], Unit.PLAIN, "a, b"),
        ({"sex": 0.1}, Unit.POINTS, "sex 10.0 points"),
    ],
)
def test_values_are_shown_for_people(value: object, unit: Unit, text: str) -> None:
    assert shown(value, unit) == text


@pytest.mark.parametrize("name", ["production-tier-1", "production-tier-2", "production-tier-3", "staging"])
def test_decent_classifier_passes_every_shipped_gate(name: str) -> None:
    document = parse(shipped_policies()[name])

    first = evaluate(document.gates, facts_for(VersionFacts(1, 1, admitted(), CARD), None))
    second = evaluate(
        document.gates, facts_for(VersionFacts(2, 1, admitted(auc=0.86), CARD), VersionFacts(1, 1, admitted(), CARD))
    )

    assert [outcome for outcome in (*first, *second) if outcome.blocks] == []


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"auc": 0.7}, "auc-floor"),
        ({"auc": 0.83}, "auc-production"),
        ({"ece": 0.08}, "calibration"),
        ({"sex": 0.12}, "equal-opportunity-sex"),
        ({"age": 0.56}, "gap-production"),
    ],
)
def test_worse_classifier_fails_the_gate_that_says_so(change: dict[str, float], key: str) -> None:
    document = parse(shipped_policies()["production-tier-1"])
    candidate = VersionFacts(2, 1, admitted(**change), CARD)

    outcomes = evaluate(document.gates, facts_for(candidate, VersionFacts(1, 1, admitted(), CARD)))

    assert key in [outcome.gate.key for outcome in outcomes if outcome.blocks]


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("scan", "scan"),
        ("data", "data-fingerprint"),
        ("environment", "environment-lock"),
        ("fairness", "fairness-measured"),
        ("curves", "evidence"),
    ],
)
def test_missing_evidence_fails_the_gate_that_needs_it(kind: str, key: str) -> None:
    document = parse(shipped_policies()["production-tier-1"])
    found = admitted()
    del found[kind]

    outcomes = evaluate(document.gates, facts_for(VersionFacts(1, 1, found, CARD), None))

    assert key in [outcome.gate.key for outcome in outcomes if outcome.blocks]


def sized(positives: int) -> dict[str, dict[str, object]]:
    found = evidence()
    for group in found["fairness"]["attributes"]["sex"]["groups"]:
        group["positives"] = positives
    return found


def test_small_group_is_insufficient_evidence_and_no_pass() -> None:
    rule = gate(
        "fairness.gaps_high['sex'] <= 0.15", enough="fairness.smallest_positives['sex'] >= 30", unit=Unit.POINTS
    )

    (outcome,) = evaluate([rule], facts_for(VersionFacts(1, 1, sized(12)), None))

    assert outcome.status is RequirementStatus.UNSATISFIED
    assert outcome.insufficient
    assert outcome.blocks
    assert outcome.measured == "insufficient evidence: 12, at least 30 needed"
    assert "no pass" in outcome.explanation
    (outcome,) = evaluate([rule], facts_for(VersionFacts(1, 1, sized(30)), None))
    assert outcome.status is RequirementStatus.SATISFIED
    assert not outcome.insufficient


def test_too_little_evidence_for_a_warning_only_warns() -> None:
    (outcome,) = evaluate(
        [gate("true", enough="fairness.smallest_positives['sex'] >= 30", warning=True)],
        facts_for(VersionFacts(1, 1, sized(3)), None),
    )

    assert outcome.warns
    assert not outcome.blocks


def test_gate_that_cannot_say_whether_there_is_enough_is_an_error() -> None:
    (outcome,) = evaluate(
        [gate("true", enough="fairness.smallest_positives['race'] >= 30")],
        facts_for(VersionFacts(1, 1, evidence()), None),
    )

    assert outcome.status is RequirementStatus.ERROR
    assert outcome.blocks


@given(st.booleans(), st.booleans(), st.booleans(), st.booleans())
def test_nothing_passes_that_has_not_enough(applies: bool, enough: bool, passes: bool, warning: bool) -> None:
    word = {True: "true", False: "false"}

    (outcome,) = evaluate(
        [gate(word[passes], when=word[applies], enough=word[enough], warning=warning)],
        facts_for(VersionFacts(1, 1), None),
    )

    assert (outcome.status is RequirementStatus.SATISFIED) is (applies and enough and passes)
    assert outcome.insufficient is (applies and not enough)


def test_gate_without_its_evidence_says_why_it_does_not_count() -> None:
    facts = facts_for(VersionFacts(1, 1), None)

    (mine, other) = evaluate(
        [gate("metrics.auc >= 0.75"), gate("production.metrics.auc >= 0.7 || slices.worst_auc > 0.5")],
        facts,
        {"metrics": "Metrics was attached by Mallory, whom the policy does not list."},
    )

    assert mine.status is RequirementStatus.ERROR
    assert mine.explanation.startswith("Metrics was attached by Mallory")
    assert "Mallory" not in other.explanation
