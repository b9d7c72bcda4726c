"""The evaluation report: its form is the contract of the evidence, its numbers are scikit-learn's."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from sklearn import metrics as sk

from datasets.schema import TableSchema
from foundation.canonical import canonical
from tests.datasets.frames import loans, schema
from training.evaluation import Holdout, compare, evaluate


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


def test_every_point_of_the_precision_recall_curve_can_be_reached() -> None:
    rows = holdout()
    precision, _, _ = sk.precision_recall_curve(rows.label, rows.score)
    reachable = {(round(p, 5)) for p in precision}

    curve = evaluate(rows, cutoff=0.5, seed=0, resamples=20)["curves"]["pr"]

    assert all(point[1] in reachable for point in curve)
    assert curve[-1][0] == 1.0


def test_calibration_bins_hold_every_row_once_with_rising_predictions() -> None:
    rows = holdout()

    bins = evaluate(rows, cutoff=0.5, seed=0, resamples=20)["calibration"]["bins"]

    assert sum(one["n"] for one in bins) == len(rows.label)
    assert [one["predicted"] for one in bins] == sorted(one["predicted"] for one in bins)
    assert all(one["low"] <= one["observed"] <= one["high"] for one in bins)


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
