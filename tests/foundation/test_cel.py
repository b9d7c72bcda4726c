import math
from datetime import UTC, datetime

import pytest

from foundation.cel import BadExpression, Comparison, FactType, Language, clauses, comparison

LANGUAGE = Language(
    {
        "metrics.auc": FactType.NUMBER,
        "production.metrics.auc": FactType.NUMBER,
        "data.rows": FactType.WHOLE,
        "scan.admitted": FactType.FLAG,
        "evidence.kinds": FactType.TEXTS,
        "fairness.gaps": FactType.NUMBERS,
    }
)


@pytest.mark.parametrize(
    ("expression", "line", "column", "words"),
    [
        ("metrics.auk >= 0.75", 1, 8, "Did you mean metrics.auc?"),
        ("metrics.auc >= 'high'", 1, 13, "(double, string)"),
        ("metrics.auc >= 1", 1, 13, "(double, int)"),
        ("metrics.auc >=\n  data.rowz", 2, 7, "data.rowz"),
        ("metrics.auc", 1, 1, "true or false"),
        ("", 1, 1, "An expression is needed"),
        ("metrics.auc >= (0.75", 1, 21, "Syntax error"),
    ],
)
def test_wrong_expression_is_refused_with_its_position(expression: str, line: int, column: int, words: str) -> None:
    with pytest.raises(BadExpression) as caught:
        LANGUAGE.check(expression)

    assert (caught.value.line, caught.value.column) == (line, column)
    assert words in caught.value.detail


def test_expression_longer_than_the_limit_is_refused() -> None:
    with pytest.raises(BadExpression, match="at most 1000 characters"):
        LANGUAGE.check("true || " * 200 + "true")


def test_only_true_passes() -> None:
    assert LANGUAGE.ask("metrics.auc >= 0.75", {"metrics.auc": 0.8}).passed
    assert not LANGUAGE.ask("metrics.auc >= 0.75", {"metrics.auc": 0.7}).passed
    assert not LANGUAGE.ask("metrics.auc", {"metrics.auc": 1.0}).passed


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_number_that_is_not_finite_is_an_error_even_where_it_would_compare_true(value: float) -> None:
    answer = LANGUAGE.ask("metrics.auc != 0.75", {"metrics.auc": value})

    assert not answer.passed
    assert answer.error == "metrics.auc is not a finite number."


def test_missing_fact_is_an_error_that_names_it() -> None:
    answer = LANGUAGE.ask("metrics.auc >= 0.75", {})

    assert answer.error == "There is no value for metrics.auc: the evidence for it is missing."


@pytest.mark.parametrize(
    "expression", ["data.rows / 0 > 1", "data.rows + 9223372036854775807 > 1", "fairness.gaps['sex'] <= 0.1"]
)
def test_error_while_evaluating_is_returned_and_does_not_pass(expression: str) -> None:
    answer = LANGUAGE.ask(expression, {"data.rows": 5, "fairness.gaps": {"race": 0.1}})

    assert answer.error
    assert not answer.passed


def test_value_of_another_type_than_declared_is_an_error() -> None:
    assert LANGUAGE.ask("metrics.auc >= 0.75", {"metrics.auc": "0.9"}).error


def test_clauses_are_split_only_at_the_top_level() -> None:
    assert clauses("scan.admitted && (metrics.auc > 0.1 && true) && 'a && b' == 'c'") == [
        "scan.admitted",
        "(metrics.auc > 0.1 && true)",
        "'a && b' == 'c'",
    ]
    assert clauses("a || b && c") == ["a || b && c"]


@pytest.mark.parametrize(
    ("clause", "taken_apart"),
    [
        (
            "metrics.auc >= production.metrics.auc - 0.005",
            Comparison("metrics.auc", ">=", "production.metrics.auc - 0.005"),
        ),
        ("size(evidence.kinds) == 0", Comparison("size(evidence.kinds)", "==", "0")),
        ("'scan' in evidence.kinds", Comparison("'scan'", "in", "evidence.kinds")),
        ("scan.admitted", None),
        ("'<' == '<='", Comparison("'<'", "==", "'<='")),
    ],
)
def test_comparison_is_taken_apart(clause: str, taken_apart: Comparison | None) -> None:
    assert comparison(clause) == taken_apart


def test_a_name_may_be_written_with_blanks_and_comments_around_its_dots() -> None:
    language = Language({"metrics.auc": FactType.NUMBER, "metrics.auc_low": FactType.NUMBER})

    spaced = language.ask(
        "metrics . auc >= 0.8 && metrics. // the lower end\n auc_low > 0.7",
        {"metrics.auc": 0.85, "metrics.auc_low": 0.75},
    )

    assert spaced.passed


def test_program_says_what_asking_says_and_asks_only_for_what_it_names() -> None:
    rule = LANGUAGE.program("metrics.auc >= 0.75 && data.rows > 10")

    assert set(rule.names) == {"metrics.auc", "data.rows"}
    assert rule.ask({"metrics.auc": 0.8, "data.rows": 11}).passed
    assert not rule.ask({"metrics.auc": 0.8, "data.rows": 10}).passed


def test_program_that_cannot_be_evaluated_is_an_error_and_no_pass() -> None:
    answer = LANGUAGE.program("10 / data.rows > 1").ask({"data.rows": 0})

    assert not answer.passed
    assert "zero" in answer.error


def test_program_that_does_not_fit_the_schema_is_refused() -> None:
    with pytest.raises(BadExpression, match="true or false"):
        LANGUAGE.program("metrics.auc")


def test_moments_are_read_with_a_zone_and_texts_by_declared_tests() -> None:
    language = Language(
        {"now": FactType.MOMENT, "network": FactType.TEXT},
        tests={"within": lambda address, network: address.startswith(network)},
    )
    facts = {"now": datetime(2026, 7, 1, 22, 30, tzinfo=UTC), "network": "10.1.2.3"}

    assert language.program('now.getHours("Europe/Berlin") == 0').ask(facts).passed  # summer time
    assert language.program('network.within("10.")').ask(facts).passed
    assert not language.program('network.within("192.")').ask(facts).passed


def test_what_is_typed_is_told_by_type_or_by_position() -> None:
    assert LANGUAGE.examined("metrics.auc > 0.5").gives == "true or false"
    wrong = LANGUAGE.examined("metrics.auk > 0.5")

    assert (wrong.line, wrong.column) == (1, 8)
    assert wrong.marked == "metrics.auk > 0.5\n       ^"
