"""The evaluation report: its form is the contract of the evidence, its numbers are scikit-learn's."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn import metrics as sk

from countersign.proof.canonical import canonical
from datasets.schema import TableSchema
from tests.datasets.frames import loans, schema
from training.evaluation import Holdout, compare, evaluate, summary
from training.fairness import intersect
from training.measures import Ranked, resample


def holdout(rows: int = 3_000, *, shift: float = 0.0) -> Holdout:
    frame = loans(rows)
    score = 1 / (1 + np.exp(-(0.06 * (frame["income"] - 40) + 0.02 * (frame["age"] - 50) + shift)))
    return Holdout.of(frame, score.to_numpy(), schema(), [("sex", "age")])


def test_the_report_has_the_agreed_form_and_is_canonical_json() -> None:
    report = evaluate(holdout(), cutoff=0.5, seed=0, resamples=20)

    assert set(report) == {"metrics", "curves", "calibration", "slices", "fairness"}
    assert set(report["metrics"]["metrics"]["auc"]) == {"value", "low", "high", "n"}
    assert set(report["fairness"]["attributes"]) == {"sex", "age"}
    assert set(report["fairness"]["worst"]) == {"attribute", "group", "equal_opportunity_gap"}
    assert set(report["fairness"]["intersections"]) == {"sex × age"}
    recall = report["metrics"]["metrics"]["recall"]["value"]
    assert report["fairness"]["overall_tpr"]["value"] == pytest.approx(recall, abs=1e-6)
    assert report["fairness"]["simultaneous"]["level"] == 0.95
    for content in report.values():
        assert canonical(content)
        assert json.loads(json.dumps(content)) == content


def test_groups_stand_in_the_order_people_expect() -> None:
    groups = evaluate(holdout(), cutoff=0.5, seed=0, resamples=20)["fairness"]["attributes"]["age"]["groups"]

    assert [group["group"] for group in groups] == ["under 25", "25 to 39", "40 to 64", "65 and over"]


def test_confusion_and_metrics_agree() -> None:
    rows = holdout()

    report = evaluate(rows, cutoff=0.6, seed=0, resamples=20)["metrics"]

    (tn, fp), (fn, tp) = sk.confusion_matrix(rows.label, rows.score >= 0.6)
    assert report["confusion"] == {"tp": tp, "fp": fp, "fn": fn, "tn": tn}
    assert report["metrics"]["precision"]["value"] == pytest.approx(tp / (tp + fp), abs=1e-6)
    assert report["metrics"]["auc"]["value"] == pytest.approx(sk.roc_auc_score(rows.label, rows.score), abs=1e-6)


def test_the_roc_curve_is_scikit_learns_and_encloses_the_auc() -> None:
    rows = holdout()

    curve = np.array(evaluate(rows, cutoff=0.5, seed=0, resamples=20)["curves"]["roc"])

    fpr, tpr, _ = sk.roc_curve(rows.label, rows.score)
    np.testing.assert_allclose(curve[1:, 1], np.interp(curve[1:, 0], fpr, tpr), atol=2e-3)
    assert (curve[0].tolist(), curve[-1].tolist()) == ([0.0, 0.0], [1.0, 1.0])
    assert np.trapezoid(curve[:, 1], curve[:, 0]) == pytest.approx(sk.roc_auc_score(rows.label, rows.score), abs=5e-3)


def test_the_roc_curve_goes_straight_through_scores_that_both_classes_share() -> None:
    label, score = np.array([1, 0, 1, 0.0]), np.array([0.9, 0.9, 0.1, 0.1])

    curve = evaluate(Holdout(label, score, {}, {}), cutoff=0.5, seed=0, resamples=5)["curves"]["roc"]

    assert curve == [[place / 100, place / 100] for place in range(101)]


def test_every_point_of_the_precision_recall_curve_can_be_reached() -> None:
    rows = holdout()
    precision, _, _ = sk.precision_recall_curve(rows.label, rows.score)
    reachable = {(round(p, 5)) for p in precision}

    curve = evaluate(rows, cutoff=0.5, seed=0, resamples=20)["curves"]["pr"]

    assert all(point[1] in reachable for point in curve)
    assert curve[-1][0] == 1.0


def test_the_precision_recall_curve_is_of_the_smallest_selection_that_reaches_each_recall() -> None:
    label, score = np.array([1, 0, 1, 1, 0, 0.0]), np.array([0.9, 0.8, 0.7, 0.7, 0.3, 0.1])

    curve = evaluate(Holdout(label, score, {}, {}), cutoff=0.5, seed=0, resamples=5)["curves"]["pr"]

    assert len(curve) == 101
    assert {precision for recall, precision in curve if recall <= 1 / 3} == {1.0}
    assert {precision for recall, precision in curve if recall > 1 / 3} == {0.75}


@pytest.mark.parametrize(("label", "pr"), [([0.0, 0.0], 0), ([1.0, 1.0], 101)])
def test_a_single_class_has_no_roc_curve_and_without_positives_no_precision_either(label: list[float], pr: int) -> None:
    curves = evaluate(Holdout(np.array(label), np.array([0.2, 0.7]), {}, {}), cutoff=0.5, seed=0, resamples=5)["curves"]

    assert curves["roc"] == []
    assert len(curves["pr"]) == pr


def test_the_histogram_of_scores_has_forty_bins_that_hold_every_row() -> None:
    rows = Holdout(np.array([0.0, 1.0, 1.0]), np.array([0.0, 0.51, 1.0]), {}, {})

    histogram = evaluate(rows, cutoff=0.5, seed=0, resamples=5)["curves"]["score_histogram"]

    assert (len(histogram["edges"]), histogram["edges"][0], histogram["edges"][-1]) == (41, 0.0, 1.0)
    assert {place: count for place, count in enumerate(histogram["counts"]) if count} == {0: 1, 20: 1, 39: 1}


def test_a_score_right_at_the_cut_off_counts_as_positive_in_the_confusion() -> None:
    rows = Holdout(np.array([1.0, 0.0, 1.0, 0.0]), np.array([0.5, 0.5, 0.4, 0.4]), {}, {})

    assert evaluate(rows, cutoff=0.5, seed=0, resamples=5)["metrics"]["confusion"] == {
        "tp": 1,
        "fp": 1,
        "fn": 1,
        "tn": 1,
    }


def test_calibration_bins_hold_every_row_once_with_rising_predictions() -> None:
    rows = holdout()

    bins = evaluate(rows, cutoff=0.5, seed=0, resamples=20)["calibration"]["bins"]

    assert sum(one["n"] for one in bins) == len(rows.label)
    assert [one["predicted"] for one in bins] == sorted(one["predicted"] for one in bins)
    assert all(one["low"] <= one["observed"] <= one["high"] for one in bins)


def test_each_calibration_bin_says_what_was_predicted_and_observed_in_it_with_wilsons_interval() -> None:
    score = np.arange(100) / 100
    label = (np.arange(100) % 3 == 0).astype(float)

    bins = evaluate(Holdout(label, score, {}, {}), cutoff=0.5, seed=0, resamples=5)["calibration"]["bins"]

    assert [one["predicted"] for one in bins] == pytest.approx([np.mean(part) for part in np.split(score, 10)])
    assert [one["observed"] for one in bins] == pytest.approx([np.mean(part) for part in np.split(label, 10)])
    assert {one["n"] for one in bins} == {10}
    for one, part in zip(bins, np.split(label, 10), strict=True):
        interval = binomtest(int(part.sum()), 10).proportion_ci(method="wilson")
        assert (one["low"], one["high"]) == pytest.approx((interval.low, interval.high), abs=1e-6)


def test_numbers_have_as_many_digits_as_their_page_needs_and_no_more() -> None:
    report = evaluate(holdout(), cutoff=0.5, seed=0, resamples=20)
    of_curves = list(numbers([report["curves"]["roc"], report["curves"]["pr"]]))
    factor = report["fairness"]["simultaneous"]["factor"]

    assert all(number == round(number, 6) for number in numbers(list(report.values())))
    assert all(number == round(number, 5) for number in of_curves)
    assert factor == round(factor, 4) > 0


def numbers(content: Any) -> Iterator[float]:
    """Every number in it with a fraction."""
    if isinstance(content, float):
        yield content
    elif isinstance(content, dict | list):
        for one in content.values() if isinstance(content, dict) else content:
            yield from numbers(one)


def test_a_model_compared_with_itself_differs_in_nothing() -> None:
    rows = holdout()

    found = compare(rows, rows.score, cutoff=0.5, other_cutoff=0.5, seed=0, resamples=20)

    assert found["auc_difference"]["value"] == 0.0
    assert found["auc_difference"]["low"] == found["auc_difference"]["high"] == 0.0
    assert found["decision_flips"]["changed"] == 0


def test_a_paired_difference_is_known_better_than_two_separate_ones() -> None:
    rows = holdout()
    noise = np.random.default_rng(5).normal(0, 0.05, len(rows.score))
    other = np.clip(rows.score + noise, 0, 1)

    difference = compare(rows, other, cutoff=0.5, other_cutoff=0.5, seed=0, resamples=200)["auc_difference"]

    ours = evaluate(rows, cutoff=0.5, seed=0)["metrics"]["metrics"]["auc"]
    assert difference["value"] == pytest.approx(
        sk.roc_auc_score(rows.label, rows.score) - sk.roc_auc_score(rows.label, other), abs=1e-6
    )
    assert difference["high"] - difference["low"] < (ours["high"] - ours["low"]) / 2


def test_decision_flips_are_counted_by_direction_and_group() -> None:
    rows = holdout()
    other = np.where(np.arange(len(rows.score)) < 100, 1 - rows.score, rows.score)
    mine, before = rows.score >= 0.5, other >= 0.5

    found = compare(rows, other, cutoff=0.5, other_cutoff=0.5, seed=0, resamples=20)

    assert found["decision_flips"]["to_positive"] == int((mine & ~before).sum())
    assert found["decision_flips"]["to_negative"] == int((~mine & before).sum())
    by_sex = [row for row in found["flips_by_group"] if row["attribute"] == "sex"]
    assert sum(row["to_positive"] for row in by_sex) == found["decision_flips"]["to_positive"]
    assert sum(row["to_negative"] for row in by_sex) == found["decision_flips"]["to_negative"]
    assert {row["attribute"] for row in found["flips_by_group"]} == {"sex", "age"}


def test_a_score_right_at_its_own_cut_off_is_a_positive_decision_on_either_side() -> None:
    rows = Holdout(np.array([1.0, 0.0, 1.0]), np.array([0.5, 0.4, 0.6]), {}, {})

    found = compare(rows, [0.6, 0.7, 0.5], cutoff=0.5, other_cutoff=0.7, seed=0, resamples=5)["decision_flips"]

    assert found == {"rows": 3, "changed": 3, "to_positive": 2, "to_negative": 1, "to_right": 3}


def test_the_gaps_of_two_models_are_not_compared_where_one_of_them_cannot_be_judged() -> None:
    label = np.tile(np.r_[np.ones(60), np.zeros(340)], 4)
    groups = {"quarter": np.repeat(["a", "b", "c", "d"], 400).astype(object)}
    score = np.random.default_rng(3).random(1_600)
    exact, noisy = Holdout(label, label, groups, {}), Holdout(label, score, groups, {})
    how: Any = {"cutoff": 0.5, "other_cutoff": 0.5, "seed": 0, "resamples": 50}

    assert compare(exact, label, **how)["worst_gap_difference"]["value"] == 0.0
    assert compare(exact, score, **how)["worst_gap_difference"] is None
    assert compare(noisy, label, **how)["worst_gap_difference"] is None


def test_a_summary_says_what_the_report_says() -> None:
    report = evaluate(holdout(), cutoff=0.5, seed=0, resamples=20)

    found = summary(holdout(), cutoff=0.5, seed=0, resamples=20)

    worst = report["fairness"]["worst"]
    assert found == {
        "cutoff": 0.5,
        **{name: report["metrics"]["metrics"][name] for name in ("auc", "accuracy", "selection_rate")},
        "worst_gap": worst["equal_opportunity_gap"],
        "worst_group": f"{worst['attribute']}: {worst['group']}",
    }


def test_a_summary_without_anybody_to_judge_names_no_group() -> None:
    rows = holdout(100)

    found = summary(Holdout(rows.label, rows.score, {}, {}), cutoff=0.5, seed=0, resamples=5)

    assert (found["worst_gap"], found["worst_group"]) == (None, "")


@pytest.mark.parametrize("cutoff", [0.0, 1.0, -1.0])
def test_a_cut_off_that_decides_nothing_is_refused(cutoff: float) -> None:
    with pytest.raises(ValueError, match="cut-off"):
        evaluate(holdout(100), cutoff=cutoff, seed=0, resamples=5)


def test_a_dataset_without_protected_attributes_is_evaluated_too() -> None:
    plain = TableSchema(schema().columns, "repaid", "year")
    frame = loans(500)

    report = evaluate(Holdout.of(frame, np.full(500, 0.5), plain), cutoff=0.5, seed=0, resamples=10)

    assert report["fairness"]["worst"] is None
    assert report["slices"]["slices"] == []


def test_sixty_thousand_rows_take_seconds() -> None:
    rows = holdout(60_000)
    started = time.process_time()

    evaluate(rows, cutoff=0.5, seed=0)

    assert time.process_time() - started < 20, "about two seconds on an idle core"


def test_every_headline_metric_has_the_paired_difference_that_recomputing_each_resample_gives() -> None:
    rows = holdout(400)
    other = np.clip(rows.score + np.random.default_rng(1).normal(0, 0.1, len(rows.score)), 0, 1)

    found = compare(rows, other, cutoff=0.5, other_cutoff=0.4, seed=3, resamples=40)

    ranked, order = Ranked.of(rows.label, rows.score)
    label, own, their = rows.label[order], rows.score[order], other[order]
    drawn: dict[str, list[float]] = {"auc": [], "accuracy": [], "brier": []}
    for block in resample(ranked.label, seed=3, resamples=40):
        for weight in block:
            drawn["auc"].append(
                sk.roc_auc_score(label, own, sample_weight=weight)
                - sk.roc_auc_score(label, their, sample_weight=weight)
            )
            drawn["accuracy"].append(
                np.average((own >= 0.5) == label, weights=weight) - np.average((their >= 0.4) == label, weights=weight)
            )
            drawn["brier"].append(
                np.average((own - label) ** 2, weights=weight) - np.average((their - label) ** 2, weights=weight)
            )
    for name, values in drawn.items():
        low, high = np.quantile(values, [0.025, 0.975])
        assert found["differences"][name]["low"] == pytest.approx(
            min(low, found["differences"][name]["value"]), abs=2e-6
        )
        assert found["differences"][name]["high"] == pytest.approx(
            max(high, found["differences"][name]["value"]), abs=2e-6
        )
    assert set(found["differences"]) == set(found["other"])


def test_the_same_seed_gives_the_same_comparison_to_the_last_digit() -> None:
    rows = holdout(500)

    first, second = (
        compare(rows, 1 - rows.score, cutoff=0.5, other_cutoff=0.5, seed=9, resamples=60) for _ in range(2)
    )

    assert canonical(first) == canonical(second)


def test_a_model_compared_with_itself_has_no_wider_gap() -> None:
    rows = holdout()

    found = compare(rows, rows.score, cutoff=0.5, other_cutoff=0.5, seed=0, resamples=30)["worst_gap_difference"]

    assert (found["value"], found["low"], found["high"]) == (0.0, 0.0, 0.0)


def test_flips_say_how_many_were_put_right() -> None:
    rows = holdout()
    perfect = compare(
        Holdout(rows.label, rows.label * 0.8 + 0.1, rows.groups, rows.order),
        rows.score,
        cutoff=0.5,
        other_cutoff=0.5,
        seed=0,
        resamples=5,
    )["decision_flips"]

    assert perfect["to_right"] == perfect["changed"] > 0


def test_intersections_are_judged_by_intervals_that_hold_together() -> None:
    content = evaluate(holdout(6_000), cutoff=0.5, seed=0, resamples=200)["fairness"]

    groups = [group for group in content["intersections"]["sex × age"]["groups"] if group["sufficient"]]
    assert content["simultaneous"]["groups"] == len(groups) > 1
    for group in groups:
        gap, wide = group["equal_opportunity_gap"], group["simultaneous"]
        assert wide["high"] - wide["low"] >= gap["high"] - gap["low"]
    worst = content["worst_intersection"]
    assert worst["equal_opportunity_gap"]["value"] == max(
        abs(group["equal_opportunity_gap"]["value"]) for group in groups
    )


@pytest.mark.parametrize(("unfair", "is_real"), [(0.0, False), (0.4, True)])
def test_the_worst_intersections_interval_is_the_simultaneous_one_of_its_size(unfair: float, is_real: bool) -> None:
    rng = np.random.default_rng(2)
    sex, age = (rng.choice(names, 6_000).astype(object) for names in (["f", "m"], ["old", "young"]))
    label = rng.integers(0, 2, 6_000).astype(float)
    score = np.clip(rng.random(6_000) - unfair * ((sex == "f") & (age == "old")), 0, 1)
    rows = Holdout(label, score, {"sex": sex, "age": age, "sex × age": intersect(sex, age)}, {})

    content = evaluate(rows, cutoff=0.5, seed=0, resamples=100)["fairness"]

    worst = content["worst_intersection"]
    found = worst["equal_opportunity_gap"]
    (group,) = (one for one in content["intersections"]["sex × age"]["groups"] if one["group"] == worst["group"])
    gap, reach = group["equal_opportunity_gap"], (group["simultaneous"]["high"] - group["simultaneous"]["low"]) / 2
    assert found["value"] == abs(gap["value"])
    assert found["high"] == pytest.approx(found["value"] + reach, abs=2e-6)
    assert found["low"] == pytest.approx(max(0.0, found["value"] - reach), abs=2e-6)
    assert (found["low"] > 0) is is_real
    assert content["intersections"]["sex × age"]["worst_group"] == worst["group"]


def test_an_attribute_without_a_group_to_judge_names_no_worst_one() -> None:
    content = evaluate(holdout(100), cutoff=0.5, seed=0, resamples=5)["fairness"]

    assert [one["worst_group"] for one in content["attributes"].values()] == [None, None]
    assert (content["worst"], content["worst_intersection"]) == (None, None)
