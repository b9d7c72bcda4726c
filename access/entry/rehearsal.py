"""Says what a draft would change: who would lose access to which models whatever they do, who would have to meet terms, who would gain.

Each account is asked about with the set in force and with the set as it would be. The models are counted by the database with the same
formula that lists use, so a rehearsal takes a few statements an account that is concerned, and none for the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.apps import apps
from django.contrib.auth.models import Group
from django.db.models import Model, QuerySet
from django.utils import timezone

from access.entry.asking import GOVERNED, as_condition, policies_in_force, stages, subject_of
from access.entry.deciding import Circumstances, PolicyInForce, Rulebook
from access.entry.documents import Doing
from access.entry.places import EVERYWHERE, Where, both, either, neither
from access.models import User
from access.permissions import holding
from access.principal import Principal
from countersign.proof.canonical import digest_of

if TYPE_CHECKING:
    from access.catalogue import Permission
    from access.entry.models import AccessPolicyVersion

NAMES_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Names:
    """How many models, and the first of them by name."""

    count: int = 0
    first: tuple[str, ...] = ()

    @property
    def more(self) -> int:
        """How many are not named."""
        return self.count - len(self.first)


@dataclass(frozen=True, slots=True)
class Change:
    """What a draft changes for one account and one action.

    `lost`: models that it could reach and never would; `on_terms`: models that it reaches now with no terms and would reach on terms only;
    `gained`: models that it cannot reach and would.
    """

    account: User
    doing: Doing
    lost: Names
    on_terms: Names
    gained: Names


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a draft would change; `digest` names this result for whoever publishes on the strength of it."""

    digest: str
    accounts: int
    changes: tuple[Change, ...]

    @property
    def losing(self) -> int:
        """How many accounts would lose something."""
        return len({one.account.pk for one in self.changes if one.lost.count})

    @property
    def lost(self) -> int:
        """How many pairs of an account and a model would be lost, over all actions."""
        return sum(one.lost.count for one in self.changes)

    @property
    def on_terms(self) -> int:
        """How many pairs would be reached on terms only."""
        return sum(one.on_terms.count for one in self.changes)

    @property
    def gained(self) -> int:
        """How many pairs would be gained."""
        return sum(one.gained.count for one in self.changes)


def rehearse(version: AccessPolicyVersion, after: Sequence[PolicyInForce]) -> Rehearsal:
    """What changes for every active account when the set in force becomes `after`."""
    now, then = Rulebook(policies_in_force()), Rulebook(after)
    accounts = list(User.objects.active().order_by("kind", "username"))
    changes = tuple(change for account in accounts for change in _changes(account, now, then))
    rows = [[str(one.account.uuid), one.doing.value, one.lost.count, one.gained.count] for one in changes]
    digest = digest_of({"draft": version.digest, "retires": version.retires, "from": now.digest, "rows": rows})
    return Rehearsal(digest, len(accounts), changes)


def _changes(account: User, now: Rulebook, then: Rulebook) -> Iterator[Change]:
    for permission, doing in GOVERNED.items():
        before, after = reach(account, doing, now, None), reach(account, doing, then, None)
        bare_before, bare_after = (reach(account, doing, book, bare(account)) for book in (now, then))
        lost, gained = both([before, neither(after)]), both([after, neither(before)])
        on_terms = both([bare_before, neither(bare_after), after])
        found = [
            _models(account, permission, where, same)
            for where, same in (
                (lost, before == after),
                (on_terms, bare_before == bare_after),
                (gained, before == after),
            )
        ]
        if any(one.count for one in found):
            yield Change(account, doing, *found)


def reach(account: User, doing: Doing, book: Rulebook, circumstances: Circumstances | None) -> Where:
    """Where a set lets the account in, at any stage."""
    asked: Iterable[str] = stages() if book.asks_stage(doing) else ("",)
    teams = list(Group.objects.values_list("name", flat=True)) if book.asks_team(doing) else ()
    subject = subject_of(account, book, {})
    return either(book.where(subject, doing, circumstances, stage=stage, teams=teams) for stage in asked)


def bare(account: User) -> Circumstances:
    """The circumstances of somebody who meets no terms: weakest login, no purpose, no known address."""
    return Circumstances("password" if account.is_person else "token", "", "", timezone.now())


def _models(account: User, permission: Permission, where: Where, same: bool) -> Names:
    if same:
        return Names()
    found = models_held(account, permission)
    if where != EVERYWHERE:
        found = found.filter(as_condition(where, account.pk))
    count = found.count()
    return Names(count, tuple(found.order_by("name").values_list("name", flat=True)[:NAMES_SHOWN]) if count else ())


def models_held(account: User, permission: Permission) -> QuerySet[Any]:
    """The models on which the account holds the permission, whatever the access policies say."""
    model: type[Model] = apps.get_model("registry", "RegisteredModel")
    return holding(model._default_manager.all(), Principal.of(account), permission)
