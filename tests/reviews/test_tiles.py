"""The numbers at the top of the review page."""

from __future__ import annotations

import msgspec
import pytest

from access.models import User
from registry.models import Stage
from reviews.evaluation import Evaluation, examine
from reviews.models import Review
from reviews.policies import Rules, Tile, Unit
from reviews.promotion import promote
from reviews.tiles import tiles_of
from tests.conftest import as_
from tests.reviews.conftest import MakeCandidate, ask

pytestmark = pytest.mark.django_db
AUC = Tile("Area", "metrics.auc", "performance", gate="auc-floor", difference="comparison.auc_difference")


def with_tiles(found: Evaluation, *tiles: Tile) -> Evaluation:
    """The same case under the same policies, whose template has these tiles."""
    policies = tuple((ref, msgspec.structs.replace(text, tiles=tiles)) for ref, text in found.rules.policies)
    return Evaluation(**{**vars(found), "rules": Rules(policies)})


def with_facts(found: Evaluation, **facts: float) -> Evaluation:
    named = {name.replace("__", "."): value for name, value in facts.items()}
    return Evaluation(**{**vars(found), "facts": {**found.facts, **named}})


@pytest.fixture
def found(approved: Review, rita: User, alice: User, production: Stage, make_candidate: MakeCandidate) -> Evaluation:
    """The case of a second version, compared with the live first one."""
    promote(approved.version, production, by=as_(rita))
    version = make_candidate(auc=0.86)
    ask(version, production, alice)
    return examine(version, production)


def test_tiles_are_those_of_the_policy_after_the_gates(found: Evaluation) -> None:
    tiles = tiles_of(with_tiles(found, AUC))

    assert [tile.label for tile in tiles] == ["Policy gates", "Area"]
    assert (tiles[1].value, tiles[1].href, tiles[1].mark) == ("0.8600", "#performance", "ok")
    assert tiles[1].limit.startswith("at least")


@pytest.mark.parametrize(
    ("low", "high", "judged"), [(0.005, 0.021, "1"), (-0.004, 0.021, ""), (-0.03, -0.01, "0"), (0.0, 0.02, "")]
)
def test_a_change_has_colour_only_when_the_interval_excludes_zero(
    found: Evaluation, low: float, high: float, judged: str
) -> None:
    measured = with_facts(
        found,
        comparison__auc_difference=(low + high) / 2,
        comparison__auc_difference_low=low,
        comparison__auc_difference_high=high,
    )

    change = tiles_of(with_tiles(measured, AUC))[1].change

    assert change is not None
    assert change.judged == judged
    assert change.noise is (judged == "")


def test_where_nothing_is_live_a_tile_shows_no_change(found: Evaluation) -> None:
    measured = with_facts(
        found,
        comparison__auc_difference=0.01,
        comparison__auc_difference_low=0.005,
        comparison__auc_difference_high=0.02,
    )
    alone = Evaluation(**{**vars(measured), "live": None, "holder": None})

    assert tiles_of(with_tiles(alone, AUC))[1].change is None


def test_points_are_written_as_points_and_what_cannot_be_said_has_no_tile(found: Evaluation) -> None:
    gap = Tile("Gap", "fairness.worst_gap", "fairness", better="lower", unit=Unit.POINTS, gate="widest-gap")
    unknown = Tile("Flips", "comparison.flip_share", "changes")
    missing = {name: value for name, value in found.facts.items() if name != "comparison.flip_share"}

    tiles = tiles_of(with_tiles(Evaluation(**{**vars(found), "facts": missing}), gap, unknown))

    assert [tile.label for tile in tiles] == ["Policy gates", "Gap"]
    assert tiles[1].unit == "pts"
    assert tiles[1].value == f"{100 * found.facts['fairness.worst_gap']:.1f}"
