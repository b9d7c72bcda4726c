import pytest

from reviews.cel import FactType
from reviews.facts import FIELDS, LANGUAGE, SCHEMA, VersionFacts, facts_for, facts_of
from tests.reviews.evidence import CARD, evidence


def test_every_fact_has_its_declared_type() -> None:
    version = VersionFacts(2, 1, evidence() | {"scan": {"verdict": "admitted", "reasons": []}}, CARD)
    kinds = {
        FactType.NUMBER: float,
        FactType.WHOLE: int,
        FactType.FLAG: bool,
        FactType.TEXT: str,
        FactType.TEXTS: list,
        FactType.NUMBERS: dict,
        FactType.COUNTS: dict,
    }

    facts = facts_for(version, version)

    assert facts.keys() <= SCHEMA.keys()
    for name, value in facts.items():
        assert isinstance(value, kinds[SCHEMA[name]]), name


def test_every_field_says_what_it_means() -> None:
    assert all(field.meaning for field in FIELDS)
    assert len({field.name for field in FIELDS}) == len(FIELDS)


def test_fact_whose_evidence_is_missing_is_absent() -> None:
    facts = facts_of(VersionFacts(1, 1))

    assert "metrics.auc" not in facts
    assert facts["evidence.kinds"] == []
    assert facts["card.completeness"] == 0


def test_group_without_enough_people_decides_neither_way() -> None:
    facts = facts_of(VersionFacts(1, 1, evidence()))

    assert facts["slices.worst_auc"] == pytest.approx(0.83)
    assert facts["fairness.insufficient_groups"] == 1


def test_protected_attribute_that_was_not_measured_is_named() -> None:
    found = evidence()
    found["data"]["protected"] = ["Sex", "age", "race"]

    assert facts_of(VersionFacts(1, 1, found))["fairness.unmeasured"] == ["race"]


def test_period_in_both_training_and_test_is_not_held_out() -> None:
    found = evidence()
    found["data"]["test_years"] = ["2015", "2016"]

    facts = facts_of(VersionFacts(1, 1, found))

    assert facts["data.held_out"] is False
    assert facts["data.shared_years"] == ["2015"]


def test_package_without_a_version_breaks_the_lock() -> None:
    found = evidence()
    found["environment"]["packages"].append("pandas")

    facts = facts_of(VersionFacts(1, 1, found))

    assert facts["environment.locked"] is False
    assert facts["environment.unpinned"] == ["pandas"]


@pytest.mark.parametrize(
    "content", [{}, {"metrics": None}, {"metrics": {"auc": "high"}}, {"metrics": {"auc": {"value": None}}}]
)
def test_malformed_evidence_gives_no_fact_instead_of_a_wrong_one(content: dict[str, object]) -> None:
    facts = facts_of(VersionFacts(1, 1, {"metrics": content}))

    assert "metrics.auc" not in facts
    assert LANGUAGE.ask("metrics.auc >= 0.75", facts).error


def test_without_a_live_version_only_its_absence_is_a_fact() -> None:
    facts = facts_for(VersionFacts(1, 1, evidence()), None)

    assert [name for name in facts if name.startswith("production.")] == ["production.exists"]
    assert facts["production.exists"] is False


def test_a_gap_written_with_a_minus_sign_is_as_wide() -> None:
    content = evidence()
    fairness = content["fairness"]
    negative = {"value": -0.3, "low": -0.4, "high": -0.2, "n": 100}
    fairness["attributes"] = {"sex": {"equal_opportunity_gap": negative, "groups": []}}
    fairness["worst"] = {"attribute": "sex", "group": "female", "equal_opportunity_gap": negative}

    facts = facts_of(VersionFacts(2, 1, content, CARD))

    assert facts["fairness.gaps"] == {"sex": 0.3}
    assert (facts["fairness.worst_gap_low"], facts["fairness.worst_gap"], facts["fairness.worst_gap_high"]) == (
        0.2,
        0.3,
        0.4,
    )
