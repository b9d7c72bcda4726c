"""What the rules of access policies may ask for."""

from datetime import UTC, datetime

import pytest

from access.entry.language import FIELDS, LANGUAGE, STRENGTHS, check_rule, examined, within
from foundation.cel import BadExpression

NIGHT = datetime(2026, 7, 1, 22, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("address", "network", "inside"),
    [
        ("10.1.2.3", "10.0.0.0/8", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("::ffff:10.1.2.3", "10.0.0.0/8", True),
        ("2001:db8::1", "2001:db8::/32", True),
        ("2001:db8::1", "10.0.0.0/8", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("", "0.0.0.0/0", False),
        ("10.1.2.3", "nonsense", False),
    ],
)
def test_an_address_lies_in_a_network_or_not(address: str, network: str, inside: bool) -> None:
    assert within(address, network) is inside


@pytest.mark.parametrize(
    ("expression", "line", "column", "words"),
    [
        ("subject.kin == 'person'", 1, 8, "subject.kind"),
        ("purpose == 3", 1, 9, "(string, int)"),
        ('network.within("10.0.0.1/8")', 1, 16, "10.0.0.0/8"),
        ("true &&\n  network.within(purpose)", 2, 18, "Write a network"),
        ("now.getHours() >= 8", 1, 14, "Name the zone"),
        ('now.getHours("Europe/Nowhere") >= 8', 1, 14, "Name the zone"),
        ('now.getHours("Europe/Berlin; x") >= 8', 1, 14, "Name the zone"),
        ("model.name == 'credit'", 1, 6, "undeclared reference"),
        ("subject.kind", 1, 1, "true or false"),
        ("", 1, 1, 'subject.kind == "person"'),
    ],
)
def test_a_rule_that_cannot_be_right_is_refused_with_the_place(
    expression: str, line: int, column: int, words: str
) -> None:
    with pytest.raises(BadExpression) as caught:
        check_rule(expression)

    assert (caught.value.line, caught.value.column) == (line, column)
    assert words in caught.value.detail
    assert examined(expression).problem == caught.value.detail


@pytest.mark.parametrize(
    "expression",
    [
        'subject.kind == "person" && "Risk officers" in subject.groups',
        'subject.strength in ["passkey", "idp"]',
        "network.within('10.0.0.0/8') || network.within(\"2001:db8::/32\")",
        'now.getHours("Europe/Berlin") >= 8 && now.getDayOfWeek("Europe/Berlin") in [1, 2, 3, 4, 5]',
        "rate < 60 && purpose != '' && stage == 'production' && action == 'pull'",
        "model.tier == 1 || model.owned || model.team in subject.groups",
    ],
)
def test_rules_that_people_need_are_accepted(expression: str) -> None:
    check_rule(expression)

    assert examined(expression).gives == "true or false"


def test_the_hour_is_that_of_the_zone_summer_time_included() -> None:
    rule = LANGUAGE.program('now.getHours("Europe/Berlin") == 0')

    assert rule.ask({"now": NIGHT}).passed


def test_every_field_says_what_it_means() -> None:
    assert all(field.meaning for field in FIELDS)
    assert all(one in next(field.meaning for field in FIELDS if field.name == "subject.strength") for one in STRENGTHS)
