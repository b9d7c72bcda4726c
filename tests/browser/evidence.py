"""Evidence as training writes it, made up but consistent, so that pages have something to show. Numbers are no claims."""

from __future__ import annotations

from typing import Any, Final

ROWS: Final = 4_000
YEARS: Final = (["2015", "2016"], ["2017"])


def _est(value: float, margin: float, n: int = ROWS) -> dict[str, Any]:
    return {"value": round(value, 4), "low": round(value - margin, 4), "high": round(value + margin, 4), "n": n}


def _curves(auc: float) -> dict[str, Any]:
    power = (1 - auc) / auc
    grid = [i / 50 for i in range(51)]
    return {
        "roc": [[x, round(x**power, 4)] for x in grid],
        "pr": [[x, round(1 - 0.55 * x ** (1 / (1.05 - auc) / 2), 4)] for x in grid],
        "score_histogram": {
            "edges": [i / 10 for i in range(11)],
            "counts": [700, 500, 400, 300, 250, 250, 300, 400, 450, 450],
        },
    }


def _calibration(shift: float) -> dict[str, Any]:
    bins = []
    for i in range(10):
        predicted = 0.05 + i * 0.1
        observed = min(1.0, predicted + shift)
        bins.append(
            {
                "predicted": round(predicted, 3),
                "observed": round(observed, 3),
                "n": 400,
                "low": round(max(0.0, observed - 0.03), 3),
                "high": round(min(1.0, observed + 0.03), 3),
            }
        )
    return {"bins": bins, "ece": abs(shift)}


def _groups(rates: dict[str, float], overall: float, sizes: dict[str, int]) -> list[dict[str, Any]]:
    return [
        {
            "group": group,
            "n": sizes.get(group, 900),
            "positives": sizes.get(group, 900) // 2,
            "selection_rate": _est(rate - 0.2, 0.02),
            "tpr": _est(rate, 0.03 if sizes.get(group, 900) > 500 else 0.08),
            "fpr": _est(0.2, 0.02),
            "equal_opportunity_gap": _est(rate - overall, 0.04),
            "sufficient": sizes.get(group, 900) > 100,
        }
        for group, rate in rates.items()
    ]


def _fairness(worst: float) -> dict[str, Any]:
    overall = 0.82
    attributes = {
        "sex": {"Female": overall - 0.02, "Male": overall + 0.02},
        "race": {"Asian": overall + 0.03, "Black": overall - 0.04, "White": overall, "Another": overall - 0.01},
        "age": {"16 to 24": overall - worst, "25 to 54": overall + 0.02, "55 and over": overall - 0.03},
    }
    content: dict[str, Any] = {"attributes": {}, "overall_tpr": overall}
    for name, rates in attributes.items():
        gap = max((rate - overall for rate in rates.values()), key=abs)
        content["attributes"][name] = {
            "groups": _groups(rates, overall, {"16 to 24": 420, "Another": 60}),
            "equal_opportunity_gap": _est(abs(gap), 0.04),
            "demographic_parity_difference": 0.11,
        }
    content["worst"] = {"attribute": "age", "group": "16 to 24", "equal_opportunity_gap": _est(worst, 0.05)}
    content |= _pairs(overall, worst)
    content["mitigation"] = {
        "method": "reweighing + threshold",
        "attributes": ["sex", "age"],
        "threshold": {"asked": 0.5, "chosen": 0.46, "rows": 3_000},
        "before": {"accuracy": _est(0.815, 0.01), "auc": _est(0.886, 0.009), "worst_gap": _est(worst + 0.05, 0.05)},
        "after": {"accuracy": _est(0.81, 0.01), "auc": _est(0.884, 0.009), "worst_gap": _est(worst, 0.05)},
    }
    return content


def _pairs(overall: float, worst: float) -> dict[str, Any]:
    """Groups by two attributes, one of them with a name as long as the census has them, and one too small."""
    rates = {
        "Female, 16 to 24": overall - worst - 0.03,
        "Male, 16 to 24": overall - worst + 0.02,
        "Female, Native Hawaiian and Other Pacific Islander": overall - 0.05,
        "Male, 55 and over": overall - 0.01,
        "Female, 25 to 54": overall + 0.02,
        "Male, Another": overall + 0.2,
    }
    groups = _groups(rates, overall, {"Male, Another": 40})
    for group in groups:
        gap = group["equal_opportunity_gap"]["value"]
        group["simultaneous"] = {"low": round(gap - 0.06, 4), "high": round(gap + 0.06, 4)}
    return {
        "intersections": {"sex × age": {"groups": groups}},
        "simultaneous": {"level": 0.95, "groups": 5, "factor": 2.7, "method": "max-T bootstrap"},
        "worst_intersection": {
            "attribute": "sex × age",
            "group": "Female, 16 to 24",
            "equal_opportunity_gap": _est(worst + 0.03, 0.06),
        },
    }


def contents(
    *, auc: float, shift: float = 0.012, worst: float = 0.08, data: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """All evidence that training adds; scan and signature come from admission. `data`: what it was trained on."""
    return {
        "metrics": {
            "holdout": {"rows": ROWS, "years": YEARS[1], "dataset": data["dataset"]},
            "cutoff": 0.5,
            "metrics": {
                "auc": _est(auc, 0.009),
                "average_precision": _est(auc - 0.05, 0.012),
                "log_loss": _est(0.42, 0.01),
                "brier": _est(0.14, 0.006),
                "ece": _est(abs(shift), 0.004),
                "accuracy": _est(0.81, 0.01),
                "precision": _est(0.79, 0.012),
                "recall": _est(0.82, 0.012),
                "selection_rate": _est(0.52, 0.012),
            },
            "confusion": {"tp": 1640, "fp": 430, "fn": 360, "tn": 1570},
        },
        "curves": _curves(auc),
        "calibration": _calibration(shift),
        "slices": {
            "slices": [
                {"attribute": a, "group": g, "n": n, "auc": _est(auc - d, 0.02, n), "accuracy": _est(0.8, 0.02, n)}
                for a, g, n, d in (
                    ("sex", "Female", 2_010, 0.004),
                    ("sex", "Male", 1_990, -0.003),
                    ("age", "16 to 24", 420, 0.05),
                    ("age", "25 to 54", 2_580, -0.01),
                )
            ]
        },
        "fairness": _fairness(worst),
        "importance": {
            "metric": "auc",
            "features": [
                {"feature": f, "mean": m, "low": round(m - 0.004, 4), "high": round(m + 0.004, 4)}
                for f, m in (
                    ("AGEP", 0.071),
                    ("SCHL", 0.052),
                    ("DIS", 0.031),
                    ("MAR", 0.018),
                    ("a_rather_long_column_name", 0.002),
                )
            ],
        },
        "environment": {
            "python": "3.11.7",
            "platform": "Linux",
            "packages": ["scikit-learn==1.9.0", "pandas==3.1.0", "numpy==2.4.0", "skops==0.16.0"],
        },
        "data": data,
    }


def comparison(against: int, gain: float) -> dict[str, Any]:
    """The paired comparison with an earlier version."""
    return {
        "against": against,
        "auc_difference": _est(gain, 0.006),
        "differences": {
            "auc": _est(gain, 0.006),
            "average_precision": _est(gain, 0.008),
            "log_loss": _est(-0.004, 0.006),
            "brier": _est(-0.003, 0.002),
            "ece": _est(0.002, 0.004),
            "accuracy": _est(0.006, 0.005),
            "precision": _est(-0.009, 0.004),
            "recall": _est(0.01, 0.012),
            "selection_rate": _est(0.017, 0.006),
        },
        "worst_gap_difference": _est(0.16, 0.04),
        "decision_flips": {"rows": ROWS, "changed": 312, "to_positive": 190, "to_negative": 122, "to_right": 201},
        "flips_by_group": [
            {"attribute": "age", "group": "16 to 24", "rows": 420, "to_positive": 12, "to_negative": 61},
            {"attribute": "age", "group": "25 to 54", "rows": 2_580, "to_positive": 150, "to_negative": 40},
            {"attribute": "sex", "group": "Female", "rows": 2_010, "to_positive": 90, "to_negative": 70},
        ],
    }


CARD: Final = {
    "intended_use": "Limits for existing customers, with a **person** deciding above 20,000 EUR.",
    "not_for": "New customers, small business lending, collections.",
    "data": "Census microdata of Massachusetts, 2015 to 2017; few people under 25.",
    "evaluation": "Tested on the year after training.\n\n| group | AUC |\n|---|---|\n| under 25 | 0.80 |",
    "limitations": "Weaker for people under 25; see the fairness section.",
    "ethics": "A wrong refusal costs a person credit. Refusals under 25 are read by a person.",
    "oversight": "Case handlers see the reasons and can override; overrides are sampled monthly.",
    "owner": "Alice Moreau, alice@example.org",
}
