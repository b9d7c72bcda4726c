"""When a delivery is tried again, to the second, and when it is given up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notices.webhooks.retrying import LONGEST_PAUSE_SECONDS, MOST_TRIES, MOST_TRIES_WHERE_REFUSED, wait_after


def test_pauses_double_up_to_an_hour_and_end_after_twelve_tries() -> None:
    pauses = [wait_after(tries, status=503) for tries in range(1, 13)]

    assert pauses == [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, None]
    assert sum(pause or 0 for pause in pauses) == 8_715  # two and a half hours


@pytest.mark.parametrize("status", [301, 307, 400, 401, 403, 404, 410, 413, 422])
def test_a_receiver_that_refuses_is_asked_four_times(status: int) -> None:
    assert [wait_after(tries, status=status) for tries in range(1, 5)] == [5, 10, 20, None]


@pytest.mark.parametrize("status", [None, 408, 425, 429, 500, 502, 503, 504])
def test_a_receiver_that_may_take_it_later_is_asked_twelve_times(status: int | None) -> None:
    assert wait_after(MOST_TRIES_WHERE_REFUSED, status=status) is not None
    assert wait_after(MOST_TRIES, status=status) is None


def test_it_is_left_alone_for_as_long_as_it_asks() -> None:
    assert wait_after(1, status=429, asked=70) == 70
    assert wait_after(5, status=429, asked=70) == 80


@given(tries=st.integers(1, MOST_TRIES - 1), chance=st.floats(0, 1), asked=st.floats(0, 3_600))
def test_a_pause_is_never_shorter_than_asked_and_never_much_longer_than_an_hour(
    tries: int, chance: float, asked: float
) -> None:
    pause = wait_after(tries, status=None, asked=asked, chance=chance)

    assert pause is not None
    assert max(asked, 3.75) <= pause <= LONGEST_PAUSE_SECONDS * 1.25
