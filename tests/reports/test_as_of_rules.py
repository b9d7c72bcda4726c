"""What the entries of a moment add up to: pure, each rule by the entries that it takes, without any table."""

from __future__ import annotations

from typing import Any

import pytest

from access.catalogue import PEOPLE_ONLY, Permission
from audit.actions import append_alone
from audit.entries import Entry
from audit.events import Action, Obj, Outcome
from audit.sequencer import Sequencer
from countersign.proof.canonical import canonical
from reports.as_of import Access, Line, cited, holdings, is_approval, standing_signatures
from reports.as_of_ledger import Prefix
from tests.audit.conftest import ALICE, ledger_of_its_own, sequencer

__all__ = ["ledger_of_its_own", "sequencer"]

PULL = Permission.PULL_VERSION
MAY = {"permissions": [PULL.value]}
TOKEN = {"account": "s1", "scopes": [PULL.value], "models": [], "expires": "2026-01-01T00:00:00+00:00"}
EXPIRES = 1_767_225_600_000_000


def line(
    seq: int,
    action: Action,
    *,
    id: str = "",  # noqa: A002 - as `Obj` has it
    name: str = "",
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> Line:
    """An entry at a place, a microsecond later than the one before."""
    payload = {
        "v": 1,
        "t": seq,
        "w": "w",
        "n": seq,
        "p": seq - 1,
        "outcome": "ok",
        "why": "",
        "req": "",
        "sd": [],
        "action": action.value,
        "actor": {"kind": "person", "id": "e1", "via": "session"},
        "obj": {"kind": action.noun, "id": id, "name": name, "version": ""},
        "d": {key: value for key, value in (("before", before), ("after", after)) if value is not None},
    }
    return Line(seq, Entry.parse(canonical(payload)))


def pullers(*lines: Line, model: str = "credit", t: int = 100) -> list[str]:
    return [one["account"] for one in Access.after(lines).accounts([PULL], model, t)]


ROLE = line(1, Action.ROLE_ASSIGN, name="Pull", after={"holder": "person:p1"} | MAY)
GRANT = line(2, Action.ACCESS_GRANT, after={"permission": PULL.value, "holder": "person:p2"})
SERVICE = line(3, Action.ROLE_ASSIGN, name="Pull", after={"holder": "service:s1"} | MAY)
CREDENTIAL = line(4, Action.TOKEN_ISSUE, id="tok", name="nightly", after=TOKEN)
HELD = (ROLE, GRANT, SERVICE, CREDENTIAL)


def test_a_role_a_grant_and_a_service_with_a_token_can_pull() -> None:
    assert pullers(*HELD) == ["person:p1", "person:p2", "service:s1"]


@pytest.mark.parametrize(
    ("later", "left"),
    [
        (line(9, Action.ROLE_WITHDRAW, name="Pull", before={"holder": "person:p1"}), ["person:p2", "service:s1"]),
        (line(9, Action.ROLE_WITHDRAW, name="Other", before={"holder": "person:p1"}), None),
        (
            line(9, Action.ACCESS_WITHDRAW, before={"permission": PULL.value, "holder": "person:p2"}),
            ["person:p1", "service:s1"],
        ),
        (line(9, Action.ACCESS_WITHDRAW, before={"permission": "see_model", "holder": "person:p2"}), None),
        (line(9, Action.TOKEN_REVOKE, id="tok"), ["person:p1", "person:p2"]),
        (line(9, Action.TOKEN_REVOKE, id="other"), None),
        (line(9, Action.PERSON_DEACTIVATE, id="p1", after={}), ["person:p2", "service:s1"]),
        (line(9, Action.PERSON_DEACTIVATE, id="s9", after={"revoked_tokens": ["tok"]}), ["person:p1", "person:p2"]),
    ],
)
def test_what_is_taken_away_is_gone_and_nothing_else(later: Line, left: list[str] | None) -> None:
    assert pullers(*HELD, later) == (left or ["person:p1", "person:p2", "service:s1"])


def test_a_role_that_was_edited_since_permits_what_it_says_then() -> None:
    ends = line(7, Action.ROLE_UPDATE, name="Pull", before=MAY, after={"permissions": ["see_model"]})
    again = line(8, Action.ROLE_UPDATE, name="Pull", before={"permissions": ["see_model"]}, after=MAY)

    assert pullers(*HELD, ends) == ["person:p2"]
    assert pullers(*HELD, ends, again) == ["person:p1", "person:p2", "service:s1"]


def test_a_role_on_a_teams_models_counts_while_the_model_is_the_teams_under_whatever_name() -> None:
    role = line(1, Action.ROLE_ASSIGN, name="Pull", after={"holder": "person:p1", "team": "Retail"} | MAY)
    joins = line(2, Action.MODEL_CHANGE_TEAM, before={"team": ""}, after={"team": "Retail"})
    renamed = line(3, Action.GROUP_RENAME, before={"name": "Retail"}, after={"name": "Shops"})
    leaves = line(4, Action.MODEL_CHANGE_TEAM, before={"team": "Shops"}, after={"team": ""})

    assert pullers(role) == []
    assert pullers(role, joins) == ["person:p1"]
    assert pullers(role, joins, renamed) == ["person:p1"]
    assert pullers(role, joins, renamed, leaves) == []


def test_a_group_that_was_renamed_gives_what_it_gave() -> None:
    role = line(1, Action.ROLE_ASSIGN, name="Pull", after={"holder": "group:Crew"} | MAY)
    joins = line(2, Action.GROUP_ADD, name="Crew", after={"member": "p1"})
    renamed = line(3, Action.GROUP_RENAME, before={"name": "Crew"}, after={"name": "Team"})
    leaves = line(4, Action.GROUP_REMOVE, name="Team", before={"member": "p1"})

    assert pullers(role, joins, renamed) == ["person:p1"]
    assert pullers(role, joins, renamed, leaves) == []


def test_who_is_let_in_again_could_pull_again() -> None:
    gone = line(9, Action.PERSON_DEACTIVATE, id="p1", after={})
    back = line(10, Action.PERSON_REACTIVATE, id="p1")

    assert pullers(ROLE, gone, back) == ["person:p1"]


@pytest.mark.parametrize(
    ("changed", "model", "t", "could"),
    [
        ({}, "credit", EXPIRES - 1, True),
        ({}, "credit", EXPIRES, False),
        ({"account": "s2"}, "credit", 100, False),
        ({"scopes": [Permission.SEE_MODEL.value]}, "credit", 100, False),
        ({"models": ["credit"]}, "credit", 100, True),
        ({"models": ["other"]}, "credit", 100, False),
    ],
)
def test_a_service_pulls_by_a_token_that_is_its_own_in_force_and_reaches_that_far(
    changed: dict[str, Any], model: str, t: int, could: bool
) -> None:
    issued = line(4, Action.TOKEN_ISSUE, id="tok", name="nightly", after=TOKEN | changed)

    assert (pullers(SERVICE, issued, model=model, t=t) == ["service:s1"]) is could


def test_through_a_group_come_its_members_of_that_moment_only() -> None:
    given = line(1, Action.ROLE_ASSIGN, name="Pull", after={"holder": "group:Scoring"} | MAY)
    joined = [line(n, Action.GROUP_ADD, name="Scoring", after={"member": f"p{n}"}) for n in (2, 3)]
    elsewhere = line(4, Action.GROUP_ADD, name="Other", after={"member": "p4"})
    left = line(5, Action.GROUP_REMOVE, name="Scoring", before={"member": "p3"})

    assert pullers(given, *joined, elsewhere, left) == ["person:p2"]


def test_what_is_for_people_only_no_service_holds() -> None:
    permission = next(iter(sorted(PEOPLE_ONLY)))
    after = {"permissions": [permission.value]}
    roles = [
        line(n, Action.ROLE_ASSIGN, name="R", after={"holder": who} | after)
        for n, who in ((1, "person:p"), (2, "service:s"))
    ]

    assert list(Access.after(roles).holders(permission)) == ["person:p"]


def test_a_new_owner_takes_the_old_ones_place() -> None:
    first = line(1, Action.MODEL_CREATE, after={"owner": "p1"})
    renamed = line(2, Action.MODEL_UPDATE, after={"title": "x"})
    second = line(3, Action.MODEL_UPDATE, after={"owner": "p2"})

    owners = [Access.after(lines).owner for lines in ([first, renamed], [first, renamed, second])]

    assert owners == [first, second]


def test_a_signature_that_was_withdrawn_or_set_aside_does_not_stand() -> None:
    given = [line(n, Action.SIGN_OFF_GIVE, id=f"s{n}") for n in (1, 2, 3)]
    gone = [line(4, Action.SIGN_OFF_WITHDRAW, id="s1"), line(5, Action.SIGN_OFF_DISMISS, id="s3")]

    assert standing_signatures([*given, *gone]) == [given[1]]


@pytest.mark.parametrize(
    ("state", "approved"),
    [("approved", True), ("approved_with_conditions", True), ("rejected", False), ("withdrawn", False), (None, False)],
)
def test_only_an_approval_closes_a_round_as_one(state: str | None, approved: bool) -> None:
    assert is_approval(line(1, Action.ROUND_CLOSE, after={"state": state})) is approved
    assert not is_approval(line(1, Action.ROUND_OPEN, after={"state": state}))


def moved(seq: int, version: int, stage: str = "production") -> Line:
    return line(seq, Action.ALIAS_SET, name="champion", after={"version": version, "stage": stage, "basis": "review"})


def test_a_stage_is_held_until_the_next_move_of_its_own() -> None:
    elsewhere = moved(2, 9, "staging")
    dropped = line(5, Action.ALIAS_DELETE, before={"stage": "production"})
    not_ours = line(4, Action.ALIAS_DELETE, before={"stage": "staging", "alias": "champion"})

    found = holdings([moved(1, 1), elsewhere, moved(3, 2), not_ours, dropped], {}, stage="production", alias="champion")

    assert [(one.version, one.set_by.seq, one.ended_by and one.ended_by.seq) for one in found] == [(1, 1, 3), (2, 3, 5)]


def test_an_old_drop_that_names_no_stage_is_known_by_the_alias() -> None:
    drops = [line(2, Action.ALIAS_DELETE, before={"alias": name}) for name in ("champion", "free")]

    ended = [holdings([moved(1, 1), one], {}, stage="production", alias="champion")[0].ended_by for one in drops]

    assert ended == [drops[0], None]


def test_an_old_move_that_names_no_stage_is_known_by_its_decision() -> None:
    old = line(2, Action.ALIAS_SET, name="champion", after={"version": 3, "promotion": "d1"})
    decisions = {"d1": line(1, Action.VERSION_PROMOTE, id="d1", after={"stage": "production"})}

    found = [holdings([old], known, stage="production", alias="champion") for known in (decisions, {})]

    assert [[one.version for one in each] for each in found] == [[3], []]


def test_every_entry_under_either_name_is_cited() -> None:
    answer = {"a": [{"entry": 1}, {"entries": [2, 3]}], "b": {"entry": None, "c": {"entries": [3, 4]}}, "entry": "x"}

    assert cited(answer) == {1, 2, 3, 4}


def test_what_was_refused_or_came_later_does_not_count(sequencer: Sequencer) -> None:
    role = Obj("role", "1", "Pull")
    for outcome in (Outcome.OK, Outcome.DENIED, Outcome.ERROR, Outcome.OK):
        last = append_alone(Action.ROLE_ASSIGN, by=ALICE, obj=role, outcome=outcome, after={"holder": "person:p"})
    sequencer.tick()

    counted = [Prefix(until, 4, "", 4).of((Action.ROLE_ASSIGN,)) for until in (last.t, last.t - 1)]

    assert [[one.seq for one in each] for each in counted] == [[0, 3], [0]]
