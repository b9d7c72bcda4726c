"""Form and text are two views of one content."""

from __future__ import annotations

from foundation.documents import Flaw
from reviews.policy_forms import BEGINNING, FormView, check_expression, control_id, form_view, operated


def view(content: dict[str, object], *flaws: Flaw) -> FormView:
    return form_view(content, flaws, stages=[("production", "Production")], groups=["Model validation"])


def test_a_flaw_stands_beside_its_control_and_nowhere_else() -> None:
    shown = view(dict(BEGINNING), Flaw("gates[0].title", "This must say something."), Flaw("format", "Too new."))

    (card,) = shown.cards["gates"]
    assert {control.name: control.errors for control in card.controls if control.errors} == {
        "gates[0].title": ("This must say something.",)
    }
    assert shown.errors == ("format: Too new.",)


def test_a_flaw_inside_a_list_stands_beside_the_list() -> None:
    shown = view(dict(BEGINNING), Flaw("producers[0]", "There is no such word."))

    wrong = [control.name for _, controls in shown.groups for control in controls if control.errors]
    assert wrong == ["producers"]


def test_a_flaw_of_a_card_stands_on_the_card() -> None:
    shown = view(dict(BEGINNING), Flaw("gates[0]", "It is unknown."))

    assert shown.cards["gates"][0].errors == ("It is unknown.",)


def test_a_choice_that_does_not_exist_any_more_is_kept() -> None:
    content = {**BEGINNING, "applies_to": {"stage": "moon", "tiers": [1]}}

    stage = next(
        control for _, controls in view(content).groups for control in controls if control.name.endswith("stage")
    )

    assert stage.choices[0] == ("moon", "moon")


def test_operations_that_make_no_sense_change_nothing() -> None:
    for operation in ("", "check", "remove:gates:9", "up:gates:x", "add:weather", "explode:gates:0"):
        assert operated(BEGINNING, operation) == BEGINNING


def test_the_first_card_does_not_move_up() -> None:
    assert operated(BEGINNING, "up:gates:0") == BEGINNING


def test_ids_are_fit_for_html() -> None:
    assert control_id("gates[2].passes") == "gates-2-passes"


def test_the_place_is_marked_on_its_own_line() -> None:
    checked = check_expression("scan.admitted &&\n metrics.auk > 0.5")

    assert (checked.line, checked.column) == (2, 9)
    assert checked.marked == " metrics.auk > 0.5\n        ^"


def test_an_optional_expression_may_be_empty_and_a_rule_may_not() -> None:
    assert not check_expression("", boolean=False, optional=True).problem
    assert "An expression is needed" in check_expression("").problem
