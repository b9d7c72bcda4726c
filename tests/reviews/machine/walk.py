"""The random walk: what people, clock and policies do in any order, through the product's own actions, in a transaction that is undone."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import time_machine
from django.db import transaction
from django.utils import timezone
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from access.models import Reauthentication, User
from foundation.refusals import Refusal
from registry import actions as registry_actions
from registry.models import Alias, ModelVersion, RegisteredModel, Stage
from reviews import clock
from reviews.actions import (
    dismiss_changes_request,
    open_round,
    request_review,
    sign_off,
    withdraw_review,
    withdraw_sign_off,
)
from reviews.actions.delegations import end_delegation, give_delegation
from reviews.evaluation import current_subject
from reviews.models import Approval, Delegation, Policy, Review, SignOff
from reviews.models import Round as StoredRound
from reviews.promotion import promote, roll_back
from reviews.revocation import revoke
from tests.conftest import as_
from tests.reviews.machine import rules
from tests.reviews.machine.publishing import publish

BEGINNING: Final = datetime(2031, 3, 3, 9, 0, tzinfo=UTC)
ANSWERS: Final = {
    "validator": frozenset({"artifact", "data", "evaluation", "policy"}),
    "risk": frozenset({"artifact", "card", "policy"}),
}
GROUPS: Final = {"validator": "Model validation", "risk": "Risk officers"}
VARIANTS: Final = (
    {"validators": 1, "floor": 0.7, "months": 6},
    {"validators": 2, "floor": 0.7, "months": 6},
    {"validators": 1, "floor": 0.8, "months": 3},
)
"""The policies that the walk moves between: another quorum, another floor, another validity."""


def document(variant: dict[str, Any]) -> dict[str, Any]:
    """The policy of a variant as the product reads it."""
    return {
        "title": "The walk's policy",
        "applies_to": {"stage": "production", "tiers": [2]},
        "valid_months": variant["months"],
        "grace_days": 365,
        "gates": [
            {
                "key": "auc",
                "title": "It ranks well enough",
                "section": "performance",
                "passes": f"metrics.auc >= {variant['floor']}",
                "explanation": "The only gate.",
                "cleared_by": "The author",
            }
        ],
        "slots": [
            {
                "key": key,
                "title": key.title(),
                "group": GROUPS[key],
                "answers_for": sorted(ANSWERS[key]),
                "people": variant["validators"] if key == "validator" else 1,
            }
            for key in ("validator", "risk")
        ],
    }


def as_rules(number: int, variant: dict[str, Any]) -> rules.Policy:
    """The same policy as the independent model knows it."""
    needs = {"validator": variant["validators"], "risk": 1}
    return rules.Policy(number, needs, ANSWERS, variant["months"], variant["floor"])


@dataclass
class World:
    """Who and what there is at the beginning of every walk."""

    people: dict[str, User]
    model: RegisteredModel
    versions: dict[int, ModelVersion]
    authors: dict[int, str]
    makers: frozenset[str]
    production: Stage
    evidence: Callable[[float], dict[str, Any]]
    card: dict[str, str]


@dataclass
class Tally:
    """What the walks of one run did, so that a run which never promotes anything cannot look like a proof."""

    walks: int = 0
    steps: int = 0
    done: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)


SIGNERS: Final = (("bob", "validator"), ("carol", "risk"), ("bea", "validator"), ("chris", "risk"))
NAMES: Final = ("alice", "bob", "bea", "carol", "chris", "max")
people = st.sampled_from(NAMES)
numbers = st.sampled_from((1, 2, 3))
seldom = st.sampled_from((False, False, True))
askers = st.sampled_from(("alice", "max", "bob"))
slots = st.sampled_from(("validator", "risk"))
decisions = st.sampled_from(("approve", "approve", "approve", "request_changes", "request_changes", "reject"))


def walk_in(world: World, tally: Tally) -> type[RuleBasedStateMachine]:
    """The state machine over `world`; what it does is counted in `tally`."""

    class Walk(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            tally.walks += 1
            self.clock = time_machine.travel(BEGINNING, tick=False)
            self.time = self.clock.start()
            self.atomic = transaction.atomic()
            self.atomic.__enter__()
            self.in_force = as_rules(1, VARIANTS[0])
            self.versions = {
                number: rules.Version(world.authors[number], world.makers, 0.85) for number in world.versions
            }
            self.rounds: dict[int, rules.Round] = {}

        def teardown(self) -> None:
            transaction.set_rollback(True)
            self.atomic.__exit__(None, None, None)
            self.clock.stop()

        # what people do

        @rule(number=numbers, who=askers)
        def request(self, number: int, who: str) -> None:
            with self._trying("request"):
                review = request_review(self._version(number), world.production, why="Better.", by=self._as(who))
                self._opened(review, number, {who})

        @rule(number=numbers, who=askers)
        def open_another_round(self, number: int, who: str) -> None:
            review = self._case(number)
            if review is not None:
                with self._trying("open round"):
                    open_round(review, by=self._as(who))
                    self._opened(review, number, {str(review.requested_by.username), who})

        @rule(number=numbers, who=askers)
        def withdraw_case(self, number: int, who: str) -> None:
            review = self._case(number)
            if review is not None:
                with self._trying("withdraw review"):
                    withdraw_review(review, by=self._as(who))

        @rule(number=numbers, who=people, slot=slots, decision=decisions, instead_of=st.one_of(st.none(), people))
        def sign(self, number: int, who: str, slot: str, decision: str, instead_of: str | None) -> None:
            round_ = self._round(number)
            if round_ is None:
                return
            with self._trying("sign" if instead_of is None else "sign for another"):
                given = sign_off(
                    round_,
                    slot,
                    decision=decision,
                    reason="Read.",
                    reauthentication=self._proof(who),
                    expected_subject=current_subject(round_).digest,
                    idempotency_key=uuid.uuid4().hex,
                    by=self._as(who),
                    on_behalf_of=world.people[instead_of].username if instead_of else "",
                )
                self._said(round_, number, who, instead_of or who, slot, decision, given)

        @rule(number=numbers)
        def withdraw(self, number: int) -> None:
            round_ = self._round(number)
            given = SignOff.objects.filter(round=round_, withdrawn_at=None).select_related("person").first()
            if round_ and given:
                with self._trying("withdraw"):
                    withdraw_sign_off(given, reason="I erred.", by=as_(given.person))
                    self._gone(round_, given.person.username)

        @rule(number=numbers, who=people)
        def dismiss(self, number: int, who: str) -> None:
            round_ = self._round(number)
            asked = SignOff.objects.filter(round=round_, withdrawn_at=None, decision="request_changes")
            given = asked.select_related("person").first()
            if round_ and given:
                with self._trying("dismiss"):
                    dismiss_changes_request(given, reason="Answered.", by=self._as(who))
                    self._gone(round_, given.person.username)

        @rule(number=numbers, signer=st.sampled_from(SIGNERS), dismisser=st.one_of(st.none(), people))
        def object(self, number: int, signer: tuple[str, str], dismisser: str | None) -> None:
            """Somebody who may sign asks for changes; perhaps somebody else sets that aside."""
            who, slot = signer
            self.sign(number, who, slot, "request_changes", None)
            if dismisser is not None:
                self.dismiss(number, dismisser)

        @rule(number=numbers, decision=decisions)
        def stand_in(self, number: int, decision: str) -> None:
            """Whoever holds a delegation now uses it."""
            if self._case(number) is None:
                self.request(number, self.versions[number].author)
            held = Delegation.objects.filter(ended_at=None, ends_at__gt=timezone.now())
            for given in held.select_related("delegator", "delegate", "group"):
                slot = next(key for key, group in GROUPS.items() if group == given.group.name)
                self.sign(number, given.delegate.username, slot, decision, given.delegator.username)

        @rule(giver=people, taker=people, slot=slots, days=st.sampled_from((1, 30, 80)))
        def delegate(self, giver: str, taker: str, slot: str, days: int) -> None:
            """Anybody may try; only members have something to give."""
            with self._trying("delegate"):
                give_delegation(
                    world.people[taker],
                    group=GROUPS[slot],
                    starts_at=timezone.now(),
                    ends_at=timezone.now() + timedelta(days=days),
                    reason="Away.",
                    by=self._as(giver),
                )

        @rule(giver=people)
        def end(self, giver: str) -> None:
            given = Delegation.objects.filter(delegator=world.people[giver], ended_at=None).first()
            if given is not None:
                with self._trying("end delegation"):
                    end_delegation(given, by=self._as(giver))

        @rule(number=numbers, who=st.sampled_from(("carol", "alice", "rita")), really=seldom)
        def take_back(self, number: int, who: str, really: bool) -> None:
            if not really:
                return
            with self._trying("revoke"):
                revoke(self._version(number), reason="Wrong.", reauthentication=self._proof(who), by=self._as(who))
                self.versions[number].revoked = True

        # what changes

        @rule(number=numbers, score=st.sampled_from((0.6, 0.75, 0.85, 0.9, 0.95)))
        def measure_again(self, number: int, score: float) -> None:
            with self._trying("measure"):
                version, known = self._version(number), self.versions[number]
                author = self._as(known.author)
                registry_actions.add_evidence(version, "metrics", world.evidence(score), by=author)
                if known.score != score:
                    known.facets["evaluation"] += 1
                known.score = score

        @rule(number=numbers)
        def rewrite_the_card(self, number: int) -> None:
            with self._trying("card"):
                known = self.versions[number]
                text = {**world.card, "data": f"Revision {known.facets['card'] + 1} of what is known about the data."}
                registry_actions.revise_card(self._version(number), text, by=self._as(known.author))
                known.facets["card"] += 1

        @rule(variant=st.sampled_from(VARIANTS), really=seldom)
        def publish_another_policy(self, variant: dict[str, Any], really: bool) -> None:
            if not really:
                return
            with self._trying("publish"):
                publish("walk", document(variant), author=world.people["pam"], signer=world.people["paul"])
                stored = Policy.objects.get(name="walk").versions.filter(status="published").get()
                self.in_force = as_rules(stored.number, variant)

        @rule(days=st.sampled_from((1, 2, 7, 40, 100)))
        def wait(self, days: int) -> None:
            tally.steps += 1
            self.time.shift(timedelta(days=days))

        @rule()
        def tick(self) -> None:
            with self._trying("tick"):
                clock.tick(timezone.now())
                self._notice_new_rounds()

        # what it all is for

        @rule(number=numbers, as_seen=st.booleans())
        def put_live(self, number: int, as_seen: bool) -> None:
            self._promote(number, as_seen)

        @rule(number=numbers, how_many=st.integers(1, 4), then_live=st.booleans())
        def several_sign(self, number: int, how_many: int, then_live: bool) -> None:
            """The straight way, so that walks also come to where something is signed, or live."""
            if self._case(number) is None:
                self.request(number, self.versions[number].author)
            for who, slot in SIGNERS[:how_many]:
                self.sign(number, who, slot, "approve", None)
            if then_live:
                self._promote(number, True)

        @rule(first=numbers, second=numbers)
        def two_go_live(self, first: int, second: int) -> None:
            """One after the other, so that there is something to roll back to."""
            for number in (first, second):
                self.several_sign(number, 4, True)

        @rule(really=seldom)
        def go_back(self, really: bool) -> None:
            if not really:
                return
            with self._trying("roll back"):
                moved = roll_back(
                    world.model,
                    world.production,
                    reason="It does worse.",
                    reauthentication=self._proof("rita"),
                    by=self._as("rita"),
                )
                self._check_live(moved.version, moved.approval, went_back=True)

        # the bookkeeping of the independent model

        def _promote(self, number: int, as_seen: bool) -> None:
            version = self._version(number)
            holder = Alias.objects.filter(model=world.model, stage=world.production).select_related("version").first()
            seen = holder.version.number if holder else None
            why_not = self._why_not(number, holder, as_seen)
            try:
                with self._trying("promote", again=True):
                    promotion = promote(
                        version, world.production, by=self._as("rita"), expected_previous=seen if as_seen else 99
                    )
            except Refusal as refusal:
                self._must(why_not, f"refused although every rule is met: {refusal}")
                return
            assert not why_not, f"went live although {why_not}"
            self._check_live(version, promotion.approval)

        def _why_not(self, number: int, holder: Alias | None, as_seen: bool) -> str:
            if not as_seen:
                return "another version was seen live"
            if holder and holder.version.number == number:
                return "it is live already"
            round_ = self._deciding(number)
            if round_ is None:
                return "nobody asked for a review"
            if round_.state in {"withdrawn", "superseded", "changes_requested", "rejected"}:
                return f"its round is {round_.state}"
            return rules.why_not(self.versions[number], self.rounds[round_.pk], self.in_force, timezone.now())

        def _check_live(self, version: ModelVersion, approval: Approval, *, went_back: bool = False) -> None:
            """Whatever stands behind the alias now has its threshold, and none of its authors among those who approved.

            A rollback needs an approval that stands: what was signed is what runs again, also when more has been written about it since.
            """
            known, round_ = self.versions[version.number], self.rounds[approval.round.pk]
            if went_back:
                newest = max(round_.said, key=lambda said: sum(said.facets.values()))
                known = replace(known, facets=dict(newest.facets))
            why_not = rules.why_not(known, round_, round_.policy, timezone.now())
            assert why_not in {"", "it fails the gate"}, f"live although {why_not}"
            signed = rules.approvers(known, round_, round_.policy, timezone.now())
            assert not signed & rules.related(known, round_)

        def _deciding(self, number: int) -> StoredRound | None:
            rounds = StoredRound.objects.filter(review__version=world.versions[number])
            still_open = rounds.filter(review__closed_at=None).order_by("-opened_at", "-pk").first()
            if still_open is not None:
                return still_open
            closed = list(rounds.order_by("-opened_at", "-pk"))
            decided = [one for one in closed if one.state in {"approved", "rejected"} or self._objected(one)]
            return next(iter(decided or closed), None)

        def _objected(self, round_: StoredRound) -> bool:
            return bool(rules.objections(self.rounds[round_.pk]))

        def _opened(self, review: Review, number: int, asked_by: set[str]) -> None:
            round_ = review.rounds.latest("number")
            before = {
                name for one in review.rounds.all() if one.pk in self.rounds for name in self.rounds[one.pk].asked_by
            }
            self.rounds[round_.pk] = rules.Round(number, self.in_force, frozenset(asked_by | before))

        def _notice_new_rounds(self) -> None:
            """Rounds that the clock opened: under the policy in force, in the name of whoever asked for the review."""
            for round_ in StoredRound.objects.exclude(pk__in=self.rounds).select_related(
                "review__requested_by", "review__version"
            ):
                self._opened(round_.review, round_.review.version.number, {str(round_.review.requested_by.username)})

        def _said(
            self, round_: StoredRound, number: int, who: str, principal: str, slot: str, decision: str, given: SignOff
        ) -> None:
            known = self.rounds[round_.pk]
            for earlier in known.said:
                if earlier.person == who:
                    earlier.gone = True
            facets = dict(self.versions[number].facets)
            known.said.append(rules.Said(who, principal, slot, decision, facets, given.signed_at))
            if decision == "reject" and self._version(number).state == ModelVersion.State.REJECTED:
                self.versions[number].rejected = True

        def _gone(self, round_: StoredRound, who: str) -> None:
            for said in self.rounds[round_.pk].said:
                if said.person == who:
                    said.gone = True

        # the product's side

        @contextmanager
        def _trying(self, what: str, *, again: bool = False) -> Iterator[None]:
            tally.steps += 1
            self.time.shift(timedelta(seconds=1))
            try:
                yield
            except Refusal as refusal:
                tally.refused[what] = tally.refused.get(what, 0) + 1
                if again:
                    raise
                self._must(refusal.detail, "a refusal says why")
            else:
                tally.done[what] = tally.done.get(what, 0) + 1

        @staticmethod
        def _must(held: str, otherwise: str) -> None:
            assert held, otherwise

        def _version(self, number: int) -> ModelVersion:
            return ModelVersion.objects.select_related("model").get(pk=world.versions[number].pk)

        def _case(self, number: int) -> Review | None:
            return Review.objects.open().filter(version=world.versions[number]).select_related("requested_by").first()

        def _round(self, number: int) -> StoredRound | None:
            review = self._case(number)
            return (
                StoredRound.objects.select_related("review").filter(review=review).latest("number") if review else None
            )

        def _as(self, who: str) -> Any:
            return as_(world.people[who])

        def _proof(self, who: str) -> Reauthentication:
            return Reauthentication.objects.create(user=world.people[who], method="password")

    return Walk
