"""Fairness by group against fairlearn, and the marking of what cannot be judged."""

from __future__ import annotations

import numpy as np
import pytest
from fairlearn.metrics import (
    MetricFrame,
    demographic_parity_difference,
    false_positive_rate,
    selection_rate,
    true_positive_rate,
)
from sklearn.metrics import accuracy_score, roc_auc_score

from training.fairness import FairnessResult, fairness, intersect, simultaneous, worst_of
from training.measures import Estimate, Ranked


def people(n: int = 6_000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, scores and groups: `b` is scored too low, `tiny` is too small to judge."""
    rng = np.random.default_rng(0)
    group = rng.choice(["a", "b", "tiny"], n, p=[0.6, 0.39, 0.01]).astype(object)
    truth = rng.beta(2, 2, n)
    label = (rng.random(n) < truth).astype(float)
    score = np.clip(truth - 0.15 * (group == "b"), 0, 1)
    return label, score, group


def judged(label: np.ndarray, score: np.ndarray, group: np.ndarray, cutoff: float = 0.5) -> FairnessResult:
    ranked, order = Ranked.of(label, score)
    return fairness(ranked, {"group": group[order]}, cutoff, seed=0, resamples=100)


def test_rates_by_group_are_fairlearns() -> None:
    label, score, group = people()
    frame = MetricFrame(
        metrics={
            "tpr": true_positive_rate,
            "fpr": false_positive_rate,
            "selection_rate": selection_rate,
            "accuracy": accuracy_score,
        },
        y_true=label,
        y_pred=(score >= 0.5).astype(float),
        sensitive_features=group,
    )

    found = {result.group: result for result in judged(label, score, group).attributes[0].groups}

    for name, result in found.items():
        for metric in ("tpr", "fpr", "selection_rate", "accuracy"):
            assert getattr(result, metric).value == pytest.approx(frame.by_group.loc[name, metric])
        assert result.n == (group == name).sum()
        assert result.positives == label[group == name].sum()
        assert (result.tpr.n, result.fpr.n) == (result.positives, result.n - result.positives)
        assert result.auc.value == pytest.approx(roc_auc_score(label[group == name], score[group == name]))


def test_the_gap_is_the_groups_true_positive_rate_minus_the_overall_one() -> None:
    label, score, group = people()
    overall = true_positive_rate(label, (score >= 0.5).astype(float))

    result = judged(label, score, group)

    assert result.overall_tpr.value == pytest.approx(overall)
    for one in result.attributes[0].groups:
        assert one.equal_opportunity_gap.value == pytest.approx(one.tpr.value - overall)
    worst = result.attributes[0].worst
    assert worst is not None
    assert worst.group == "b"
    (gap,) = (one.equal_opportunity_gap.value for one in result.attributes[0].groups if one.group == "b")
    assert gap is not None
    assert result.attributes[0].worst_gap.value == worst.size == pytest.approx(-gap)
    assert result.attributes[0].worst_gap.low is not None
    assert result.attributes[0].worst_gap.low > 0, "it is real, so its interval excludes zero"


def test_demographic_parity_is_fairlearns_over_the_groups_that_can_be_judged() -> None:
    label, score, group = people()
    enough = group != "tiny"

    found = judged(label, score, group).attributes[0].demographic_parity_difference

    expected = demographic_parity_difference(
        label[enough], (score[enough] >= 0.5).astype(float), sensitive_features=group[enough]
    )
    assert found.value == pytest.approx(expected)


def test_a_small_group_is_marked_and_does_not_decide() -> None:
    label, score, group = people()
    score[group == "tiny"] = 0.0

    result = judged(label, score, group).attributes[0]

    tiny = next(one for one in result.groups if one.group == "tiny")
    assert not tiny.sufficient
    assert "people are fewer than 200" in tiny.why_insufficient
    assert result.worst is not None
    assert result.worst.group == "b"


def test_few_positives_or_a_wide_interval_are_insufficient_too() -> None:
    rng = np.random.default_rng(1)
    group = np.array(["rare"] * 400 + ["wide"] * 400 + ["rest"] * 4_000, dtype=object)
    label = np.concatenate(
        [np.r_[np.ones(20), np.zeros(380)], np.r_[np.ones(60), np.zeros(340)], rng.integers(0, 2, 4_000)]
    )
    score = rng.random(4_800)

    found = {one.group: one for one in judged(label, score, group).attributes[0].groups}

    assert "positive outcomes are fewer" in found["rare"].why_insufficient
    assert "wide" in found["wide"].why_insufficient
    assert found["rest"].sufficient


def test_a_group_is_judged_from_200_people_and_50_positive_outcomes_on() -> None:
    sizes = {"enough": (200, 50), "people": (199, 60), "positives": (300, 49)}
    group = np.concatenate([np.full(n, name) for name, (n, _) in sizes.items()]).astype(object)
    label = np.concatenate([np.r_[np.ones(positives), np.zeros(n - positives)] for n, positives in sizes.values()])

    found = {one.group: one.why_insufficient for one in judged(label, label, group).attributes[0].groups}

    assert found == {
        "enough": "",
        "people": "199 people are fewer than 200",
        "positives": "49 positive outcomes are fewer than 50",
    }


def test_an_interval_may_be_as_wide_as_the_limit_and_no_wider(monkeypatch: pytest.MonkeyPatch) -> None:
    label, score, group = people()
    gap = judged(label, score, group).attributes[0].groups[1].equal_opportunity_gap
    assert gap.low is not None
    assert gap.high is not None
    width = gap.high - gap.low

    monkeypatch.setattr("training.fairness.MAX_WIDTH", width)
    at_the_limit = judged(label, score, group).attributes[0].groups[1]
    monkeypatch.setattr("training.fairness.MAX_WIDTH", width - 0.001)
    beyond = judged(label, score, group).attributes[0].groups[1]

    assert at_the_limit.sufficient
    assert f"the interval of the gap is {width:.2f} wide" in beyond.why_insufficient


def test_a_gap_without_an_interval_is_not_judged() -> None:
    label, score, group = people()
    ranked, order = Ranked.of(label, score)

    (result,) = fairness(ranked, {"group": group[order]}, 0.5, seed=0, resamples=1).attributes

    assert result.groups[0].why_insufficient == "the interval of the gap is undefined"
    assert result.worst is None


def test_nobody_to_judge_is_said_and_not_a_crash() -> None:
    label, score = np.array([1.0, 0.0, 1.0]), np.array([0.9, 0.1, 0.2])

    result = judged(label, score, np.array(["a", "b", "a"], dtype=object)).attributes[0]

    assert result.worst is None
    assert result.worst_gap == result.demographic_parity_difference == Estimate(None, None, None, 0)
    assert simultaneous([result]) == ({}, 0.0, 0)
    assert result.groups[1].tpr.value is None


def test_intersections_name_both_groups() -> None:
    assert intersect(np.array(["a"], dtype=object), np.array(["b"], dtype=object)).tolist() == ["a, b"]
    with pytest.raises(ValueError, match=r"shorter|longer"):
        intersect(np.array(["a"], dtype=object), np.array([], dtype=object))


def test_simultaneous_intervals_cover_all_true_gaps_at_once_in_nearly_all_worlds() -> None:
    """Eight groups without any gap: pointwise intervals would find one in a third of the worlds."""
    worlds = 120
    rng = np.random.default_rng(11)
    missed = pointwise = 0
    for _ in range(worlds):
        group = np.array([f"g{number}" for number in rng.integers(0, 8, 6_400)], dtype=object)
        label = (rng.random(6_400) < 0.5).astype(float)
        score = np.clip(0.5 + 0.2 * (label - 0.5) + rng.normal(0, 0.2, 6_400), 0, 1)
        ranked, order = Ranked.of(label, score)
        result = fairness(ranked, {"pair": group[order]}, 0.5, seed=0, resamples=120, areas=0)
        together, factor, judged = simultaneous(result.attributes)
        assert judged == 8
        assert factor > 1.96
        missed += any(low > 0 or high < 0 for low, high in together.values())
        gaps = [one.equal_opportunity_gap for one in result.attributes[0].groups]
        pointwise += any((gap.low or 0) > 0 or (gap.high or 0) < 0 for gap in gaps)

    assert missed / worlds < 0.12
    assert pointwise / worlds > 0.2


def test_another_models_decisions_are_judged_on_the_same_rows() -> None:
    label, score, group = people()
    ranked, order = Ranked.of(label, score)
    other = 1 - score

    found = fairness(
        ranked, {"group": group[order]}, 0.5, seed=0, resamples=20, decided=(other >= 0.5)[order], areas=0
    ).attributes[0]

    for result in found.groups:
        rows = (group == result.group) & (label == 1)
        assert result.tpr.value == pytest.approx((other >= 0.5)[rows].mean())
        assert result.auc.value is None


def test_a_score_right_at_the_cut_off_is_selected() -> None:
    label, score, group = np.array([1.0, 1.0, 0.0, 0.0]), np.array([0.5, 0.4, 0.5, 0.6]), np.array(["a"] * 4, object)

    result = judged(label, score, group).attributes[0].groups[0]

    assert (result.selection_rate.value, result.tpr.value, result.fpr.value) == (0.75, 0.5, 1.0)


def test_attributes_judged_together_are_judged_as_each_alone() -> None:
    label, score, group = people()
    ranked, order = Ranked.of(label, score)
    half = np.where(np.arange(len(label)) % 2, "odd", "even").astype(object)
    groups = {"group": group[order], "half": half[order], "all": np.full(len(label), "everybody", dtype=object)}

    together = fairness(ranked, groups, 0.5, seed=0, resamples=30)

    for result in together.attributes:
        alone = fairness(ranked, {result.attribute: groups[result.attribute]}, 0.5, seed=0, resamples=30).attributes[0]
        assert result.groups == alone.groups
        assert (result.worst, result.worst_gap) == (alone.worst, alone.worst_gap)


@pytest.mark.parametrize(("resamples", "areas", "measured"), [(30, 10, 10), (10, 30, 10), (10, 0, 0)])
def test_the_area_is_measured_on_the_first_resamples_and_never_on_more_than_there_are(
    resamples: int, areas: int, measured: int
) -> None:
    label, score, group = people(2_000)
    ranked, order = Ranked.of(label, score)
    groups = {"group": group[order]}

    found = fairness(ranked, groups, 0.5, seed=0, resamples=resamples, areas=areas).attributes[0]

    expected = fairness(ranked, groups, 0.5, seed=0, resamples=10, areas=measured).attributes[0]
    assert [one.auc for one in found.groups] == [one.auc for one in expected.groups]
    assert (found.groups[0].auc.low is None) is (measured == 0)


def test_simultaneous_intervals_are_the_gap_plus_and_minus_the_same_number_of_standard_errors() -> None:
    label, score, group = people()
    result = judged(label, score, group).attributes[0]

    together, factor, judged_groups = simultaneous([result])

    gaps = {one.group: one.equal_opportunity_gap.value for one in result.groups if one.sufficient}
    draws = {name: result.gap_draws[:, place] for place, name in enumerate(["a", "b"])}
    errors = {name: float(np.std(values, ddof=1)) for name, values in draws.items()}
    widest = [max(abs(draws[name][row] - gaps[name]) / errors[name] for name in gaps) for row in range(100)]
    assert judged_groups == len(gaps) == 2
    assert factor == pytest.approx(np.quantile(widest, 0.95))
    for name, gap in gaps.items():
        assert gap is not None
        assert together["group", name] == pytest.approx((gap - factor * errors[name], gap + factor * errors[name]))


def test_gaps_that_no_resample_changes_have_intervals_without_width() -> None:
    label, _, group = people()

    together, factor, _ = simultaneous(judged(label, label, group).attributes)

    assert factor == 0.0
    assert together == {("group", "a"): (0.0, 0.0), ("group", "b"): (0.0, 0.0)}


def test_the_worst_attribute_is_the_one_with_the_widest_gap_among_those_that_can_be_judged() -> None:
    label, score, group = people()
    ranked, order = Ranked.of(label, score)
    half = np.where(np.arange(len(label)) % 2, "odd", "even").astype(object)
    groups = {"half": half[order], "group": group[order]}
    narrow, wide = fairness(ranked, groups, 0.5, seed=0, resamples=50, areas=0).attributes
    small = judged(label[:100], score[:100], group[:100]).attributes[0]

    assert wide.worst is not None
    assert worst_of([narrow, wide]) is wide.worst
    assert worst_of([wide, small, narrow]) is wide.worst
    assert worst_of([small]) is None
    assert worst_of([]) is None
