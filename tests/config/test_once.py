"""The watch over every action in every test is itself held to see what it is for."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import cast

import pytest
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.urls import resolve

from access.models import Role, User
from audit.actions import append
from audit.events import Action, Obj
from config import recording
from tests import once
from tests.audit.conftest import ALICE, CREDIT
from tests.conftest import as_
from tests.flows.deeds import DEEDS

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


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, rf: RequestFactory) -> Callable[[Callable[[], None]], None]:
    """Asks the portal for something that does `act`, as if it were the address of a page."""
    once.watch(monkeypatch)

    def ask(act: Callable[[], None]) -> None:
        def view(request: HttpRequest) -> HttpResponse:
            act()
            return HttpResponse()

        request = rf.post("/models/new/")
        request.principal = as_(User.objects.create(username="mallory"))  # type: ignore[attr-defined]  # as the middleware does
        request.resolver_match = resolve("/models/new/")
        recording.OnRecord(view)(request)

    return ask


@pytest.mark.parametrize(("act", "says"), [(silent, "appended nothing"), (doubled, "appended twice")])
def test_a_request_that_is_on_record_not_at_all_or_twice_is_seen(
    asked: Callable[[Callable[[], None]], None], act: Callable[[], None], says: str
) -> None:
    with transaction.atomic(), pytest.raises(AssertionError, match=f"POST models/new/ .*{says}"):
        asked(act)


@pytest.mark.parametrize("act", [spoken, about_two, lambda: None])
def test_a_request_that_is_on_record_once_or_changes_nothing_is_let_be(
    asked: Callable[[Callable[[], None]], None], act: Callable[[], None]
) -> None:
    with transaction.atomic():
        asked(act)


def test_a_test_that_does_not_do_what_it_is_named_for_is_seen() -> None:
    deed, test = next(iter(DEEDS.items()))
    method, _, route = deed.partition(" ")

    with pytest.raises(AssertionError, match="and did not"):
        once.check_deeds(f"{test}[1]", [])
    once.check_deeds("tests/elsewhere.py::test_other", [])
    once.check_deeds(test, [(method, route), *(tuple(other.split(" ", 1)) for other in DEEDS)])  # type: ignore[list-item]  # a pair
