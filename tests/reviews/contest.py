"""Many contenders for one outcome, on PostgreSQL: the last vote of a round, then its promotion, each wanted by all of them at once.

`race` runs contenders over a few connections, as a server under load does. The short form is a test in `test_races`; the long one is
`python -m tests.reviews.soak`.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import Empty, Queue
from typing import Any, Final

from django.contrib.auth.models import Group
from django.db import connections

from access.models import Reauthentication, User
from access.principal import Principal
from foundation.refusals import Refusal
from registry.models import Alias, ModelVersion, Promotion, Stage
from reviews.actions import sign_off
from reviews.evaluation import current_subject
from reviews.models import Approval, Review, Round, SignOff
from reviews.promotion import promote

CONNECTIONS: Final = 20


@dataclass
class Tally:
    """What became of the contests: how often there was other than one winner, and why the others were refused."""

    contests: int = 0
    without_one_winner: int = 0
    refusals: Counter[str] = field(default_factory=Counter)

    def count(self, results: Sequence[Any], won: int) -> None:
        """One contest: what each contender got, and how many winners the database knows."""
        self.contests += 1
        self.without_one_winner += won != 1
        self.refusals.update(one.code for one in results if isinstance(one, Refusal))


def race(acts: Sequence[Callable[[], Any]], *, connections_: int = CONNECTIONS) -> list[Any]:
    """What each act returned, or the refusal that it met. The first of them start together, the rest follow as connections are free."""
    size = min(connections_, len(acts))
    together, waiting = threading.Barrier(size), Queue[int]()
    results: list[Any] = [None] * len(acts)
    for number in range(len(acts)):
        waiting.put(number)

    def contend() -> None:
        together.wait(timeout=60)
        try:
            while True:
                number = waiting.get_nowait()
                try:
                    results[number] = acts[number]()
                except Refusal as refusal:
                    results[number] = refusal
        except Empty:
            return
        finally:
            connections.close_all()

    threads = [threading.Thread(target=contend) for _ in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def signers(number: int) -> list[User]:
    """Risk officers, as many as there are contenders for the last vote."""
    group = Group.objects.get(name="Risk officers")
    found = []
    for place in range(number):
        person, _ = User.objects.get_or_create(
            username=f"officer{place}", defaults={"display_name": f"Officer {place}"}
        )
        person.groups.add(group)
        found.append(person)
    return found


def last_votes(review: Review, people: Sequence[User], tally: Tally) -> None:
    """Everybody signs the last open slot at once; the round is approved exactly once, by one approval."""
    round_ = review.current_round
    subject = current_subject(round_).digest
    proofs = Reauthentication.objects.bulk_create(Reauthentication(user=one, method="password") for one in people)

    def vote(person: User, proof: Reauthentication) -> SignOff:
        return sign_off(
            round_,
            "risk",
            decision="approve",
            reason="I read it all.",
            reauthentication=proof,
            expected_subject=subject,
            expected_round=round_.number,
            idempotency_key=f"{round_.pk}-{person.username}",
            by=Principal.of(person, via="contest"),
        )

    results = race([lambda one=one, proof=proof: vote(one, proof) for one, proof in zip(people, proofs, strict=True)])  # type: ignore[misc]  # bound now, not later
    won = Approval.objects.filter(round=round_).count()
    signed = SignOff.objects.filter(round=round_, slot__key="risk").count()
    states = set(Round.objects.filter(pk=round_.pk).values_list("state", flat=True))
    tally.count(results, won if signed == 1 and states == {Round.State.APPROVED} else -1)


def promotions(version: ModelVersion, stage: Stage, by: Principal, contenders: int, tally: Tally) -> None:
    """The version is promoted by everybody at once; the alias moves exactly once."""
    results = race([lambda: promote(version, stage, by=by)] * contenders)
    won = Promotion.objects.filter(version=version).count()
    holds = Alias.objects.filter(stage=stage, version=version).count()
    tally.count(results, won if holds == 1 else -1)
