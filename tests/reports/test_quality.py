"""What is reckoned of reviewing, from facts that are counted by hand here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.quality import (
    Facts,
    FindingFact,
    ReadingFact,
    RoundFact,
    SeatFact,
    VoteFact,
    percentile,
    quality,
)

START = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOW = START + timedelta(days=20)
BOB, CAROL, DAVE = 1, 2, 3
PEOPLE = {BOB: "Bob", CAROL: "Carol", DAVE: "Dave"}


def round_(pk: int, *, hours: float | None = None, state: str = "approved", tier: int = 1, **more: object) -> RoundFact:
    closed = START + hours * HOUR if hours is not None else None
    return RoundFact(
        pk,
        review=pk,
        stage="Production",
        tier=tier,
        opened_at=START,
        due_at=START + timedelta(days=5),
        closed_at=closed,
        state=state if closed else "open",
        **more,  # type: ignore[arg-type]  # keywords of RoundFact
    )


def vote(round_pk: int, person: int, decision: str = "approve", *, hours: float = 1, slot: str = "") -> VoteFact:
    return VoteFact(
        round_pk, slot or ("Validator" if person == BOB else "Risk"), person, decision, START + hours * HOUR
    )


def test_median_and_nine_of_ten_are_of_decided_rounds_only() -> None:
    hours = [1, 2, 3, 4, 5, 6, 7, 8, 9, 100]
    rounds = [round_(pk, hours=h) for pk, h in enumerate(hours)]
    rounds += [round_(90, hours=0.1, state="withdrawn"), round_(91, hours=0.1, state="superseded"), round_(92)]

    (line,) = quality(Facts(NOW, rounds)).timings

    assert (line.n, line.rounds, line.median_hours, line.p90_hours, line.few) == (10, 13, 5.5, 9, False)


def test_stages_and_tiers_are_told_apart_and_few_are_said_to_be_few() -> None:
    found = quality(Facts(NOW, [round_(1, hours=2), round_(2, hours=4, tier=2), round_(3, tier=3)])).timings

    assert [(one.tier, one.n, one.median_hours, one.few) for one in found] == [
        (1, 1, 2, True),
        (2, 1, 4, True),
        (3, 0, None, True),
    ]


def test_overdue_is_decided_late_or_open_past_the_date() -> None:
    rounds = [round_(1, hours=24 * 6), round_(2, hours=24 * 4), round_(3)]

    assert quality(Facts(NOW, rounds)).timings[0].overdue == 2
    assert quality(Facts(START + HOUR, [round_(3)])).timings[0].overdue == 0


def test_escalations_requests_for_changes_and_rejections_are_counted_once_a_round() -> None:
    rounds = [round_(1, hours=2, state="rejected", escalated=True), round_(2, hours=3)]
    votes = [vote(1, BOB, "request_changes"), vote(1, CAROL, "request_changes"), vote(1, CAROL, "reject", hours=2)]

    (line,) = quality(Facts(NOW, rounds, votes)).timings

    assert (line.escalated, line.changes_asked, line.rejected) == (1, 1, 1)


def test_months_without_a_decision_leave_a_gap() -> None:
    late = RoundFact(2, 2, "Production", 1, START, NOW, START.replace(year=2027, month=1), "approved")

    months = quality(Facts(NOW, [round_(1, hours=2), late])).months

    assert [(one.label, one.n) for one in months] == [("2026-11", 1), ("2026-12", 0), ("2027-01", 1)]
    assert months[1].median_hours is None


def test_only_what_was_marked_before_signing_was_opened_before_signing() -> None:
    readings = [
        ReadingFact(1, BOB, "gates", START),
        ReadingFact(1, BOB, "fairness", START + HOUR),
        ReadingFact(1, CAROL, "gates", START + 3 * HOUR),
        ReadingFact(2, CAROL, "gates", START),
    ]
    facts = Facts(
        NOW,
        [round_(1, hours=5), round_(2, hours=5)],
        [vote(1, BOB), vote(1, CAROL, hours=2), vote(2, CAROL, hours=2)],
        readings,
        sections=("gates", "fairness"),
    )

    found = quality(facts).reading

    assert (found.n, found.everything, found.something, found.nothing, found.people_nothing) == (3, 1, 1, 1, 1)
    assert [(one.section, one.after, one.without, one.people_without) for one in found.sections] == [
        ("gates", 2, 1, 1),
        ("fairness", 1, 2, 1),
    ]


def test_agreement_is_of_first_votes_by_pairs_of_capacities() -> None:
    votes = [
        vote(1, BOB, "request_changes"),
        vote(1, BOB, "approve", hours=9),
        vote(1, CAROL, "approve_with_conditions", hours=5),
        vote(2, BOB, "approve"),
        vote(2, CAROL, "approve"),
        vote(3, BOB, "reject"),
        vote(3, CAROL, "request_changes"),
        vote(4, BOB),
    ]

    (line,) = quality(Facts(NOW, [round_(pk, hours=9) for pk in (1, 2, 3, 4)], votes)).agreements

    assert (line.one, line.other, line.n, line.agreed, line.few) == ("Risk", "Validator", 3, 2, True)
    assert line.share == pytest.approx(2 / 3)


def test_two_people_of_one_capacity_are_a_pair_too() -> None:
    votes = [vote(1, BOB, slot="Validator"), vote(1, DAVE, "reject", slot="Validator")]

    (line,) = quality(Facts(NOW, [round_(1, hours=9)], votes)).agreements

    assert (line.one, line.other, line.n, line.agreed) == ("Validator", "Validator", 1, 0)


def test_load_counts_open_rounds_without_ones_vote_and_the_time_to_the_first() -> None:
    facts = Facts(
        NOW,
        [round_(1, hours=9), round_(2), round_(3)],
        [vote(1, BOB, hours=2), vote(2, BOB, "request_changes", hours=4), vote(2, BOB, hours=40)],
        seats=[SeatFact(2, BOB), SeatFact(3, BOB), SeatFact(3, BOB), SeatFact(2, CAROL)],
        people=PEOPLE,
    )

    found = quality(facts).loads

    assert [(one.name, one.open, one.decided, one.median_hours) for one in found] == [
        ("Bob", 1, 2, 3.0),
        ("Carol", 1, 0, None),
    ]


def test_findings_are_told_by_severity_and_overdue_as_of_the_day() -> None:
    due = START + timedelta(days=10)
    findings = [
        FindingFact("major", "open", START, due, None),
        FindingFact("major", "answered", START, NOW + HOUR, None),
        FindingFact("major", "closed", START, due, due + HOUR),
        FindingFact("major", "closed", START, due, due - HOUR),
        FindingFact("critical", "lapsed", START, due, None),
    ]

    found = quality(Facts(NOW, findings=findings)).findings

    assert [
        (one.severity, one.raised, one.open, one.overdue, one.lapsed, one.closed, one.closed_late) for one in found
    ] == [
        ("critical", 1, 0, 0, 1, 0, 0),
        ("major", 4, 2, 1, 0, 2, 1),
    ]


def test_nothing_gives_an_empty_report() -> None:
    found = quality(Facts(NOW))

    assert (found.timings, found.months, found.agreements, found.loads, found.findings) == ((), (), (), (), ())
    assert found.reading.n == 0


def test_a_vote_of_a_round_that_was_left_out_is_left_out() -> None:
    assert quality(Facts(NOW, votes=[vote(7, BOB)])).reading.n == 0


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.01, 1))
def test_a_percentile_is_a_value_that_enough_values_do_not_exceed(values: list[float], share: float) -> None:
    found = percentile(values, share)

    assert found in values
    assert sum(one <= found for one in values) >= share * len(values) - 1e-9
