import pytest

from foundation.cel import FactType
from reviews.facts import FIELDS, LANGUAGE, SCHEMA, VersionFacts, facts_for, facts_of
from tests.reviews.evidence import CARD, estimate, evidence


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


def test_groups_by_two_attributes_are_judged_apart_from_those_by_one() -> None:
    found = evidence()
    pair = {"attribute": "sex × age", "group": "male, 16 to 24", "n": 900, "auc": estimate(0.62), "sufficient": True}
    small = {**pair, "group": "female, 90 and over", "n": 4, "auc": estimate(0.3), "sufficient": False}
    found["slices"]["slices"] += [pair, small]

    facts = facts_of(VersionFacts(1, 1, found))

    assert facts["slices.worst_auc"] == pytest.approx(0.83)
    assert facts["slices.intersections"] == 1
    assert facts["slices.worst_intersection_auc"] == pytest.approx(0.62)
    assert facts["slices.worst_intersection_auc_group"] == "sex × age: male, 16 to 24"


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


def test_sizes_and_interval_ends_are_known_by_attribute() -> None:
    facts = facts_of(VersionFacts(1, 1, evidence()))

    assert facts["fairness.smallest_group"] == {"sex": 2_000, "age": 40}
    assert facts["fairness.smallest_positives"] == {"sex": 1_000, "age": 20}
    assert facts["fairness.insufficient"] == {"sex": 0, "age": 1}
    assert facts["fairness.insufficient_names"] == ["age: unknown"]
    assert facts["fairness.judged_share"]["age"] == pytest.approx(4_000 / 4_040)
    assert facts["fairness.gaps_high"]["sex"] == pytest.approx(0.03)
    assert facts["fairness.gaps_low"]["sex"] == pytest.approx(0.01)


def test_attribute_of_which_one_group_hides_its_size_has_no_smallest_group() -> None:
    found = evidence()
    del found["fairness"]["attributes"]["sex"]["groups"][0]["n"]

    facts = facts_of(VersionFacts(1, 1, found))

    assert "sex" not in facts["fairness.smallest_group"]
    assert LANGUAGE.ask("fairness.smallest_group['sex'] >= 30", facts).error


def compared(against: int) -> dict[str, dict[str, object]]:
    return evidence() | {
        "comparison": {
            "against": against,
            "differences": {
                "auc": {"value": 0.01, "low": 0.005, "high": 0.02},
                "ece": {"value": -0.01, "low": -0.02, "high": 0.01},
            },
            "worst_gap_difference": {"value": 0.02, "low": -0.01, "high": 0.05},
            "decision_flips": {"rows": 1_000, "changed": 50, "to_positive": 30, "to_negative": 20},
            "flips_by_group": [
                {"attribute": "sex", "group": "a", "rows": 600, "to_positive": 10, "to_negative": 20},
                {"attribute": "age", "group": "tiny", "rows": 10, "to_positive": 10, "to_negative": 0},
            ],
        }
    }


def test_comparison_with_a_version_that_is_not_live_any_more_is_out_of_date() -> None:
    production = VersionFacts(7, 1, evidence())

    assert facts_for(VersionFacts(8, 1, compared(7)), production)["comparison.current"] is True
    assert facts_for(VersionFacts(8, 1, compared(6)), production)["comparison.current"] is False
    assert facts_for(VersionFacts(8, 1, evidence()), production)["comparison.current"] is False
    assert facts_for(VersionFacts(8, 1, evidence()), None)["comparison.current"] is True


def test_paired_differences_and_flips_become_facts() -> None:
    facts = facts_of(VersionFacts(8, 1, compared(7)))

    assert facts["comparison.auc_difference_low"] == 0.005
    assert facts["comparison.ece_difference"] == -0.01
    assert facts["comparison.worst_gap_difference_high"] == 0.05
    assert facts["comparison.flip_share"] == 0.05
    assert (facts["comparison.worst_flip_group"], facts["comparison.worst_flip_share"]) == ("sex: a", 0.05)


def test_intersections_and_mitigation_become_facts() -> None:
    found = evidence()
    found["fairness"] |= {
        "intersections": {
            "sex × age": {"groups": [{"group": "a", "sufficient": True}, {"group": "b", "sufficient": False}]}
        },
        "worst_intersection": {
            "attribute": "sex × age",
            "group": "a",
            "equal_opportunity_gap": {"value": -0.3, "low": -0.4, "high": -0.2},
        },
        "mitigation": {
            "method": "reweighing",
            "attributes": ["sex"],
            "before": {"worst_gap": {"value": 0.3}},
            "after": {"worst_gap": {"value": 0.1}},
        },
    }

    facts = facts_of(VersionFacts(1, 1, found))

    assert facts["fairness.worst_intersection"] == "sex × age: a"
    assert facts["fairness.worst_intersection_gap"] == 0.3
    assert (facts["fairness.worst_intersection_gap_low"], facts["fairness.worst_intersection_gap_high"]) == (0.2, 0.4)
    assert (facts["fairness.intersections"], facts["fairness.insufficient_intersections"]) == (1, 1)
    assert facts["mitigation.method"] == "reweighing"
    assert (facts["mitigation.gap_before"], facts["mitigation.gap_after"]) == (0.3, 0.1)
