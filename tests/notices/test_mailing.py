"""Which mail is due at a moment, to the second."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notices.mailing import Waiting, Wish, last_hour, pause, what_is_due
from notices.models import URGENT, Notification

Kind = Notification.Kind
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def waiting(pk: int = 1, kind: str = Kind.TURN, at: datetime = NOON, person: int = 1, **more: object) -> Waiting:
    return Waiting(pk, uuid.UUID(int=pk), person, kind, at, **more)  # type: ignore[arg-type]  # keywords of Waiting


def sent(*rows: Waiting, wish: Wish | None = None, now: datetime = NOON) -> list[tuple[int, ...]]:
    """Which notifications leave together at `now`."""
    due = what_is_due(rows, {1: wish} if wish else {}, now)
    return [letter.notifications for letter in due.letters]


@pytest.mark.parametrize("kind", sorted(URGENT))
def test_what_is_urgent_leaves_at_once_in_a_mail_of_its_own(kind: str) -> None:
    assert sent(waiting(1, kind), waiting(2, kind)) == [(1,), (2,)]


@pytest.mark.parametrize("kind", sorted(set(Kind) - URGENT))
def test_everything_else_waits_for_the_digest(kind: str) -> None:
    assert sent(waiting(1, kind)) == []


def test_a_digest_leaves_at_the_hour_and_not_a_second_before() -> None:
    row = waiting(1, Kind.JOB, NOON)
    seven = datetime(2026, 11, 24, 7, tzinfo=UTC)

    assert sent(row, now=seven - SECOND) == []
    assert sent(row, now=seven) == [(1,)]


def test_a_digest_holds_what_happened_up_to_its_hour() -> None:
    seven = datetime(2026, 11, 23, 7, tzinfo=UTC)
    rows = waiting(1, Kind.JOB, seven - SECOND), waiting(2, Kind.JOB, seven), waiting(3, Kind.JOB, seven + SECOND)

    assert sent(*rows, now=NOON) == [(1, 2)]


def test_a_second_digest_of_the_same_hour_does_not_leave() -> None:
    seven = datetime(2026, 11, 23, 7, tzinfo=UTC)
    late = waiting(2, Kind.JOB, seven - SECOND)

    assert sent(late, wish=Wish(digested_at=seven), now=NOON) == []
    assert sent(late, wish=Wish(digested_at=seven), now=seven + timedelta(days=1)) == [(2,)]


def test_who_wants_only_a_digest_gets_the_urgent_in_it() -> None:
    rows = waiting(1, Kind.TURN, NOON), waiting(2, Kind.JOB, NOON)
    wish = Wish("digest", 7)

    assert sent(*rows, wish=wish, now=NOON) == []
    assert sent(*rows, wish=wish, now=NOON + timedelta(hours=19)) == [(1, 2)]


def test_the_hour_is_the_persons_own() -> None:
    row = waiting(1, Kind.JOB, NOON)

    assert sent(row, wish=Wish(digest_hour=13), now=NOON.replace(hour=13)) == [(1,)]


@pytest.mark.parametrize("wish", [Wish("off"), Wish(reachable=False)])
def test_nothing_leaves_where_no_mail_is_wanted_or_possible(wish: Wish) -> None:
    due = what_is_due([waiting(1), waiting(2, Kind.JOB), waiting(3, letter=uuid.uuid4())], {1: wish}, NOON)

    assert due.letters == ()
    assert due.unwanted == (1, 2, 3)


def test_a_test_mail_leaves_at_once_whatever_was_chosen() -> None:
    assert sent(waiting(1, Kind.TEST), wish=Wish("off")) == [(1,)]
    assert sent(waiting(1, Kind.TEST), wish=Wish("digest")) == [(1,)]


def test_what_was_read_in_the_portal_is_left_out_of_the_digest() -> None:
    due = what_is_due([waiting(1, Kind.JOB, read=True), waiting(2, Kind.TURN, read=True)], {}, NOON)

    assert due.unwanted == (1,)
    assert [one.notifications for one in due.letters] == [(2,)]


def test_a_letter_that_was_begun_is_repeated_as_it_was_once_its_pause_is_over() -> None:
    name = uuid.uuid4()
    rows = [
        waiting(1, Kind.JOB, NOON - SECOND, letter=name, not_before=NOON),
        waiting(2, Kind.JOB, NOON - SECOND, letter=name, not_before=NOON),
        waiting(3, Kind.JOB, NOON - SECOND),
    ]

    assert sent(*rows, now=NOON - SECOND) == []
    (letter,) = what_is_due(rows, {}, NOON).letters
    assert (letter.uuid, letter.notifications, letter.digest) == (name, (1, 2), True)


def test_an_urgent_letter_is_named_after_its_notification() -> None:
    (letter,) = what_is_due([waiting(5)], {}, NOON).letters
    (again,) = what_is_due([waiting(5, letter=letter.uuid)], {}, NOON).letters

    assert letter.uuid == uuid.UUID(int=5)
    assert again == letter


def test_each_person_gets_their_own_and_the_oldest_leaves_first() -> None:
    rows = waiting(1, person=2, at=NOON), waiting(2, person=1, at=NOON - SECOND), waiting(3, person=2, at=NOON)

    due = what_is_due(rows, {}, NOON)

    assert [(one.person, one.notifications) for one in due.letters] == [(1, (2,)), (2, (1,)), (2, (3,))]


def test_pauses_double_up_to_an_hour() -> None:
    assert [pause(n).total_seconds() for n in (1, 2, 3, 8, 60)] == [30, 60, 120, 3600, 3600]


@given(hour=st.integers(0, 23), now=st.datetimes(timezones=st.just(UTC), min_value=datetime(2020, 1, 1)))  # noqa: DTZ001 - hypothesis adds the zone itself
def test_the_last_hour_is_within_a_day(hour: int, now: datetime) -> None:
    found = last_hour(hour, now)

    assert found.hour == hour
    assert timedelta(0) <= now - found < timedelta(days=1)


@given(
    rows=st.lists(
        st.tuples(st.sampled_from(sorted(Kind)), st.integers(0, 50), st.integers(1, 3), st.booleans()), max_size=12
    ),
    mode=st.sampled_from(["urgent", "digest", "off"]),
)
def test_nothing_is_sent_twice_and_within_a_day_nothing_is_forgotten(
    rows: list[tuple[str, int, int, bool]], mode: str
) -> None:
    told = [
        waiting(n, kind, NOON + timedelta(hours=hours), person, read=read)
        for n, (kind, hours, person, read) in enumerate(rows, 1)
    ]
    after = NOON + timedelta(hours=75)

    due = what_is_due(told, {1: Wish(mode)}, after)

    settled = [pk for letter in due.letters for pk in letter.notifications] + list(due.unwanted)
    assert sorted(settled) == [one.pk for one in told]
