"""The watch over every action in every test is itself held to see what it is for."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import cast

import pytest

from access.models import Role
from audit.actions import append
from audit.events import Action, Obj
from tests import once
from tests.audit.conftest import ALICE, CREDIT

pytestmark = pytest.mark.django_db


def silent() -> None:
    Role.objects.create(name="unnoticed")


def spoken() -> None:
    silent()
    append(Action.ROLE_ASSIGN, by=ALICE, obj=CREDIT)


def doubled() -> None:
    spoken()
    append(Action.ROLE_ASSIGN, by=ALICE, obj=CREDIT)


def about_two() -> None:
    spoken()
    append(Action.ROLE_ASSIGN, by=ALICE, obj=Obj("model", "8"))


def in_a_room(act: Callable[[], None]) -> Callable[[], None]:
    """The same function as if it were not a test's, which the watch leaves alone."""
    copy = FunctionType(cast("FunctionType", act).__code__, act.__globals__, act.__name__)
    copy.__module__ = "rooms.actions"
    return copy


@pytest.mark.parametrize(("act", "says"), [(silent, "appended nothing"), (doubled, "appended twice")])
def test_an_action_that_appends_nothing_or_twice_is_seen(act: Callable[[], None], says: str) -> None:
    with pytest.raises(AssertionError, match=says):
        once._watched(in_a_room(act))


@pytest.mark.parametrize("act", [spoken, about_two, lambda: None])
def test_an_action_that_appends_once_or_changes_nothing_is_let_be(act: Callable[[], None]) -> None:
    once._watched(in_a_room(act))
