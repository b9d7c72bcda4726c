"""Whether the policies in force let a request in."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access.entry.deciding import NO_RULE, Circumstances, PolicyInForce, Rulebook, Subject
from access.entry.documents import Doing, parse
from access.entry.places import EVERYWHERE, Place

ALICE = Subject("person", "alice", roles=("Data scientist",), groups=("Lending",))
SCORER = Subject("service", "scorer", roles=("Service: score",))
NOON = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
OFFICE = Circumstances("passkey", "credit decision", "10.1.2.3", NOON)
CREDIT, CHURN = Place("credit", 1, "Lending"), Place("churn", 3)


def rule(key: str, effect: str = "allow", when: str = "true") -> dict[str, str]:
    return {"key": key, "effect": effect, "when": when, "because": f"{key} because.", "satisfy": f"{key} satisfy."}


def policy(name: str, *rules: dict[str, str], **target: Any) -> PolicyInForce:
    return PolicyInForce(name, 1, parse({"title": name, "rules": list(rules), "target": target}))


EVERYBODY = policy("everybody", rule("all"))


def test_nobody_is_let_in_where_no_policy_says_anything() -> None:
    decision = Rulebook([]).decide(ALICE, Doing.READ, CREDIT, OFFICE)

    assert not decision.allowed
    assert decision.rule == NO_RULE
    assert (
        not Rulebook([policy("pulls", rule("all"), actions=["pull"])]).decide(ALICE, Doing.READ, CREDIT, OFFICE).allowed
    )


def test_the_built_in_policy_lets_in_everywhere() -> None:
    book = Rulebook([EVERYBODY])

    assert book.decide(ALICE, Doing.READ, CREDIT, OFFICE).rule == "everybody/1#all"
    assert book.where(ALICE, Doing.READ, OFFICE) == EVERYWHERE


def test_deny_wins_over_every_allow_however_near() -> None:
    book = Rulebook(
        [
            policy("general", rule("no-services", "deny", 'subject.kind == "service"'), rule("all")),
            policy("credit", rule("all"), models=["credit"]),
        ]
    )

    assert book.decide(ALICE, Doing.SCORE, CREDIT, OFFICE).allowed
    refused = book.decide(SCORER, Doing.SCORE, CREDIT, OFFICE)
    assert (refused.allowed, refused.rule) == (False, "general/1#no-services")
    assert refused.sentence == "no-services because. no-services satisfy."


@pytest.mark.parametrize(
    ("targets", "decides"),
    [
        ([{}, {"tiers": [1]}], 1),
        ([{"tiers": [1]}, {"teams": ["Lending"]}], 1),
        ([{"teams": ["Lending"]}, {"models": ["cre*"]}], 1),
        ([{"models": ["churn"]}, {}], 1),
        ([{}, {"actions": ["read"]}], 1),
        ([{"actions": ["read"]}, {"tiers": [1]}], 1),
    ],
)
def test_the_policy_nearest_to_the_model_decides_who_is_let_in(targets: list[dict[str, Any]], decides: int) -> None:
    policies = [policy(f"p{n}", rule("never", when="rate < 0"), **target) for n, target in enumerate(targets)]
    policies[decides] = policy(f"p{decides}", rule("all"), **targets[decides])

    assert Rulebook(policies).decide(ALICE, Doing.READ, CREDIT, OFFICE).rule == f"p{decides}/1#all"
    policies[decides] = policy(f"p{decides}", rule("never", when="rate < 0"), **targets[decides])
    assert not Rulebook(policies).decide(ALICE, Doing.READ, CREDIT, OFFICE).allowed


def test_a_policy_that_only_denies_leaves_the_rest_to_the_next_level() -> None:
    book = Rulebook([EVERYBODY, policy("credit", rule("not-now", "deny", 'purpose == ""'), models=["credit"])])

    assert book.decide(ALICE, Doing.READ, CREDIT, OFFICE).rule == "everybody/1#all"
    assert not book.decide(ALICE, Doing.READ, CREDIT, replace(OFFICE, purpose="")).allowed


def test_who_is_let_in_by_none_of_the_rules_is_told_what_each_would_take() -> None:
    office = rule("office", when='network.within("10.0.0.0/8")')
    key = rule("key", when='subject.strength == "passkey"')
    decision = Rulebook([policy("tier-1", office, key, tiers=[1])]).decide(
        ALICE, Doing.READ, CREDIT, replace(OFFICE, network="192.0.2.1", strength="password")
    )

    assert not decision.allowed
    assert decision.rule == "tier-1/1#office"
    assert decision.satisfy == "office satisfy. Or: key satisfy."


@pytest.mark.parametrize(
    ("when", "changed"),
    [
        ('subject.strength == "passkey"', {"strength": "password"}),
        ('purpose == "credit decision"', {"purpose": "curiosity"}),
        ('network.within("10.0.0.0/8")', {"network": "192.0.2.1"}),
        ('now.getHours("Europe/Berlin") == 14', {"now": NOON.replace(hour=13)}),
        ("rate < 60", {"rate": lambda: 60}),
    ],
)
def test_the_circumstances_of_the_request_count(when: str, changed: dict[str, Any]) -> None:
    book = Rulebook([policy("terms", rule("terms", when=when))])

    assert book.decide(ALICE, Doing.READ, CREDIT, OFFICE).allowed
    assert not book.decide(ALICE, Doing.READ, CREDIT, replace(OFFICE, **changed)).allowed


@pytest.mark.parametrize(
    "when",
    [
        '"Lending" in subject.groups',
        '"Data scientist" in subject.roles',
        'subject.id == "alice"',
        "model.team in subject.groups && model.tier == 1",
        'action == "read" && stage == ""',
    ],
)
def test_who_asks_for_what_counts(when: str) -> None:
    book = Rulebook([policy("terms", rule("terms", when=when))])

    assert book.decide(ALICE, Doing.READ, CREDIT, OFFICE).allowed
    assert not book.decide(SCORER, Doing.PULL, CHURN, OFFICE).allowed


def test_who_is_not_at_the_door_is_asked_about_under_the_right_circumstances() -> None:
    book = Rulebook(
        [
            policy(
                "terms",
                rule("office", when='subject.kind == "person" && network.within("10.0.0.0/8")'),
                rule("night", "deny", 'now.getHours("UTC") < 6'),
            )
        ]
    )

    assert book.decide(ALICE, Doing.READ, CREDIT, None).allowed
    assert not book.decide(SCORER, Doing.READ, CREDIT, None).allowed


def test_the_rate_is_counted_only_where_a_rule_reads_it() -> None:
    def never() -> int:
        raise AssertionError("nobody asked for the rate")

    assert Rulebook([EVERYBODY]).decide(ALICE, Doing.READ, CREDIT, replace(OFFICE, rate=never)).allowed


def test_a_rule_that_cannot_be_evaluated_keeps_out() -> None:
    broken = "1 / rate > 0"
    denying = Rulebook([policy("broken", rule("all"), rule("broken", "deny", broken))])
    allowing = Rulebook([policy("broken", rule("broken", when=broken))])

    assert denying.decide(ALICE, Doing.READ, CREDIT, OFFICE).rule == "broken/1#broken"
    assert not allowing.decide(ALICE, Doing.READ, CREDIT, OFFICE).allowed


def test_a_policy_for_a_stage_is_nearer_than_one_for_some_actions() -> None:
    anywhere = policy("pulls", rule("all"), actions=["pull"])
    live = policy("live", rule("never", when="rate < 0"), actions=["pull"], stages=["production"])
    book = Rulebook([EVERYBODY, anywhere, live])

    assert book.decide(ALICE, Doing.PULL, CREDIT, OFFICE, stage="staging").rule == "pulls/1#all"
    assert not book.decide(ALICE, Doing.PULL, CREDIT, OFFICE, stage="production").allowed


def test_a_policy_for_a_stage_is_for_no_other() -> None:
    book = Rulebook(
        [
            EVERYBODY,
            policy(
                "live", rule("services", "deny", 'subject.kind == "person"'), actions=["pull"], stages=["production"]
            ),
        ]
    )

    assert book.asks_stage(Doing.PULL)
    assert not book.asks_stage(Doing.READ)
    assert not book.decide(ALICE, Doing.PULL, CREDIT, OFFICE, stage="production").allowed
    assert book.decide(ALICE, Doing.PULL, CREDIT, OFFICE, stage="staging").allowed


def test_the_set_is_known_by_its_texts_in_whatever_order() -> None:
    other = policy("other", rule("all"), tiers=[1])

    assert Rulebook([EVERYBODY, other]).digest == Rulebook([other, EVERYBODY]).digest
    assert Rulebook([EVERYBODY]).digest != Rulebook([EVERYBODY, other]).digest


TEAMS = ("Lending", "Cards")
WHENS = (
    "true",
    "model.tier == 1",
    "model.tier > 1 && subject.kind == 'person'",
    "model.team in subject.groups",
    "model.owned",
    "!model.owned || model.team == ''",
    "subject.kind == 'service'",
    "network.within('10.0.0.0/8')",
    "model.tier == 2 && purpose == ''",
    "1 / rate > 0",
)
RULES = st.builds(
    rule, st.sampled_from(["a", "b", "c"]), st.sampled_from(["allow", "allow", "deny"]), st.sampled_from(WHENS)
)
TARGETS = st.fixed_dictionaries(
    {},
    optional={
        "models": st.lists(st.sampled_from(["credit", "cre*", "churn", "c*"]), max_size=2),
        "teams": st.lists(st.sampled_from(TEAMS), max_size=1),
        "tiers": st.lists(st.sampled_from([1, 2, 3]), max_size=2),
        "actions": st.just(["read"]),
    },
)
POLICIES = st.lists(
    st.builds(
        lambda name, rules, target: policy(name, *rules, **target),
        st.sampled_from(["p", "q", "r", "s"]),
        st.lists(RULES, min_size=1, max_size=3, unique_by=lambda one: one["key"]),
        TARGETS,
    ),
    max_size=4,
    unique_by=lambda one: one.name,
)
PLACES = st.builds(
    Place,
    st.sampled_from(["credit", "churn", "credo", "other"]),
    st.sampled_from([1, 2, 3]),
    st.sampled_from(["", *TEAMS]),
    st.booleans(),
)


@given(POLICIES, PLACES, st.sampled_from([ALICE, SCORER]), st.sampled_from([OFFICE, replace(OFFICE, network=""), None]))
def test_lists_agree_with_details(
    policies: list[PolicyInForce], place: Place, subject: Subject, circumstances: Circumstances | None
) -> None:
    book = Rulebook(policies)

    where = book.where(subject, Doing.READ, circumstances, teams=TEAMS)

    assert where.holds(place) is book.decide(subject, Doing.READ, place, circumstances).allowed
