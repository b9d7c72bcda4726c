"""The filters: how a state, a digest, a moment and a number are written."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from django import forms
from django.template.loader import render_to_string

from foundation.states import LOOKS, look
from foundation.templatetags import countersign as c


@pytest.mark.parametrize("nothing", [None, "", "n", float("nan"), float("inf")])
def test_a_number_that_is_not_there_is_said_to_be_missing(nothing: object) -> None:
    assert {f(nothing) for f in (c.num, c.whole, c.pct, c.pts, c.signed_delta, c.seconds)} == {"n/a"}


def test_numbers_are_written_for_people() -> None:
    assert c.pct(0.8142) == "81.4%"
    assert c.pts(-0.1578) == "−15.8"
    assert c.pts(0.0001) == "0.0"
    assert c.signed_delta(0.0214) == "+0.021"
    assert c.signed_delta(-0.0001) == "0.000"
    assert c.whole(16_000) == "16,000"
    assert c.num(0.85641) == "0.856"


@pytest.mark.parametrize(("value", "words"), [(0.42, "0.4 s"), (52, "52 s"), (185, "3 min 5 s"), (7440, "2 h 4 min")])
def test_a_duration_is_in_words(value: float, words: str) -> None:
    assert c.seconds(value) == words


def test_a_moment_is_always_in_utc_and_says_so() -> None:
    warsaw = datetime(2026, 11, 23, 10, 14, tzinfo=timezone(timedelta(hours=1)))

    assert c.utc(warsaw) == "23 Nov 2026, 09:14 UTC"
    assert c.when(warsaw) == '<time datetime="2026-11-23T09:14:00Z">23 Nov 2026, 09:14 UTC</time>'
    assert c.utc(date(2026, 1, 2)) == "2 Jan 2026"
    assert c.utc(datetime(2026, 1, 2, tzinfo=UTC)) == "2 Jan 2026, 00:00 UTC"
    assert c.utc(None) == c.when(None) == ""


def test_a_digest_is_shortened_and_short_text_is_not() -> None:
    assert c.short_digest("sha256:" + "0123456789abcdef" * 4) == "sha256:01234567…cdef"
    assert c.short_digest("a1b2c3") == "a1b2c3"


def test_initials_are_two_letters() -> None:
    assert [c.initials(n) for n in ("Marta Kowalska", "scorer", "m.k", "")] == ["MK", "SC", "MK", "?"]


def test_a_state_is_never_shown_by_colour_alone() -> None:
    for state, shown in LOOKS.items():
        badge = c.state_badge(state)
        assert shown.label in badge
        assert f'href="#i-{shown.icon}"' in badge


def test_an_unknown_state_keeps_its_name() -> None:
    assert look("odd-state").label == "Odd state"
    assert "<b>" not in c.state_badge("<b>")


def test_every_icon_of_a_state_is_in_the_sprite() -> None:
    sprite = render_to_string("components/_sprite.html")

    assert [shown.icon for shown in LOOKS.values() if f'id="i-{shown.icon}"' not in sprite] == []


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ("sign_off.give", "gave a sign-off"),
        ("version.promote", "promoted a version"),
        ("version.roll_back", "rolled back a version"),
        ("evidence.add", "added evidence"),
        ("alias.set", "set an alias"),
        ("search.run", "ran a search"),
        ("group.add", "put somebody into a group"),
        ("group.remove", "took somebody out of a group"),
    ],
)
def test_an_action_is_told_as_what_somebody_did(action: str, words: str) -> None:
    assert c.deed(action) == words


def test_what_an_entry_changed_is_told_without_lists_and_with_short_digests() -> None:
    changes = [("state", "a → b"), ("facets", '{"a": 1}'), ("policies", "[1]"), ("digest", "0123456789abcdef" * 4)]

    assert c.plain_changes(changes) == [("state", "a → b"), ("digest", "01234567…cdef")]


def test_a_moment_in_the_history_is_told_to_the_minute() -> None:
    assert c.plain_changes([("due", "2026-11-30T11:08:56.219379+00:00")]) == [("due", "2026-11-30 11:08 UTC")]


def test_a_placeholder_that_repeats_its_label_is_left_out() -> None:
    class Door(forms.Form):
        who = forms.CharField(label="Name", widget=forms.TextInput(attrs={"placeholder": "Name"}))
        search = forms.CharField(label="Search", widget=forms.TextInput(attrs={"placeholder": "gap, card…"}))

    door = Door()
    assert "placeholder" not in c.control(door["who"])
    assert 'placeholder="gap, card…"' in c.control(door["search"])
