"""Evidence of a decent binary classifier, in the shapes that training writes."""

from __future__ import annotations

from typing import Any

from registry import cards

Content = dict[str, Any]

CARD = {key: f"Something that a reader can use about {key}." for key in cards.KEYS}


def estimate(value: float, width: float = 0.01, n: int = 5_000) -> Content:
    return {"value": value, "low": round(value - width, 6), "high": round(value + width, 6), "n": n}


def group(name: str, gap: float, *, sufficient: bool = True, n: int = 2_000) -> Content:
    return {
        "group": name,
        "n": n,
        "positives": n // 2,
        "selection_rate": estimate(0.5),
        "tpr": estimate(0.85 + gap),
        "fpr": estimate(0.2),
        "equal_opportunity_gap": estimate(gap),
        "sufficient": sufficient,
        "why_insufficient": "" if sufficient else "fewer than 200 people",
    }


def metrics(auc: float = 0.85, ece: float = 0.02) -> Content:
    return {
        "holdout": {"rows": 5_000, "years": ["2016"], "dataset": "employment"},
        "cutoff": 0.5,
        "metrics": {
            "auc": estimate(auc),
            "average_precision": estimate(0.86),
            "log_loss": estimate(0.47),
            "brier": estimate(0.15),
            "ece": estimate(ece, 0.005),
            "accuracy": estimate(0.79),
            "precision": estimate(0.8),
            "recall": estimate(0.86),
            "selection_rate": estimate(0.64),
        },
        "confusion": {"tp": 2_150, "fp": 500, "fn": 350, "tn": 2_000},
    }


def fairness(sex: float = 0.02, age: float = 0.5) -> Content:
    return {
        "attributes": {
            "sex": {
                "groups": [group("male", sex), group("female", -sex)],
                "equal_opportunity_gap": estimate(sex),
                "worst_group": "female",
                "demographic_parity_difference": 0.05,
            },
            "age": {
                "groups": [
                    group("16 to 64", 0.05),
                    group("65 and over", -age),
                    group("unknown", 0.1, sufficient=False, n=40),
                ],
                "equal_opportunity_gap": estimate(age),
                "worst_group": "65 and over",
                "demographic_parity_difference": 0.4,
            },
        },
        "overall_tpr": estimate(0.85),
        "worst": {"attribute": "age", "group": "65 and over", "equal_opportunity_gap": estimate(age)},
        "rule": "Largest in either direction.",
    }


def evidence(*, auc: float = 0.85, ece: float = 0.02, sex: float = 0.02, age: float = 0.5) -> dict[str, Content]:
    """Everything that the tier 1 policy asks for, except the admission scan; the signature stands here for tests without files."""
    return {
        "metrics": metrics(auc, ece),
        "curves": {
            "roc": [[0.0, 0.0], [0.2, 0.7], [0.5, 0.9], [1.0, 1.0]],
            "pr": [[0.0, 1.0], [0.5, 0.85], [1.0, 0.55]],
            "score_histogram": {"edges": [0.0, 0.5, 1.0], "counts": [2_000, 3_000]},
        },
        "calibration": {
            "bins": [
                {"predicted": 0.2, "observed": 0.21, "n": 2_500, "low": 0.19, "high": 0.23},
                {"predicted": 0.8, "observed": 0.79, "n": 2_500, "low": 0.77, "high": 0.81},
            ],
            "ece": ece,
        },
        "slices": {
            "slices": [
                {
                    "attribute": "sex",
                    "group": "male",
                    "n": 2_000,
                    "auc": estimate(0.86),
                    "accuracy": estimate(0.8),
                    "sufficient": True,
                },
                {
                    "attribute": "sex",
                    "group": "female",
                    "n": 2_000,
                    "auc": estimate(0.83),
                    "accuracy": estimate(0.78),
                    "sufficient": True,
                },
                {
                    "attribute": "age",
                    "group": "unknown",
                    "n": 40,
                    "auc": estimate(0.4),
                    "accuracy": estimate(0.5),
                    "sufficient": False,
                },
            ]
        },
        "fairness": fairness(sex, age),
        "importance": {"metric": "auc", "features": [{"feature": "AGEP", "mean": 0.1, "low": 0.09, "high": 0.11}]},
        "environment": {
            "python": "3.11.7",
            "platform": "Linux x86_64",
            "packages": ["scikit-learn==1.9.0", "skops==0.16.0"],
        },
        "data": {
            "dataset": "employment",
            "version": 1,
            "digest": "ab" * 32,
            "rows": 20_000,
            "train_rows": 15_000,
            "test_rows": 5_000,
            "train_years": ["2015"],
            "test_years": ["2016"],
            "years_apart": 1,
            "columns": ["AGEP", "SEX", "employed"],
            "schema": [{"name": "AGEP", "kind": "numeric", "type": "int8"}],
            "protected": ["sex", "age"],
            "target": "employed",
        },
        "signature": {
            "inputs": [{"name": "AGEP", "type": "int8"}],
            "outputs": [{"name": "probability", "type": "float64"}],
        },
    }
