"""What shape evidence has, and that whoever sends another one hears where it is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from access.models import User
from foundation.refusals import Invalid
from registry.actions import add_evidence
from registry.models import ModelVersion, RegisteredModel
from registry.shapes import flaw_in
from tests.conftest import MakeVersion, as_
from tests.reviews.evidence import evidence


def test_what_our_own_evaluation_writes_fits() -> None:
    assert {kind: flaw_in(kind, content) for kind, content in evidence().items() if flaw_in(kind, content)} == {}


def test_a_producer_may_add_fields_of_its_own() -> None:
    assert flaw_in("metrics", {"metrics": {"auc": 0.9, "lift": {"value": 2.0}}, "weather": ["rain"]}) == ""


@pytest.mark.parametrize(
    ("kind", "content", "place"),
    [
        ("metrics", {"metrics": {"auc": "high"}}, "$.metrics[...]"),
        ("metrics", {"metrics": [1]}, "$.metrics"),
        ("calibration", {"bins": [{"predicted": 0.1}]}, "$.bins[0]"),
        ("curves", {"roc": [[0.0]]}, "$.roc[0]"),
        ("curves", {"score_histogram": {"edges": [0.0], "counts": [1.0]}}, "one edge more"),
        ("fairness", {"attributes": {"sex": 5}}, "$.attributes[...]"),
        ("data", {"train_years": 2020}, "$.train_years"),
        ("data", {"held_back": 5}, "$.held_back"),
        ("comparison", {"decision_flips": "many"}, "$.decision_flips"),
    ],
)
def test_the_flaw_is_named_with_its_place(kind: str, content: dict[str, Any], place: str) -> None:
    assert place in flaw_in(kind, content)


@pytest.mark.django_db
def test_evidence_of_another_shape_is_refused_and_not_kept(
    model: RegisteredModel, make_version: MakeVersion, alice: User
) -> None:
    version: ModelVersion = make_version(model)

    with pytest.raises(Invalid, match="not the shape of evidence of the kind fairness"):
        add_evidence(version, "fairness", {"attributes": {"sex": 5}}, by=as_(alice))

    assert not version.evidence.filter(kind="fairness").exists()
