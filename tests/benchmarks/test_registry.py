"""What the registry's benchmark makes of its figures; nothing here asks how fast anything is."""

from __future__ import annotations

import pytest

from benchmarks.goals import between_marks, goal_table
from benchmarks.registry.content import model_count, placed
from benchmarks.registry.figures import (
    GATEWAY,
    PEER,
    PORTAL,
    Measured,
    Place,
    Run,
    at_least,
    at_most,
    load_goals,
    load_table,
    parse_run,
    short,
    times,
)

FEW, MANY = Place("SQLite", 1_000), Place("SQLite", 100_000)
PRINTED = """Running 1s test @ http://127.0.0.1:1
FIGURES {"requests": 210, "seconds": 2.0, "bytes": 4000000, "refused": 10, "lost": 1, "p50_ms": 1.5, "p99_ms": 9.0}
"""


def measured(
    way: str, *per_second: float, place: Place = FEW, operation: str = "resolve an alias", failed: int = 0
) -> Measured:
    runs = tuple(Run(one, 1.0, 2.0, 300.0, 5.0, 100, failed) for one in per_second)
    return Measured(place, operation, way, 16, runs)


def test_what_the_load_generator_printed_is_read_and_refusals_are_no_answers() -> None:
    run = parse_run(PRINTED, 0.42)

    assert (run.per_second, run.requests, run.failed) == (100.0, 210, 11)
    assert (run.megabytes_per_second, run.cpu_us) == pytest.approx((2.0, 2_000.0))


def test_a_load_generator_that_printed_nothing_is_no_figure() -> None:
    with pytest.raises(ValueError, match="no figures"):
        parse_run("unable to connect", 0.0)


def test_the_middle_round_counts() -> None:
    assert measured(PORTAL, 10, 1_000, 30).per_second == 30


def test_a_goal_is_the_ratio_to_the_peer_in_the_same_place() -> None:
    found = load_goals([measured(PORTAL, 800), measured(GATEWAY, 20_000), measured(PEER, 100)])

    assert [(goal.figure, goal.met) for goal in found] == [("200 ×", True), ("8.00 ×", True)]


def test_a_write_that_failed_meets_no_goal() -> None:
    own = measured(PORTAL, 9_000, operation="set an alias", failed=1)
    [goal] = load_goals([own, measured(PEER, 100, operation="set an alias")])

    assert not goal.met
    assert "failed: 1 here, 0 there" in goal.beside


def test_a_goal_of_one_database_is_not_asked_of_the_other() -> None:
    place = Place("PostgreSQL", 1_000)
    runs = [
        measured(way, rate, place=place, operation="create a version") for way, rate in ((PORTAL, 450), (PEER, 100))
    ]

    assert [(goal.goal, goal.met) for goal in load_goals(runs)] == [("≥ 4 ×", True)]


def test_growth_is_how_much_slower_the_same_is_with_more_versions() -> None:
    runs = [
        measured(GATEWAY, 1_000),
        measured(GATEWAY, 500, place=MANY),
        measured(PEER, 10),
        measured(PEER, 2, place=MANY),
    ]
    grown = load_goals(runs)[-1]

    assert (grown.goal, grown.figure, grown.met, grown.beside) == ("≤ 1.2 ×", "2.00 ×", False, f"{PEER} 5.00 ×")


def test_without_the_peer_there_is_no_goal() -> None:
    assert load_goals([measured(GATEWAY, 1_000)]) == []


@pytest.mark.parametrize(
    ("value", "text"), [(12_345.6, "12,346"), (12.34, "12.3"), (1.234, "1.23"), (float("inf"), "∞")]
)
def test_a_figure_has_the_digits_that_it_is_worth(value: float, text: str) -> None:
    assert short(value) == text


def test_against_nothing_everything_is_infinitely_more() -> None:
    assert times(1, 0) == float("inf")
    assert times(0, 0) == 0


def test_the_tables_say_met_and_not_met_and_the_ratio() -> None:
    goals = goal_table([at_least("fast", 2, 1), at_most("small", 2, 1, "ms")])
    figures = load_table([measured(PORTAL, 50), measured(PEER, 100)])

    assert "| fast | ≥ 1 × | 2.00 × | yes |  |" in goals
    assert "| small | ≤ 1 ms | 2.00 ms | **no** |  |" in goals
    assert "| resolve an alias | portal | 50.0 (0.50 ×) | 300 | 2.00 |" in figures


def test_a_table_replaces_what_is_between_its_marks_and_nothing_else() -> None:
    text = "before <!-- registry: begin -->old<!-- registry: end --> after"

    assert (
        between_marks(text, "registry", "new") == "before <!-- registry: begin -->\nnew\n<!-- registry: end --> after"
    )
    with pytest.raises(ValueError, match="There is no"):
        between_marks("nothing", "registry", "new")


def test_both_sides_get_each_version_once_and_ten_share_a_tag() -> None:
    rows = list(placed(1_000))

    assert len({(model, number) for model, number, _ in rows}) == 1_000
    assert sum(tags["batch"] == "b17" for _, _, tags in rows) == 10
    assert (model_count(1_000), model_count(100_000)) == (60, 1_000)
